"""The intercept: 403 whenever consent cannot be proven."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parley import runtime
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio import TwilioCarrier
from parley.core.consent import Scope, State, verify_chain

from local.twilio.state import SharedKey
from tests.handlers.world import ACCOUNT, ANA, BEN, GATE, POOL, SECOND_TOKEN, TOKEN, World, lines, problem_of

MESSAGE, VOICE = "intercept-message", "intercept-voice"


@pytest.fixture
def talk(world: World) -> dict[str, Any]:
    """Give the fields of an interaction of Ana's in an open session."""
    session = world.session(world.conversation()["session"])
    return {"interactionSessionSid": session.sid, "inboundParticipantSid": session.participants[0].sid}


@pytest.mark.parametrize("event", [MESSAGE, VOICE])
def test_permits_what_everybody_consented_to(world: World, talk: dict[str, Any], event: str) -> None:
    """A message and a call, whose interactionData is blank, pass in a session with everybody's consent."""
    assert world.webhook(event, **talk)["statusCode"] == 200


def test_permit_and_deny_are_logged(world: World, talk: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    """Each permit and each deny leaves a line with the reasons and the records it rests on, without a number."""
    capsys.readouterr()
    world.webhook(MESSAGE, **talk)
    world.webhook(MESSAGE, **talk, token="wrong")
    permit, deny = lines(capsys)
    assert (permit["decision"], len(permit["records"]), len(permit["parties"])) == ("permit", 2, 2)
    assert (deny["decision"], deny["reasons"]) == ("deny", ["signature-invalid"])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"interactionSessionSid": "KC" + "0" * 32}, "session-unknown"),
        ({"interactionServiceSid": "KS" + "0" * 32}, "service-mismatch"),
        ({"interactionAccountSid": "AC" + "0" * 32}, "account-mismatch"),
        ({"inboundParticipantSid": "KP" + "0" * 32}, "participant-unknown"),
    ],
)
def test_denies_what_is_not_ours(
    world: World, talk: dict[str, Any], changes: dict[str, str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown session, another service, another account and an unknown participant are refused by name."""
    capsys.readouterr()
    assert problem_of(world.webhook(MESSAGE, **{**talk, **changes})) == (403, "not-permitted")
    assert lines(capsys)[-1]["reasons"] == [reason]


@pytest.mark.parametrize(
    "webhook",
    [
        {"signed": False},
        {"token": "wrong"},
        {"drop": ("interactionSessionSid",)},
        {"drop": ("interactionData",)},
        {"interactionSid": ["KI1", "KI2"]},
        {"interactionData": "{"},
        {"interactionData": "[]"},
        {"interactionData": '{"text": "hi"}'},
    ],
    ids=["unsigned", "forged", "no-session", "no-data", "twice", "cut", "list", "no-body"],
)
def test_denies_what_is_malformed(world: World, talk: dict[str, Any], webhook: dict[str, Any]) -> None:
    """A missing, repeated or unreadable field and a bad signature are refused, never an error."""
    assert world.webhook(MESSAGE, **{**talk, **webhook})["statusCode"] == 403


@pytest.mark.parametrize(
    "event",
    [{}, {"body": "%%%", "isBase64Encoded": True}, {"headers": None, "requestContext": None}, {"body": "\ud800"}],
)
def test_denies_events_of_any_shape(world: World, event: dict[str, Any]) -> None:
    """An event without anything in it is refused as well."""
    from parley.handlers import intercept  # noqa: PLC0415 - the handler itself, without its route

    headers = {"x-twilio-signature": "x"} if event.get("headers", 0) is not None else None
    assert intercept.handle({"headers": headers, **event}, None)["statusCode"] == 403


@pytest.mark.parametrize("state", ["refused", "withdrawn"])
def test_denies_after_consent_is_lost(
    world: World, talk: dict[str, Any], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without consent nothing passes, even while the session could not be closed yet (invariant I1)."""
    monkeypatch.setattr(TwilioCarrier, "close_session", _unreachable)
    assert world.consent(BEN, state)["statusCode"] == 202
    assert world.webhook(MESSAGE, **talk)["statusCode"] == 403


def test_permits_while_a_question_is_pending(world: World, talk: dict[str, Any]) -> None:
    """A question takes nothing back: who is asked again goes on talking until they answer."""
    assert world.consent(BEN, "requested")["statusCode"] == 201
    assert world.webhook(MESSAGE, **talk)["statusCode"] == 200


def test_denies_when_consent_ran_out(world: World, talk: dict[str, Any]) -> None:
    """A session whose time is over connects nobody."""
    world.clock.advance(3601)
    assert world.webhook(VOICE, **talk)["statusCode"] == 403


def test_denies_without_ledger(world: World, talk: dict[str, Any]) -> None:
    """With the ledger down nothing is proven, so nothing passes."""
    world.break_ledger()
    assert world.webhook(MESSAGE, **talk)["statusCode"] == 403


@pytest.mark.moto
def test_denies_without_secret(world: World, talk: dict[str, Any]) -> None:
    """Without the auth tokens no signature is proven, so nothing passes."""
    runtime.reset()
    world.secretsmanager.delete_secret(SecretId=world.secret, ForceDeleteWithoutRecovery=True)
    assert world.webhook(MESSAGE, **talk)["statusCode"] == 403


@pytest.mark.parametrize("text", ["{}", "nonsense", '{"api_key": "k", "api_secret": "s", "auth_tokens": []}'])
def test_denies_with_broken_secret(
    world: World, talk: dict[str, Any], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A secret of another form proves nothing and is not repeated in the log."""
    runtime.reset()
    world.secretsmanager.put_secret_value(SecretId=world.secret, SecretString=text)
    assert world.webhook(MESSAGE, **talk)["statusCode"] == 403
    assert "nonsense" not in capsys.readouterr().out


def test_denies_without_environment(world: World, talk: dict[str, Any]) -> None:
    """A function that was deployed without its environment refuses everything."""
    runtime.reset()
    world.patch.delenv("PARLEY_LEDGER_TABLE")
    assert world.webhook(MESSAGE, **talk)["statusCode"] == 403


class TestRotation:
    """Auth tokens change without a gap."""

    def test_both_tokens_count(self, world: World, talk: dict[str, Any]) -> None:
        """While a token is rotated, webhooks signed with either pass."""
        world.store_tokens(SECOND_TOKEN, "t" * 32)
        runtime.reset()
        assert world.webhook(MESSAGE, **talk)["statusCode"] == 200
        assert world.webhook(MESSAGE, **talk, token=SECOND_TOKEN)["statusCode"] == 200

    def test_new_token_is_picked_up(self, world: World, talk: dict[str, Any]) -> None:
        """A token that was stored a moment ago counts at once, without a new deployment."""
        assert world.webhook(MESSAGE, **talk)["statusCode"] == 200
        world.store_tokens(SECOND_TOKEN)
        assert world.webhook(MESSAGE, **talk, token=SECOND_TOKEN)["statusCode"] == 200
        assert world.webhook(MESSAGE, **talk)["statusCode"] == 403

    def test_forgeries_do_not_drive_the_bill(
        self, world: World, talk: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A flood of bad signatures fetches the secret at most once in five seconds."""
        world.webhook(MESSAGE, **talk)
        held = runtime.secrets().get()
        fetched: list[str] = []

        def fetch() -> TwilioCredentials:
            fetched.append("x")
            return held

        monkeypatch.setattr(runtime.secrets(), "_fetch", fetch)
        for _ in range(5):
            assert world.webhook(MESSAGE, **talk, token="wrong")["statusCode"] == 403
        assert fetched == ["x"]
        world.clock.advance(6)
        for _ in range(5):
            assert world.webhook(MESSAGE, **talk, token="wrong")["statusCode"] == 403
        assert fetched == ["x", "x"]


class TestSharedKeys:
    """Webhooks that a Rule of the account lets a SharedKey sign."""

    def signed_by(self, world: World) -> SharedKey:
        """Let a SharedKey sign all webhooks of the gate; return it."""
        rules = world.emulator.carrier.webhook_rules
        key = rules.create_shared_key(ACCOUNT, {"friendlyName": "gate"})
        profile = rules.create_auth_profile(ACCOUNT, {"friendlyName": "gate", "type": "OAUTH2"})
        setting = rules.create_setting(
            ACCOUNT,
            {
                "friendlyName": "gate",
                "auth": {"source": "REFERENCE", "authProfileId": profile.id},
                "signature": {"sharedKeyId": key.id, "algorithm": "HMAC_SHA256"},
            },
        )
        applied = [{"settingId": setting.id, "percentage": 100}]
        rules.create_rule(ACCOUNT, {"matchType": "PREFIX_MATCH", "prefix": f"{GATE}/twilio/", "settings": applied})
        world.clock.advance(31)
        return key

    def test_known_key_passes(self, world: World) -> None:
        """A text whose webhooks a SharedKey signs passes once the gate knows its secret, and not before."""
        session = world.conversation()
        masked = session["participants"][0]["masked_number"]
        key = self.signed_by(world)
        assert not world.text(ANA, masked, "at the corner").connected
        world.clock.advance(6)
        world.store_tokens(TOKEN, **{key.id: key.secret})
        assert world.text(ANA, masked, "on the bridge").connected
        assert world.received(BEN) == ["on the bridge"]

    @pytest.mark.parametrize("signed_by", ["key=webhooks_sharedkey_1,algorithm=HMAC_SHA256", "nonsense", "key=x"])
    def test_auth_token_proves_nothing_then(self, world: World, talk: dict[str, Any], signed_by: str) -> None:
        """A webhook that says a SharedKey signed it is not taken for genuine by the auth token, nor by another key."""
        world.store_tokens(TOKEN, webhooks_sharedkey_2="s" * 32)
        named = {"X-Twilio-Webhooks-Signature-Settings": signed_by}
        assert world.webhook(MESSAGE, **talk)["statusCode"] == 200
        assert world.webhook(MESSAGE, **talk, headers=named)["statusCode"] == 403


class TestStopWords:
    """Words that Proxy would pass on to the other person."""

    @pytest.mark.parametrize("word", ["REVOKE", "Opt out!", "baja", "停止"])
    def test_word_is_a_withdrawal(self, world: World, talk: dict[str, Any], word: str) -> None:
        """A stop word is not passed on; it withdraws every scope and closes the session at once (I3)."""
        answer = world.webhook(MESSAGE, **talk, interactionData=json.dumps({"body": word}))
        assert answer["statusCode"] == 403
        party = world.identities.party(ANA)
        withdrawn = [one for one in world.ledger.standings_of(party) if one.state is State.WITHDRAWN]
        assert {one.scope for one in withdrawn} == set(Scope)
        assert verify_chain(world.ledger.records(party)).seq == 1 + len(Scope)
        assert world.session(talk["interactionSessionSid"]).closed_reason == "opted-out"
        assert world.status_at_twilio(talk["interactionSessionSid"]) == "closed"

    @pytest.mark.parametrize(
        ("words", "kept"),
        [("Please stop texting me!", "en-stop-messages"), ("もう送らないでください", "ja-okuranaide")],
    )
    def test_phrase_is_a_withdrawal_for_review(
        self, world: World, talk: dict[str, Any], words: str, kept: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A request in ordinary words stops as well, is marked for review, and leaves only the phrase's id."""
        capsys.readouterr()
        answer = world.webhook(MESSAGE, **talk, interactionData=json.dumps({"body": words}))
        assert answer["statusCode"] == 403
        assert world.status_at_twilio(talk["interactionSessionSid"]) == "closed"
        said = [one.event for one in world.ledger.records(world.identities.party(ANA)) if one.event.withdrawal]
        assert {one.scope for one in said} == set(Scope)
        assert all(one.evidence["review"] is True for one in said)
        assert {(one.withdrawal or {})["words"] for one in said} == {kept}
        logged = lines(capsys)
        assert "opt-out-for-review" in {line.get("event") for line in logged}
        assert words not in str([logged, world.rows()])

    @pytest.mark.parametrize("words", ["The bus stop is here", "no", "ich stoppe kurz", "停止線の前にいます"])
    def test_talk_passes(self, world: World, talk: dict[str, Any], words: str) -> None:
        """A sentence that merely holds a stop word is passed on."""
        assert world.webhook(MESSAGE, **talk, interactionData=json.dumps({"body": words}))["statusCode"] == 200

    def test_word_is_not_for_review(self, world: World, talk: dict[str, Any]) -> None:
        """A stop word leaves no doubt, so its record asks for no review."""
        world.webhook(MESSAGE, **talk, interactionData=json.dumps({"body": "REVOKE"}))
        said = [one.event for one in world.ledger.records(world.identities.party(ANA)) if one.event.withdrawal]
        assert not any("review" in one.evidence for one in said)

    def test_word_counts_once(self, world: World, talk: dict[str, Any]) -> None:
        """The same webhook again writes nothing more (I7)."""
        data = json.dumps({"body": "REVOKE"})
        answers = {world.webhook(MESSAGE, **talk, interactionData=data)["statusCode"] for _ in range(3)}
        assert answers == {403}
        assert len(world.rows("EVENT#")) == 2 + len(Scope)

    def test_old_word_does_not_undo_a_new_consent(self, world: World, talk: dict[str, Any]) -> None:
        """A webhook that is replayed a day later does not withdraw what was given since."""
        data = json.dumps({"body": "REVOKE"})
        world.webhook(MESSAGE, **talk, interactionData=data)
        world.clock.advance(86_400)
        world.consent(ANA)
        world.webhook(MESSAGE, **talk, interactionData=data)
        assert world.open()["statusCode"] == 201

    def test_word_holds_while_twilio_is_down(
        self, world: World, talk: dict[str, Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """With Twilio's API down the withdrawal is recorded, nothing passes, and the reconciler closes the session."""
        monkeypatch.setattr(TwilioCarrier, "close_session", _unreachable)
        assert world.webhook(MESSAGE, **talk, interactionData=json.dumps({"body": "revoke"}))["statusCode"] == 403
        assert world.webhook(VOICE, **talk)["statusCode"] == 403
        monkeypatch.undo()
        assert world.status_at_twilio(talk["interactionSessionSid"]) == "open"
        world.reconcile()
        assert world.status_at_twilio(talk["interactionSessionSid"]) == "closed"

    def test_word_never_reaches_the_other_person(self, world: World) -> None:
        """A phone that texts REVOKE through the real flow reaches nobody, and the session is closed."""
        session = world.conversation()
        masked = session["participants"][0]["masked_number"]
        assert masked in POOL
        outcome = world.text(ANA, masked, "Revoke")
        assert (outcome.connected, outcome.alerts) == (False, [80909])
        assert not any("revoke" in text.lower() for text in world.received(BEN))


def _unreachable(*_arguments: object, **_more: object) -> None:
    from parley.ports import CarrierError  # noqa: PLC0415

    raise CarrierError("close-session")
