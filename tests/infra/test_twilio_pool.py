"""The life of a number pool through the plugin, against the Twilio emulator."""

from __future__ import annotations

import json
from typing import Any

import pytest

from infra.provider import UNKNOWN
from infra.provider.testing import CheckFailed, Deployed, Refused, secret
from infra.twilio.pool_plan import order_key, tag
from infra.twilio.transport import InterruptedWaitError
from tests.infra.twilio_stack import API_SECRET, LONDON, NEW_YORK, POOL, TwilioStack, sids

ORDER = {"country": "US", "type": "local", "areaCode": "212", "count": 3}
KEY = order_key({**ORDER, "capabilities": ["sms", "voice"]})
BUY = r"POST .*/IncomingPhoneNumbers\.json"
ADD = r"POST .*/PhoneNumbers$"


@pytest.fixture
def stack() -> TwilioStack:
    """Return a stack on a fresh emulator."""
    return TwilioStack()


@pytest.fixture
def line(stack: TwilioStack) -> Deployed:
    """Return a Proxy service."""
    return stack.service()


def owned(stack: TwilioStack) -> set[str]:
    """Return the SIDs of all numbers of the account."""
    return {number.sid for number in stack.account.owned_numbers()}


def bought(stack: TwilioStack, line: Deployed) -> set[str]:
    """Return the SIDs of the numbers that were bought for the order of these tests."""
    return {number.sid for number in stack.account.owned_numbers(friendly_name=tag(line.id, KEY))}


def in_pool(pool: Deployed) -> list[str]:
    """Return the SIDs that the state shows."""
    return [number["sid"] for number in pool.state["numbers"]]


# Adopting


def test_a_pool_lives_through_its_whole_life(stack: TwilioStack, line: Deployed) -> None:
    """Adopt, no difference, one more and one less, refresh without drift, delete: the account keeps its numbers."""
    before = owned(stack)
    inputs = {"serviceSid": line.id, "adopt": NEW_YORK[:2], "reserved": NEW_YORK[:1]}
    pool = stack.up(POOL, "numbers", inputs)
    assert pool.id == line.id
    assert in_pool(pool) == sids(NEW_YORK[:2])
    assert stack.numbers(line) == {sids([NEW_YORK[0]])[0]: True, sids([NEW_YORK[1]])[0]: False}
    assert pool.state["numbers"][0].keys() == {"sid", "isoCountry", "capabilities", "reserved"}
    assert (pool.state["size"], pool.state["spares"]) == (2, [])
    assert not stack.diff(pool, inputs).changes
    pool = stack.update(pool, {"serviceSid": line.id, "adopt": NEW_YORK[1:], "reserved": NEW_YORK[1:2]})
    assert stack.numbers(line) == {sids([NEW_YORK[1]])[0]: True, sids([NEW_YORK[2]])[0]: False}
    again = stack.refresh(pool)
    assert again is not None
    assert (again.inputs, again.state) == (pool.inputs, pool.state)
    stack.down(pool)
    assert stack.numbers(line) == {}
    assert owned(stack) == before
    stack.down(pool)


def test_no_phone_number_is_in_the_inputs_the_state_or_a_message(stack: TwilioStack, line: Deployed) -> None:
    """Numbers written in E.164 become SIDs before anything is stored; those nobody owns are masked in the message."""
    pool = stack.pool(line, adopt=[*NEW_YORK, *LONDON], reserved=LONDON, buy=[ORDER])
    stored = "".join(f"{each.outputs}{each.inputs}" for each in (line, pool, stack.refresh(pool) or pool))
    assert API_SECRET not in stored
    assert not any(number.phone_number.lstrip("+") in stored for number in stack.account.owned_numbers())
    assert not any(number.lstrip("+") in stored for number in [*NEW_YORK, *LONDON])
    with pytest.raises(CheckFailed) as failed:
        stack.pool(line, adopt=["+12125550199"])
    assert "5550199" not in str(failed.value)
    assert "adopt[0]: +12…99 is not a number of account" in str(failed.value)


def test_numbers_that_came_as_a_secret_stay_one(stack: TwilioStack, line: Deployed) -> None:
    """A secret list of numbers is checked, and what is stored of it is secret as well."""
    checked = stack.check(POOL, "numbers", {"serviceSid": line.id, "adopt": secret(NEW_YORK)})
    assert sids(NEW_YORK)[0] in str(checked.fields["adopt"].struct_value)
    with pytest.raises(CheckFailed) as failed:
        stack.check(POOL, "numbers", {"serviceSid": line.id, "adopt": secret(["+12125550199"])})
    assert "5550199" not in str(failed.value)


def test_a_number_is_looked_up_once(stack: TwilioStack, line: Deployed) -> None:
    """A number that was checked before is not looked up again; many new ones are looked up with one list."""
    inputs = {"serviceSid": line.id, "adopt": sids(NEW_YORK)}
    pool = stack.up(POOL, "numbers", inputs)
    stack.restart()
    stack.diff(pool, inputs)
    assert stack.http.log == []
    many = [f"PN{index:032x}" for index in range(30)]
    with pytest.raises(CheckFailed) as failed:
        stack.diff(pool, {"serviceSid": line.id, "adopt": many})
    assert len(failed.value.failures) == 30
    assert len(stack.http.log) == 1


def test_one_more_number_is_one_change(stack: TwilioStack, line: Deployed) -> None:
    """The preview shows the number that comes and the number that goes, and nothing else."""
    pool = stack.pool(line, adopt=[*NEW_YORK, *LONDON])
    less = sorted(sids([*NEW_YORK, *LONDON]))
    assert stack.diff(pool, {"serviceSid": line.id, "adopt": less[1:]}).changes == {"adopt[0]": "DELETE"}
    shuffled = [*LONDON, *reversed(NEW_YORK)]
    assert not stack.diff(pool, {"serviceSid": line.id, "adopt": shuffled}).changes


def test_what_others_did_to_the_pool_shows_and_is_put_right(stack: TwilioStack, line: Deployed) -> None:
    """A number added, one removed and a flag set by others show up after a refresh; an update undoes all three."""
    inputs = {"serviceSid": line.id, "adopt": sids(NEW_YORK)}
    pool = stack.up(POOL, "numbers", inputs)
    first, second = sids(NEW_YORK)[:2]
    stack.account.remove(line.id, first)
    stack.account.set_reserved(line.id, second, reserved=True)
    stack.account.add(line.id, sids(LONDON)[0], reserved=False)
    pool = stack.refresh(pool) or pool
    assert set(in_pool(pool)) == {*sids(NEW_YORK)[1:], sids(LONDON)[0]}
    planned = stack.diff(pool, inputs).changes
    assert planned.pop("reserved[0]") == "DELETE"
    assert planned
    assert {path.split("[")[0] for path in planned} == {"adopt"}
    stack.update(pool, inputs)
    assert stack.numbers(line) == dict.fromkeys(sids(NEW_YORK), False)


def test_what_nobody_saw_is_left_alone(stack: TwilioStack, line: Deployed) -> None:
    """Without a refresh, an update takes out only what the state knows: nothing goes that no preview showed."""
    pool = stack.pool(line, adopt=NEW_YORK[:2])
    stack.account.add(line.id, sids(LONDON)[0], reserved=False)
    pool = stack.update(pool, {"serviceSid": line.id, "adopt": NEW_YORK[:1]})
    assert set(stack.numbers(line)) == {*sids(NEW_YORK[:1]), sids(LONDON)[0]}
    assert in_pool(pool) == sids(NEW_YORK[:1])


def test_what_proxy_does_to_its_numbers_is_no_drift(stack: TwilioStack, line: Deployed) -> None:
    """Proxy points the numbers' voice and SMS URLs to itself; neither a refresh nor the state shows any of that."""
    pool = stack.pool(line, adopt=NEW_YORK)
    voice_url = stack.account._rest.incoming_phone_numbers(sids(NEW_YORK)[0]).fetch().voice_url
    assert "/Proxy/" in voice_url
    again = stack.refresh(pool)
    assert again is not None
    assert again.state == pool.state
    assert "webhooks.twilio.com" not in str(pool.outputs)


def test_a_pool_of_a_service_that_is_gone_is_gone(stack: TwilioStack, line: Deployed) -> None:
    """When somebody deleted the service, its pool is to be made anew; deleting it is no error."""
    pool = stack.pool(line, adopt=NEW_YORK)
    stack.account.delete_service(line.id)
    assert stack.refresh(pool) is None
    stack.down(pool)


def test_an_import_needs_no_change_afterwards(stack: TwilioStack, line: Deployed) -> None:
    """A pool imported by its service's SID comes with its numbers and flags."""
    stack.pool(line, adopt=NEW_YORK, reserved=NEW_YORK[:1])
    pool = stack.adopt(POOL, "numbers", line.id)
    assert pool is not None
    inputs = {"serviceSid": line.id, "adopt": sids(NEW_YORK), "reserved": sids(NEW_YORK[:1])}
    assert not stack.diff(pool, inputs).changes
    assert stack.adopt(POOL, "numbers", "KS" + "0" * 32) is None
    with pytest.raises(Refused, match="import it by its service's SID"):
        stack.adopt(POOL, "numbers", "numbers")


def test_a_pool_does_not_take_over_numbers_by_itself(stack: TwilioStack, line: Deployed) -> None:
    """A create on a service with numbers that nobody declared is refused, with both ways out."""
    stack.account.add(line.id, sids(LONDON)[0], reserved=False)
    with pytest.raises(Refused, match=f"{sids(LONDON)[0]}.*pulumi import parley:index:NumberPool NAME {line.id}"):
        stack.pool(line, adopt=NEW_YORK)


def test_a_new_service_gets_the_same_numbers(stack: TwilioStack, line: Deployed) -> None:
    """Another `serviceSid` moves the numbers, bought ones included, and buys none."""
    inputs = {"adopt": sids(NEW_YORK), "buy": [ORDER]}
    pool = stack.pool(line, **inputs)
    everything, before = set(in_pool(pool)), owned(stack)
    other = stack.service(uniqueName="other")
    planned = stack.diff(pool, {"serviceSid": other.id, **inputs})
    assert (planned.changes, planned.replaces) == ({"serviceSid": "UPDATE"}, [])
    pool = stack.update(pool, {"serviceSid": other.id, **inputs})
    assert (stack.numbers(line), set(stack.numbers(other))) == ({}, everything)
    assert owned(stack) == before
    again = stack.refresh(pool)
    assert again is not None
    assert not stack.diff(again, {"serviceSid": other.id, **inputs}).changes
    stack.down(pool)
    assert stack.numbers(other) == {}


# Failures and how they are finished


def test_what_failed_is_told_and_finished_by_the_next_up(stack: TwilioStack, line: Deployed) -> None:
    """One number that Twilio refuses does not undo the others: they are in the state, and the next `up` goes on."""
    other = stack.service(uniqueName="other")
    stack.account.add(other.id, sids(NEW_YORK)[0], reserved=False)
    inputs = {"serviceSid": line.id, "adopt": NEW_YORK}
    pool, reasons = stack.partly(lambda: stack.up(POOL, "numbers", inputs), POOL, "numbers", inputs)
    assert in_pool(pool) == sids(NEW_YORK)[1:]
    assert len(reasons) == 1
    assert sids(NEW_YORK)[0] in reasons[0]
    assert "80601" in reasons[0]
    assert "another Proxy service" in reasons[0]
    assert "2125550" not in reasons[0]
    stack.account.remove(other.id, sids(NEW_YORK)[0])
    pool = stack.update(pool, inputs)
    assert in_pool(pool) == sids(NEW_YORK)


def test_a_create_that_did_nothing_leaves_nothing(stack: TwilioStack, line: Deployed) -> None:
    """When every number was refused there is no pool to keep in the state."""
    stack.fault(match=ADD, mode="error", status=400, code=80601)
    with pytest.raises(Refused) as refused:
        stack.pool(line, adopt=NEW_YORK)
    assert refused.value.half_done is None
    assert "Messaging Service" in str(refused.value)


def test_a_number_with_an_open_session_stays(stack: TwilioStack, line: Deployed) -> None:
    """Taking out a number that people talk through is refused; the others leave, and the next `up` finishes."""
    inputs = {"serviceSid": line.id, "adopt": NEW_YORK}
    pool = stack.up(POOL, "numbers", inputs)
    session = stack.session(line)
    busy = {number.sid for number in stack.account.pool(line.id) or [] if number.in_use}
    less = {"serviceSid": line.id, "adopt": []}
    with pytest.raises(Refused, match="open session"):
        stack.down(pool)
    assert len(stack.numbers(line)) == 3
    pool, reasons = stack.partly(lambda: stack.update(pool, less), POOL, "numbers", less)
    assert set(stack.numbers(line)) == busy == set(in_pool(pool))
    assert all("close them and try again" in reason for reason in reasons)
    stack.close_session(line, session)
    assert in_pool(stack.update(pool, less)) == []


def test_force_destroy_takes_out_numbers_in_use(stack: TwilioStack, line: Deployed) -> None:
    """With `forceDestroy` a pool goes whatever is going on."""
    pool = stack.pool(line, adopt=NEW_YORK, forceDestroy=True)
    stack.session(line)
    stack.down(pool)
    assert stack.numbers(line) == {}


def test_an_answer_lost_on_every_kind_of_request_does_no_harm(stack: TwilioStack, line: Deployed) -> None:
    """Whatever request's answer gets lost once, the pool is as declared and nothing was bought twice."""
    stack.fault(match=ADD, mode="lost-answer", times=1)
    stack.fault(match=BUY, mode="lost-answer", status=500, times=1)
    inputs = {"serviceSid": line.id, "adopt": NEW_YORK, "buy": [ORDER]}
    pool = stack.up(POOL, "numbers", inputs)
    assert len(in_pool(pool)) == 6 == len(stack.numbers(line))
    assert len(bought(stack, line)) == 3
    stack.fault(match="DELETE", mode="lost-answer", times=1)
    stack.fault(match="POST .*/PhoneNumbers/PN", mode="lost-answer", times=1)
    stack.update(pool, {"serviceSid": line.id, "adopt": NEW_YORK[:2], "reserved": NEW_YORK[:1], "buy": [ORDER]})
    assert len(stack.numbers(line)) == 5


def test_a_throttled_account_only_takes_longer(stack: TwilioStack, line: Deployed) -> None:
    """A burst of 429s is waited out."""
    stack.fault(mode="throttle", times=6)
    stack.pool(line, adopt=[*NEW_YORK, *LONDON])
    assert len(stack.numbers(line)) == 5
    assert stack.clock.waits


def test_an_interrupted_create_keeps_what_it_did(
    stack: TwilioStack, line: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the engine cancels, what is done so far is in the state; the next `up` does the rest."""
    inputs = {"serviceSid": line.id, "adopt": NEW_YORK}
    account = stack.account
    add = account.add
    done: list[Any] = []

    def add_one(*args: Any, **kwargs: Any) -> Any:
        if done:
            raise InterruptedWaitError
        done.append(args)
        return add(*args, **kwargs)

    monkeypatch.setattr(account, "add", add_one)
    monkeypatch.setattr("infra.twilio.number_pool.WORKERS", 1)
    pool, reasons = stack.partly(lambda: stack.up(POOL, "numbers", inputs), POOL, "numbers", inputs)
    assert len(in_pool(pool)) == 1
    assert reasons == [str(InterruptedWaitError())]
    stack.restart()
    assert in_pool(stack.update(pool, inputs)) == sids(NEW_YORK)


# Buying


def test_nothing_is_bought_unless_it_is_declared(stack: TwilioStack, line: Deployed) -> None:
    """A pool that adopts sends no purchase."""
    stack.restart()
    stack.pool(line, adopt=NEW_YORK)
    assert not [call for call in stack.calls("POST") if "IncomingPhoneNumbers" in call]


def test_an_order_is_bought_added_and_recorded(stack: TwilioStack, line: Deployed) -> None:
    """Ordered numbers are bought, put into the pool, and marked as bought in the state; again changes nothing."""
    inputs = {
        "serviceSid": line.id,
        "buy": [ORDER, {"country": "US", "type": "toll-free", "count": 1, "reserved": True}],
    }
    assert stack.preview(POOL, "numbers", inputs)["size"] == 4
    assert stack.preview(POOL, "numbers", inputs)["numbers"] is UNKNOWN
    pool = stack.up(POOL, "numbers", inputs)
    assert sorted(stack.numbers(line).values()) == [False, False, False, True]
    assert [number["bought"] for number in pool.state["numbers"]].count(KEY) == 3
    assert not stack.diff(pool, inputs).changes
    again = stack.refresh(pool)
    assert again is not None
    assert not stack.diff(again, inputs).changes
    assert "555" not in json.dumps([number | {"sid": "", "bought": ""} for number in pool.state["numbers"]])


def test_fewer_numbers_keeps_spares_and_more_takes_them_back(stack: TwilioStack, line: Deployed) -> None:
    """A number that leaves the pool is not released but listed as a spare, and used before another is bought."""
    inputs = {"serviceSid": line.id, "buy": [ORDER]}
    pool = stack.up(POOL, "numbers", inputs)
    pool = stack.update(pool, {"serviceSid": line.id, "buy": [{**ORDER, "count": 1}]})
    assert (pool.state["size"], len(pool.state["spares"]), len(bought(stack, line))) == (1, 2, 3)
    pool = stack.refresh(pool) or pool
    assert len(pool.state["spares"]) == 2
    pool = stack.update(pool, inputs)
    assert (pool.state["size"], pool.state["spares"], len(bought(stack, line))) == (3, [], 3)


def test_release_on_delete_gives_bought_numbers_back_and_no_others(stack: TwilioStack, line: Deployed) -> None:
    """Bought numbers are released when they leave, adopted ones never are."""
    before = owned(stack)
    inputs = {"serviceSid": line.id, "adopt": NEW_YORK, "buy": [ORDER], "releaseOnDelete": True}
    pool = stack.up(POOL, "numbers", inputs)
    pool = stack.update(pool, {**inputs, "buy": [{**ORDER, "count": 1}]})
    assert (len(bought(stack, line)), pool.state["spares"]) == (1, [])
    stack.down(pool)
    assert owned(stack) == before


def test_deleting_a_pool_releases_nothing_by_default(stack: TwilioStack, line: Deployed) -> None:
    """Without `releaseOnDelete` the account keeps what was bought."""
    pool = stack.pool(line, buy=[ORDER])
    stack.down(pool)
    assert len(bought(stack, line)) == 3


def test_a_purchase_that_was_killed_is_found_again(stack: TwilioStack, line: Deployed) -> None:
    """Numbers bought by a plugin that died before it could answer are taken into the pool, not bought again."""
    for number in stack.account.for_sale("US", "local", {"area_code": "212"})[:2]:
        stack.account.buy(number, friendly_name=tag(line.id, KEY))
    stack.restart()
    pool = stack.pool(line, buy=[ORDER])
    assert len(stack.calls("POST /api.twilio.com")) == 1
    assert set(in_pool(pool)) == bought(stack, line)


def test_a_bought_number_that_cannot_be_added_is_recorded(stack: TwilioStack, line: Deployed) -> None:
    """Money was spent: the number is in the state as a spare, and the next `up` adds it without buying again."""
    stack.fault(match=ADD, mode="error", status=400, code=80601, times=3)
    inputs = {"serviceSid": line.id, "buy": [ORDER]}
    pool, reasons = stack.partly(lambda: stack.up(POOL, "numbers", inputs), POOL, "numbers", inputs)
    assert len(reasons) == 3
    assert {spare["sid"] for spare in pool.state["spares"]} == bought(stack, line)
    pool = stack.update(pool, inputs)
    assert (pool.state["size"], pool.state["spares"], len(bought(stack, line))) == (3, [], 3)


def test_a_number_that_was_stolen_between_search_and_purchase_is_replaced_by_another(
    stack: TwilioStack, line: Deployed
) -> None:
    """Somebody was faster: the next offer is bought instead."""
    stack.fault(match=BUY, mode="error", status=400, code=21422, times=2)
    assert stack.pool(line, buy=[ORDER]).state["size"] == 3


def test_a_bought_number_can_be_reserved_by_its_sid(stack: TwilioStack, line: Deployed) -> None:
    """`reserved` takes the SIDs of bought numbers too, and a number that is not in the pool is told."""
    inputs: dict[str, Any] = {"serviceSid": line.id, "buy": [ORDER]}
    pool = stack.up(POOL, "numbers", inputs)
    inputs["reserved"] = in_pool(pool)[:1]
    pool = stack.update(pool, inputs)
    assert stack.numbers(line)[in_pool(pool)[0]]
    assert not stack.diff(stack.refresh(pool) or pool, inputs).changes
    inputs["reserved"] = sids(LONDON[:1])
    _, reasons = stack.partly(lambda: stack.update(pool, inputs), POOL, "numbers", inputs)
    assert reasons == [f"reserved: {sids(LONDON[:1])[0]} is not in the pool: add it to `adopt` as well"]


def test_when_nothing_is_for_sale_the_rest_is_kept(stack: TwilioStack, line: Deployed) -> None:
    """An area code that runs out ends in one message with counts, and keeps what could be bought."""
    inputs = {"serviceSid": line.id, "buy": [{**ORDER, "count": 120}]}
    pool, reasons = stack.partly(lambda: stack.up(POOL, "numbers", inputs), POOL, "numbers", inputs)
    assert len(reasons) == 1
    assert "buy[0]: Twilio has no more numbers for sale" in reasons[0]
    assert f"got {pool.state['size']} of 120" in reasons[0]
    assert pool.state["size"] == len(bought(stack, line)) > 90


def test_a_country_that_wants_an_address_says_so(stack: TwilioStack, line: Deployed) -> None:
    """Numbers that need an address are bought with one, and without one the message says what is missing."""
    order = {"country": "GB", "type": "mobile", "count": 1}
    with pytest.raises(Refused, match="addressSid"):
        stack.pool(line, buy=[order])
    pool = stack.pool(line, buy=[{**order, "addressSid": "AD" + "e" * 32}])
    assert pool.state["numbers"][0]["isoCountry"] == "GB"


def test_bought_numbers_survive_the_loss_of_their_service(stack: TwilioStack, line: Deployed) -> None:
    """When the service is deleted by hand, the pool keeps track of what it bought and moves it into the new service."""
    inputs = {"adopt": sids(NEW_YORK), "buy": [ORDER]}
    pool = stack.pool(line, **inputs)
    mine = bought(stack, line)
    stack.account.delete_service(line.id)
    pool = stack.refresh(pool) or pool
    assert (pool.state["size"], {spare["sid"] for spare in pool.state["spares"]}) == (0, mine)
    other = stack.service()
    stack.restart()
    pool = stack.update(pool, {"serviceSid": other.id, **inputs})
    assert set(in_pool(pool)) == {*mine, *sids(NEW_YORK)}
    assert bought(stack, other) == mine


def test_a_bought_number_that_was_released_by_hand_is_bought_anew(stack: TwilioStack, line: Deployed) -> None:
    """A refresh shows the lower count, and the next update makes it up."""
    inputs = {"serviceSid": line.id, "buy": [ORDER]}
    pool = stack.up(POOL, "numbers", inputs)
    stack.account.release(in_pool(pool)[0])
    pool = stack.refresh(pool) or pool
    assert stack.diff(pool, inputs).changes == {"buy[0].count": "UPDATE"}
    assert stack.update(pool, inputs).state["size"] == 3


# Checks


@pytest.mark.parametrize(
    ("inputs", "path", "says"),
    [
        ({"serviceSid": "line"}, "serviceSid", "KS… SID"),
        ({"serviceSid": None}, "serviceSid", "is missing"),
        ({"adopt": ["212-555-0140"]}, "adopt[0]", "neither a PN… SID nor a number in E.164"),
        ({"adopt": ["PN" + "0" * 32]}, "adopt[0]", "is not a number of account"),
        ({"adopt": [NEW_YORK[0], *sids(NEW_YORK[:1])]}, "adopt[1]", "same number as adopt[0]"),
        ({"adopt": NEW_YORK[0]}, "adopt", "type array"),
        ({"reserved": NEW_YORK[:1]}, "reserved[0]", "is not in the pool"),
        ({"buy": [{**ORDER, "country": "usa"}]}, "buy[0].country", "ISO 3166-1"),
        ({"buy": [{**ORDER, "type": "fixed"}]}, "buy[0].type", "'local', 'mobile', 'toll-free'"),
        ({"buy": [{**ORDER, "count": 0}]}, "buy[0].count", "leave the entry out"),
        ({"buy": [{**ORDER, "areaCode": "21"}]}, "buy[0].areaCode", "three digits"),
        ({"buy": [{**ORDER, "country": "GB"}]}, "buy[0].areaCode", "US and CA only"),
        ({"buy": [{**ORDER, "capabilities": ["fax"]}]}, "buy[0].capabilities[0]", "'voice', 'sms', 'mms'"),
        ({"buy": [{**ORDER, "addressSid": "home"}]}, "buy[0].addressSid", "AD… SID"),
        ({"buy": [{**ORDER, "amount": 3}]}, "buy[0].amount", "there is no such property"),
        ({"buy": [{"country": "US", "type": "local"}]}, "buy[0].count", "is missing"),
        ({"buy": [ORDER, {**ORDER, "capabilities": ["voice", "sms"]}]}, "buy[1]", "same numbers as buy[0]"),
        ({"buy": [{**ORDER, "count": 501}]}, "adopt", "a Proxy service takes 500: put the rest in a second service"),
        ({"buy": [{**ORDER, "count": 5001, "reserved": True}]}, "adopt", "a Proxy service takes 5000"),
    ],
)
def test_wrong_inputs_are_told_by_path(
    stack: TwilioStack, line: Deployed, inputs: dict[str, Any], path: str, says: str
) -> None:
    """Every limit is checked in the preview, by path, with the way out, and without showing a phone number."""
    with pytest.raises(CheckFailed) as failed:
        stack.pool(line, **inputs)
    assert [failure.split(": ")[0] for failure in failed.value.failures] == [path]
    assert says in failed.value.failures[0]
    assert "5550" not in failed.value.failures[0].replace("+12125550100", "")


def test_a_preview_works_with_values_that_are_not_known_yet(stack: TwilioStack) -> None:
    """The service's SID, or a number, may be unknown in a first preview."""
    shown = stack.preview(POOL, "numbers", {"serviceSid": UNKNOWN, "adopt": NEW_YORK})
    assert (shown["serviceSid"], shown["size"], shown["numbers"]) == (UNKNOWN, 3, UNKNOWN)
    shown = stack.preview(POOL, "numbers", {"serviceSid": UNKNOWN, "adopt": [NEW_YORK[0], UNKNOWN]})
    assert shown["size"] is UNKNOWN
    assert stack.preview(POOL, "numbers", {"serviceSid": UNKNOWN, "adopt": UNKNOWN, "buy": UNKNOWN})["size"] is UNKNOWN
