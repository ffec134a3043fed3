"""Proxy's services, pools, number assignment and session life, through the official client."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from local.twilio.numbers import calling_code, matches_area, number_sid
from local.twilio.proxy import POOL_LIMITS
from tests.local.twilio_stage import (
    ANA,
    BEN,
    BRITISH,
    BRITISH_ANA,
    CLEO,
    POOL,
    SAN_FRANCISCO,
    Stage,
    refused,
)

# Services -----------------------------------------------------------------------------------------------------


def test_service_keeps_what_it_is_given_and_clears_with_an_empty_text(stage: Stage) -> None:
    """A Service returns its settings as sent, null where nothing was sent, and null again after an empty text."""
    services = stage.client.proxy.v1.services
    created = services.create(unique_name="line", callback_url="https://example.org/cb", default_ttl=600)
    assert (created.callback_url, created.intercept_callback_url, created.default_ttl) == (
        "https://example.org/cb",
        None,
        600,
    )
    assert (created.geo_match_level, created.number_selection_behavior) == ("country", "prefer-sticky")
    assert created.url == f"https://proxy.twilio.com/v1/Services/{created.sid}"
    updated = services(created.sid).update(callback_url="", geo_match_level="extended-area-code")
    assert (updated.callback_url, updated.default_ttl) == (None, 600)
    assert services(created.sid).fetch().geo_match_level == "extended-area-code"
    assert services(created.sid).delete() is True
    with refused(20404, 404):
        services(created.sid).fetch()


@pytest.mark.parametrize(
    ("settings", "code"),
    [
        ({"unique_name": "x" * 192}, 20001),
        ({"unique_name": "a", "callback_url": "https://example.org/" + "x" * 4000}, 20001),
        ({"unique_name": "a", "callback_url": "not a url"}, 20001),
        ({"unique_name": "a", "geo_match_level": "radius"}, 20001),
        ({"unique_name": "a", "number_selection_behavior": "sticky"}, 20001),
        ({"unique_name": "a", "default_ttl": -1}, 20001),
        ({"unique_name": "line"}, 80602),
    ],
)
def test_service_refuses_bad_settings(stage: Stage, settings: dict[str, Any], code: int) -> None:
    """A Service with a bad or taken setting is refused, and nothing is created."""
    stage.service()
    with refused(code):
        stage.client.proxy.v1.services.create(**settings)
    assert len(stage.client.proxy.v1.services.list()) == 1


def test_service_list_tells_whether_proxy_is_there(stage: Stage) -> None:
    """An empty list with status 200 is the answer of an account that has Proxy but uses none."""
    assert stage.client.proxy.v1.services.list() == []


# Pools --------------------------------------------------------------------------------------------------------


def test_adding_a_number_takes_over_its_webhooks(stage: Stage) -> None:
    """A number in a pool has Proxy's Voice and Sms URLs, and keeps them when it leaves the pool."""
    number = stage.client.incoming_phone_numbers(number_sid(POOL[0]))
    number.update(voice_url="https://example.org/voice", sms_url="https://example.org/sms")
    service = stage.service()
    added = service.phone_numbers.create(phone_number=POOL[0])
    assert (added.sid, added.in_use, added.is_reserved) == (number_sid(POOL[0]), 0, False)
    assert added.capabilities == {"voice": True, "sms": True, "mms": True, "fax": False}
    taken = number.fetch()
    assert f"/Proxy/{service.sid}/Webhooks/Call" in taken.voice_url
    assert f"/Proxy/{service.sid}/Webhooks/Message" in taken.sms_url
    assert service.phone_numbers(added.sid).delete() is True
    assert number.fetch().voice_url == taken.voice_url


def test_a_number_belongs_to_one_service(stage: Stage) -> None:
    """Adding a number twice is refused with 80601, in the same Service and in another."""
    service = stage.service(POOL[0])
    other = stage.client.proxy.v1.services.create(unique_name="other")
    for pool in (service, other):
        with refused(80601):
            pool.phone_numbers.create(sid=number_sid(POOL[0]))


def test_only_owned_numbers_can_be_added(stage: Stage) -> None:
    """A number that the account does not own is not found."""
    service = stage.service()
    with refused(20404, 404):
        service.phone_numbers.create(phone_number="+12125550199")
    with refused(20001):
        service.phone_numbers.create()


def test_in_use_counts_active_sessions(stage: Stage) -> None:
    """in_use rises with each open session on the number and falls when it closes, once a session."""
    service = stage.service(POOL[0])
    first = stage.pair(service)
    stage.pair(service, CLEO, "+12125550114")
    pool = service.phone_numbers(number_sid(POOL[0]))
    assert pool.fetch().in_use == 2
    service.sessions(first.sid).update(status="closed")
    assert pool.fetch().in_use == 1


def test_a_removed_number_drains(stage: Stage) -> None:
    """A number removed while in use is gone from the pool, still connects its session, and is free after it."""
    service = stage.service(POOL[0])
    session = stage.pair(service)
    service.phone_numbers(number_sid(POOL[0])).delete()
    assert service.phone_numbers.list() == []
    assert stage.sms(ANA, POOL[0], "hello")["delivered"] is True
    with refused(80601):
        service.phone_numbers.create(sid=number_sid(POOL[0]))
    service.sessions(session.sid).update(status="closed")
    assert service.phone_numbers.create(sid=number_sid(POOL[0])).in_use == 0


def test_the_pool_has_limits(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the limit of unreserved numbers one more is refused, a reserved one is not; alert 80624 came before."""
    monkeypatch.setitem(POOL_LIMITS, False, 2)
    service = stage.service(*POOL[:2])
    assert stage.alerts() == [80624]
    with refused(80624):
        service.phone_numbers.create(sid=number_sid(POOL[2]))
    assert service.phone_numbers.create(sid=number_sid(POOL[2]), is_reserved=True).is_reserved is True
    with refused(80624):
        service.phone_numbers(number_sid(POOL[2])).update(is_reserved=False)


# Assignment ---------------------------------------------------------------------------------------------------


def test_one_person_gets_a_number_for_each_session(stage: Stage) -> None:
    """The same person in two sessions has two masked numbers, and none is left for a third: 80206."""
    service = stage.service(*POOL[:2])
    masks = [stage.masked(stage.pair(service, ANA, other))[ANA] for other in (BEN, CLEO)]
    assert sorted(masks) == sorted(POOL[:2])
    with refused(80206):
        stage.pair(service, ANA, "+12125550114")
    assert len(service.sessions.list()) == 2


def test_both_parties_may_share_a_number(stage: Stage) -> None:
    """With one number in the pool both participants see the same one."""
    service = stage.service(POOL[0])
    assert set(stage.masked(stage.pair(service)).values()) == {POOL[0]}


def test_each_party_gets_a_number_of_their_country(stage: Stage) -> None:
    """A British and an American see a British and an American number."""
    service = stage.service(POOL[0], BRITISH)
    assert stage.masked(stage.pair(service, ANA, BRITISH_ANA)) == {ANA: POOL[0], BRITISH_ANA: BRITISH}


def test_assignment_says_why_it_fails(stage: Stage) -> None:
    """An empty pool is 80205, a country without numbers 80203, a missing capability 80201 or 80202."""
    service = stage.service()
    with refused(80205):
        stage.pair(service)
    service.phone_numbers.create(sid=number_sid(POOL[0]))
    with refused(80203):
        stage.pair(service, ANA, BRITISH_ANA)
    stage.sim("POST", "numbers", {"phone_number": "+447700900150", "sms": False})
    service.phone_numbers.create(phone_number="+447700900150")
    with refused(80202):
        stage.pair(service, ANA, BRITISH_ANA)
    assert stage.masked(stage.pair(service, ANA, BRITISH_ANA, mode="voice-only"))[BRITISH_ANA] == "+447700900150"
    service.phone_numbers(number_sid(POOL[0])).delete()
    stage.sim("POST", "numbers", {"phone_number": "+12125550150", "voice": False})
    service.phone_numbers.create(phone_number="+12125550150")
    with refused(80201):
        stage.pair(service, CLEO, BEN)
    assert [code for code in stage.alerts() if code < 80300] == [80205, 80203, 80202, 80201]


@pytest.mark.parametrize(
    ("level", "number", "fits"),
    [
        ("country", SAN_FRANCISCO, True),
        ("area-code", SAN_FRANCISCO, False),
        ("area-code", POOL[0], True),
        ("extended-area-code", "+16465550150", True),
        ("area-code", "+16465550150", False),
        ("extended-area-code", SAN_FRANCISCO, False),
    ],
)
def test_geo_match_level_narrows_the_choice(stage: Stage, level: str, number: str, fits: bool) -> None:
    """area-code wants the participant's own code, extended-area-code also one that serves the same place."""
    stage.sim("POST", "numbers", {"phone_number": number})
    service = stage.service(number, geo_match_level=level)
    if fits:
        assert stage.masked(stage.pair(service))[ANA] == number
    else:
        with refused(80206):
            stage.pair(service)


def test_area_levels_only_matter_in_north_america() -> None:
    """A British participant may have any British number at every level."""
    assert calling_code(BRITISH) == "44"
    assert calling_code("+353209100001") == "353"
    assert matches_area("area-code", BRITISH_ANA, "+441632960001")


def test_prefer_sticky_gives_the_number_of_last_time(stage: Stage) -> None:
    """A person who comes back gets the same masked number if it is free."""
    service = stage.service(*POOL)
    for _ in range(2):
        session = stage.pair(service)
        first = stage.masked(session)
        service.sessions(session.sid).delete()
    blocker = stage.pair(service, CLEO, "+12125550114")
    assert stage.masked(stage.pair(service)) == first
    assert blocker.status == "open"


def test_avoid_sticky_gives_another_number_while_it_can(stage: Stage) -> None:
    """A person who comes back gets each number of the pool before one repeats."""
    service = stage.service(*POOL, number_selection_behavior="avoid-sticky")
    seen = []
    for _ in range(3):
        session = stage.pair(service)
        seen.append(stage.masked(session)[ANA])
        service.sessions(session.sid).delete()
    assert sorted(seen) == sorted(POOL)


def test_reserved_numbers_are_only_given_when_named(stage: Stage) -> None:
    """A reserved number is never picked, but a participant may ask for it by number or by SID."""
    service = stage.service(POOL[0])
    service.phone_numbers(number_sid(POOL[0])).update(is_reserved=True)
    with refused(80205):
        stage.pair(service)
    people = [
        {"Identifier": ANA, "ProxyIdentifier": POOL[0]},
        {"Identifier": BEN, "ProxyIdentifierSid": number_sid(POOL[0]), "FriendlyName": "ben"},
    ]
    session = service.sessions.create(participants=people)
    assert stage.masked(session) == {ANA: POOL[0], BEN: POOL[0]}
    assert {person.friendly_name for person in session.participants.list()} == {None, "ben"}


def test_a_named_number_must_be_in_the_pool_and_free(stage: Stage) -> None:
    """Naming a number outside the pool is 80601, one that the person uses already 80604."""
    service = stage.service(POOL[0])
    stage.pair(service)
    with refused(80601):
        service.sessions.create(participants=[{"Identifier": CLEO, "ProxyIdentifier": POOL[1]}])
    with refused(80604):
        service.sessions.create(participants=[{"Identifier": ANA, "ProxyIdentifier": POOL[0]}])


# Sessions -----------------------------------------------------------------------------------------------------


def test_a_session_is_created_whole_or_not_at_all(stage: Stage) -> None:
    """When the second participant cannot be seated, neither the session nor the first one's number is taken."""
    service = stage.service(POOL[0])
    with refused(80203):
        stage.pair(service, ANA, BRITISH_ANA)
    assert service.sessions.list() == []
    assert service.phone_numbers(number_sid(POOL[0])).fetch().in_use == 0


def test_a_session_has_two_different_people(stage: Stage) -> None:
    """A third participant is 80609, the same person twice 80103, a person without a phone number 80402."""
    service = stage.service(*POOL)
    session = stage.pair(service)
    with refused(80609):
        session.participants.create(identifier=CLEO)
    with refused(80609):
        service.sessions.create(participants=[{"Identifier": person} for person in (ANA, BEN, CLEO)])
    alone = service.sessions.create(participants=[{"Identifier": CLEO}])
    with refused(80103):
        alone.participants.create(identifier=CLEO)
    with refused(80103):
        stage.pair(service, CLEO, CLEO)
    with refused(80402):
        alone.participants.create(identifier="dispatcher")


def test_participants_are_json_objects(stage: Stage) -> None:
    """A Participants field that is no JSON object, or has an unknown key, is refused with 20001."""
    service = stage.service(*POOL)
    for text in ("+12125550111", "[1]", json.dumps({"identifier": ANA}), json.dumps({})):
        response = stage.client.request(
            "POST", f"https://proxy.twilio.com/v1/Services/{service.sid}/Sessions", data={"Participants": text}
        )
        assert (response.status_code, json.loads(response.text)["code"]) == (400, 20001)


def test_a_removed_participant_frees_the_pair(stage: Stage) -> None:
    """After a participant is removed the same person can be seated on the same number elsewhere."""
    service = stage.service(POOL[0])
    session = stage.pair(service)
    person = next(person for person in session.participants.list() if person.identifier == ANA)
    assert person.delete() is True
    with refused(20404, 404):
        person.fetch()
    assert stage.masked(stage.pair(service, ANA, CLEO))[ANA] == POOL[0]


def test_a_session_name_is_unique_and_finds_the_session(stage: Stage) -> None:
    """A second session of the same name is 80603; a session is also fetched by its name."""
    service = stage.service(*POOL)
    session = stage.pair(service, unique_name="ride-7")
    with refused(80603):
        service.sessions.create(unique_name="ride-7")
    assert service.sessions("ride-7").fetch().sid == session.sid


def test_status_moves_only_as_proxy_allows(stage: Stage) -> None:
    """Open -> closed -> in-progress -> closed; anything else is 80607 or 80608."""
    service = stage.service(POOL[0])
    session = service.sessions(stage.pair(service).sid)
    with refused(80608):
        session.update(status="in-progress")
    closed = session.update(status="closed")
    assert (closed.status, closed.closed_reason) == ("closed", "api")
    assert closed.date_ended is not None
    for change in ({"ttl": 60}, {"status": "closed"}):
        with refused(80607):
            session.update(**change)
    with refused(80608):
        session.update(status="open")
    with refused(80607):
        session.participants.create(identifier=CLEO)
    again = session.update(status="in-progress")
    assert (again.status, again.closed_reason, again.date_ended) == ("in-progress", None, None)
    assert session.update(status="closed").status == "closed"


def test_reopening_never_activates_a_pair_twice(stage: Stage) -> None:
    """Re-opening is 80604 when a pair is active elsewhere, and 80601 when the number has left the pool."""
    service = stage.service(POOL[0])
    session = service.sessions(stage.pair(service).sid)
    session.update(status="closed")
    other = stage.pair(service, ANA, CLEO)
    with refused(80604):
        session.update(status="in-progress")
    service.sessions(other.sid).update(status="closed")
    service.phone_numbers(number_sid(POOL[0])).delete()
    with refused(80601):
        session.update(status="in-progress")


def test_ttl_counts_from_the_last_interaction(stage: Stage) -> None:
    """A text prolongs a session by its TTL; without one it closes with reason ttl and alert 80904."""
    service = stage.service(POOL[0], default_ttl=600)
    session = service.sessions(stage.pair(service).sid)
    stage.sim("POST", "clock", {"advance": 500})
    assert stage.sms(ANA, POOL[0], "on my way")["delivered"] is True
    stage.sim("POST", "clock", {"advance": 599})
    assert session.fetch().status == "in-progress"
    stage.sim("POST", "clock", {"advance": 2})
    ended = session.fetch()
    assert (ended.status, ended.closed_reason, ended.ttl) == ("closed", "ttl", 600)
    assert stage.alerts() == [80904]
    assert service.phone_numbers(number_sid(POOL[0])).fetch().in_use == 0


def test_date_expiry_outranks_ttl(stage: Stage) -> None:
    """With a DateExpiry a session neither ends earlier by its TTL nor is prolonged by a text."""
    service = stage.service(POOL[0])
    at = datetime.fromtimestamp(stage.clock.now() + 1000, UTC)
    session = service.sessions(stage.pair(service, ttl=60, date_expiry=at).sid)
    stage.sim("POST", "clock", {"advance": 900})
    stage.sms(ANA, POOL[0], "still here")
    assert session.fetch().status == "in-progress"
    stage.sim("POST", "clock", {"advance": 101})
    ended = session.fetch()
    assert (ended.status, ended.closed_reason) == ("closed", "date-expiry")
    assert ended.date_ended == at.replace(microsecond=0)


@pytest.mark.parametrize(("default_ttl", "status"), [(None, "closed"), (0, "open")])
def test_the_default_ttl_is_ninety_days_and_zero_is_unlimited(
    stage: Stage, default_ttl: int | None, status: str
) -> None:
    """Where nobody names a TTL a session ends after 90 days; an explicit default of 0 never ends it."""
    settings: dict[str, Any] = {} if default_ttl is None else {"default_ttl": default_ttl}
    service = stage.service(POOL[0], **settings)
    session = service.sessions(stage.pair(service).sid)
    stage.sim("POST", "clock", {"advance": 90 * 86400 - 10})
    assert session.fetch().status == "open"
    stage.sim("POST", "clock", {"advance": 20})
    assert session.fetch().status == status


def test_a_shorter_ttl_ends_an_idle_session_at_once(stage: Stage) -> None:
    """A TTL that has passed already when it is set closes the session."""
    service = stage.service(POOL[0], default_ttl=600)
    session = service.sessions(stage.pair(service).sid)
    stage.sim("POST", "clock", {"advance": 100})
    session.update(ttl=50)
    assert session.fetch().status == "closed"
    for bad in (0, 2147483648):
        with refused(20001):
            service.sessions.create(ttl=bad)


def test_two_creates_at_once_for_one_person_conflict(stage: Stage) -> None:
    """While one create for a person is under way a second one is 409 with 80623, and the first one succeeds."""
    service = stage.service(*POOL)
    seen: list[BaseException | None] = []

    def second(_now: float) -> None:
        if not seen:
            seen.append(None)
            try:
                stage.pair(service, ANA, CLEO)
            except Exception as error:  # noqa: BLE001 - judged below
                seen[0] = error

    stage.clock.subscribe(second)
    stage.sim("POST", "faults", {"on": "rest", "mode": "slow", "seconds": 1, "match": "POST .*/Sessions$", "times": 1})
    first = stage.pair(service, ANA, BEN)
    assert first.status == "open"
    assert (getattr(seen[0], "status", None), getattr(seen[0], "code", None)) == (409, 80623)
    assert stage.pair(service, ANA, CLEO).status == "open"


def test_deleting_a_session_deletes_what_is_in_it(stage: Stage) -> None:
    """After its session is deleted an interaction is not found, and the masked number is free."""
    service = stage.service(POOL[0])
    session = service.sessions(stage.pair(service).sid)
    stage.sms(ANA, POOL[0], "hello")
    interaction = session.interactions.list()[0]
    assert json.loads(interaction.data) == {"body": "hello"}
    assert session.delete() is True
    with refused(20404, 404):
        interaction.fetch()
    assert service.phone_numbers(number_sid(POOL[0])).fetch().in_use == 0


def test_deleting_a_service_frees_its_numbers(stage: Stage) -> None:
    """After a Service with an open session is deleted its number can join another."""
    service = stage.service(POOL[0])
    stage.pair(service)
    service.delete()
    other = stage.service(POOL[0])
    assert stage.masked(stage.pair(other))[ANA] == POOL[0]


def test_an_interaction_can_be_deleted_alone(stage: Stage) -> None:
    """Deleting an interaction removes Proxy's copy of the text and nothing else."""
    service = stage.service(POOL[0])
    session = service.sessions(stage.pair(service).sid)
    stage.sms(ANA, POOL[0], "hello")
    assert session.interactions.list()[0].delete() is True
    assert session.interactions.list() == []
    assert len(stage.client.messages.list()) == 2


def test_pages_follow_each_other_while_records_come(stage: Stage) -> None:
    """Pages of v1 lists neither repeat nor skip a record when a newer one is created between two pages."""
    service = stage.service()
    names = [service.sessions.create(unique_name=f"s{index}").unique_name for index in range(5)]
    page = service.sessions.page(page_size=2)
    seen = [session.unique_name for session in page]
    assert page.next_page_url.startswith(f"https://proxy.twilio.com/v1/Services/{service.sid}/Sessions?")
    service.sessions.create(unique_name="newcomer")
    while (page := page.next_page()) is not None:
        seen += [session.unique_name for session in page]
    assert seen == names[::-1]
