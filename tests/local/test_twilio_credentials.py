"""API keys that come and go at the emulator, and the way back from a rotation."""

from __future__ import annotations

import pytest
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]

from tests.local.twilio_stage import ACCOUNT, ANA, BEN, KEY, POOL, SECRET, TOKEN, Stage, refused


def test_an_api_key_logs_in_until_it_is_deleted(stage: Stage) -> None:
    """A new key is told its secret once, works beside the old one, and outlives it."""
    made = stage.client.iam.v1.new_api_key.create(account_sid=ACCOUNT, friendly_name="next")
    assert (made.sid[:2], len(made.sid), made.friendly_name, made.policy) == ("SK", 34, "next", None)
    assert made.date_created == made.date_updated
    renewed = stage.connect(made.sid, made.secret, ACCOUNT)
    assert renewed.proxy.v1.services.list() == []
    assert renewed.iam.v1.api_key(KEY).delete() is True
    with refused(20003, 401):
        stage.client.api.v2010.accounts(ACCOUNT).fetch()
    assert renewed.api.v2010.accounts(ACCOUNT).fetch().sid == ACCOUNT


def test_a_key_belongs_to_one_account(stage: Stage) -> None:
    """The owner makes a key of a subaccount that reaches nothing else, and neither deletes the other's."""
    child = stage.client.api.v2010.accounts.create(friendly_name="sub")
    made = stage.client.iam.v1.new_api_key.create(account_sid=child.sid)
    own = stage.connect(made.sid, made.secret, child.sid)
    assert own.proxy.v1.services.list() == []
    with refused(20003, 401):
        own.api.v2010.accounts(ACCOUNT).fetch()
    with refused(20404, 404):
        own.iam.v1.api_key(KEY).delete()
    with refused(20404, 404):
        stage.client.iam.v1.api_key(made.sid).delete()


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"account_sid": ""}, "AccountSid"),
        ({"account_sid": ACCOUNT, "friendly_name": "x" * 65}, "FriendlyName"),
        ({"account_sid": ACCOUNT, "key_type": "restricted"}, "KeyType"),
    ],
)
def test_a_key_that_cannot_be_made_names_the_parameter(stage: Stage, form: dict[str, str], said: str) -> None:
    """A missing account, a long name and a restricted key are 400 with the parameter's name."""
    with pytest.raises(TwilioRestException, match=said) as caught:
        stage.client.iam.v1.new_api_key.create(**form)
    assert (caught.value.status, caught.value.code) == (400, 20001)


def test_webhooks_are_signed_with_the_promoted_token(stage: Stage) -> None:
    """A secondary token signs nothing until it is promoted, and everything from then on."""
    stage.pair(stage.service(POOL[0], webhooks=True))
    primary = stage.connect(ACCOUNT, TOKEN)
    made = primary.accounts.v1.secondary_auth_token().create().secondary_auth_token
    stage.sms(ANA, POOL[0], "before")
    assert all(one.signed_with(TOKEN) and not one.signed_with(made) for one in stage.receiver.deliveries)
    before = len(stage.receiver.deliveries)
    primary.accounts.v1.auth_token_promotion().update()
    stage.sms(BEN, POOL[0], "after")
    after = stage.receiver.deliveries[before:]
    assert before == len(after) == 4
    assert all(one.signed_with(made) and not one.signed_with(TOKEN) for one in after)


def test_rotations_are_taken_back(stage: Stage) -> None:
    """The first token and key are in force again, the others are not, and everything else is still there."""
    service = stage.service(POOL[0])
    primary = stage.connect(ACCOUNT, TOKEN)
    made = primary.iam.v1.new_api_key.create(account_sid=ACCOUNT)
    token = primary.accounts.v1.secondary_auth_token().create().secondary_auth_token
    primary.accounts.v1.auth_token_promotion().update()
    promoted = stage.connect(ACCOUNT, token)
    promoted.accounts.v1.secondary_auth_token().create()
    promoted.iam.v1.api_key(KEY).delete()
    assert stage.sim("POST", "credentials") == {"restored": True}
    for client in (primary, stage.connect(KEY, SECRET, ACCOUNT)):
        assert [one.sid for one in client.proxy.v1.services.list()] == [service.sid]
    for client in (promoted, stage.connect(made.sid, made.secret, ACCOUNT)):
        with refused(20003, 401):
            client.api.v2010.accounts(ACCOUNT).fetch()
    with refused(20404, 404):
        primary.accounts.v1.auth_token_promotion().update()
