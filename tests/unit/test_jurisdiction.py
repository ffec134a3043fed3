"""The strictest law over all parties, and the table that it is read from."""

from __future__ import annotations

import itertools
import json
import re
import sys
import timeit
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from parley.core import jurisdiction
from parley.core.consent import Scope
from parley.core.jurisdiction import (
    OPERATOR,
    OVERRIDABLE,
    UNKNOWN,
    Announcement,
    Cause,
    Dimension,
    Explicitness,
    JurisdictionPolicy,
    NonParty,
    Override,
    Reading,
    Relaxation,
    Required,
    Row,
    Ruling,
    Table,
    Way,
    check_overrides,
    overridden,
    reviewed_table,
    rule_for,
    suggestion,
)
from parley.core.location import Confidence, Location, Source

from tests.unit.chains import ANA, BEN, CLEO

TABLE = reviewed_table()
DATA = Path(jurisdiction.__file__).parents[1] / "data" / "jurisdictions.json"
REVIEWED = date(2026, 11, 1)
RELAX = Relaxation("J. Doe, counsel", REVIEWED, "opinion of 2026-11-01")
STATES, MEMBERS, OTHERS = (
    codes.split()
    for codes in (
        (
            "AK AL AR AZ CA CO CT DC DE FL GA HI IA ID IL IN KS KY LA MA MD ME MI MN MO MS "
            "MT NC ND NE NH NJ NM NV NY OH OK OR PA RI SC SD TN TX UT VA VT WA WI WV WY"
        ),
        "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK",
        (
            "AE AR AT AU BE BR CA CH CL CN CO CZ DE DK ES EU FI FR GB GR HK HU ID IE IL IN IT JP KE KR MX MY NG NL NO "
            "NZ PH PL PT RO SA SE SG TH TR TW US VN ZA ZZ"
        ),
    )
)
ROWS = sorted({*OTHERS, *(f"US-{state}" for state in STATES)})
PLACES = sorted(set(ROWS) - {UNKNOWN} | set(MEMBERS))
STRICTEST = (Required.ALL, Explicitness.EXPLICIT, Announcement.START_RECORDED)


def at(*codes: str, source: Source = Source.DECLARED) -> tuple[Location, ...]:
    """Return places that are known in one way."""
    return tuple(Location(code, source) for code in codes)


def ruling(*codes: str, scope: Scope = Scope.RECORD_VOICE, **changes: Any) -> Ruling:
    """Return the ruling for one person in each of these places, with the operator in Texas, but for `changes`."""
    fields: dict[str, Any] = {
        "parties": {party: at(code) for party, code in zip((ANA, BEN, CLEO), codes, strict=False)},
        "operator": Location("US-TX", Source.DECLARED),
        "scope": scope,
        "table": TABLE,
        **changes,
    }
    return rule_for(**fields)


def said(ruled: Ruling) -> tuple[Required, Explicitness, Announcement]:
    """Return what the law demands."""
    return ruled.demanded, ruled.explicit, ruled.announcement


def strength(ruled: Ruling) -> tuple[int, ...]:
    """Return how strict each part of a ruling is."""
    return (
        list(Required).index(ruled.demanded),
        list(Required).index(ruled.consent),
        list(Explicitness).index(ruled.explicit),
        list(Announcement).index(ruled.announcement),
    )


def never_relaxes(before: Ruling, after: Ruling) -> bool:
    """Say whether no part of a ruling became less strict."""
    return all(was <= now for was, now in zip(strength(before), strength(after), strict=True))


def override(code: str, **changes: Any) -> Override:
    """Return counsel's override of a row."""
    return Override(code, "J. Doe, counsel", REVIEWED, "opinion of 2026-11-01", **changes)


# Few places, so that those of one person often agree or contradict each other; a part and its whole, and no places.
CODES = st.sampled_from(["US", "US-TX", "US-TX", "US-CA", "EU", "DE", "DE-BY", "BG", "ZZ", "XX", ""]) | st.sampled_from(
    PLACES
)
LOCATIONS = st.builds(Location, CODES, st.sampled_from(Source), st.sampled_from(Confidence))
PEOPLE = st.dictionaries(st.sampled_from([ANA, BEN, CLEO]), st.lists(LOCATIONS, max_size=3), min_size=1)
OVERRIDES = st.lists(
    st.builds(
        override,
        st.sampled_from(PLACES),
        **{name: st.none() | st.sampled_from(values) for name, values in OVERRIDABLE.items()},
    ),
    max_size=3,
    unique_by=lambda one: one.code,
)
TIGHTER = st.builds(
    override,
    st.sampled_from(PLACES),
    consent=st.sampled_from([None, Required.ALL]),
    operator=st.sampled_from([None, NonParty.ALL]),
    video=st.sampled_from([None, Required.ALL]),
    messages=st.sampled_from([None, Required.ALL]),
    explicit=st.sampled_from([None, Explicitness.EXPLICIT]),
    announcement=st.sampled_from([None, Announcement.START_RECORDED, Announcement.TONE]),
)
TABLES = st.builds(overridden, st.just(TABLE), OVERRIDES)
WORLDS = st.fixed_dictionaries(
    {
        "operator": st.none() | LOCATIONS,
        "scope": st.sampled_from(Scope),
        "table": st.just(TABLE) | TABLES,
        "relax": st.sampled_from([None, RELAX]),
    }
)


def agree(table: Table, locations: Sequence[Location]) -> bool:
    """Say whether each of these places is known, and lies within the next wider one."""
    chains = sorted((table.chains.get(table.place(one.code) or "", frozenset()) for one in locations), key=len)
    return all(chains) and all(narrow <= wide for narrow, wide in itertools.pairwise(chains))


class TestNothingRelaxes:
    """Whatever is added to a conversation, or not known any more, the ruling stays as strict."""

    @given(PEOPLE, st.lists(LOCATIONS, max_size=2), WORLDS)
    def test_another_party(self, people: dict[str, list[Location]], more: list[Location], world: Any) -> None:
        """Adding a party never relaxes a ruling."""
        assert never_relaxes(rule_for(people, **world), rule_for({**people, "d" * 64: more}, **world))

    @given(PEOPLE, st.data(), WORLDS)
    def test_place_that_proves_nothing_any_more(
        self, people: dict[str, list[Location]], data: st.DataObject, world: Any
    ) -> None:
        """Lowering how a place is known to a phone prefix, to nothing or to low confidence never relaxes."""
        party = data.draw(st.sampled_from(sorted(people)))
        assume(people[party])
        index = data.draw(st.integers(0, len(people[party]) - 1))
        ways: list[dict[str, Any]] = [
            {"source": Source.PREFIX},
            {"source": Source.UNKNOWN},
            {"confidence": Confidence.LOW},
        ]
        weaker = data.draw(st.sampled_from(ways))
        changed = list(people[party])
        changed[index] = replace(changed[index], **weaker)
        assert never_relaxes(rule_for(people, **world), rule_for({**people, party: changed}, **world))

    @given(PEOPLE, st.data(), WORLDS)
    def test_place_that_is_lost(self, people: dict[str, list[Location]], data: st.DataObject, world: Any) -> None:
        """Losing one of a person's places that agree, or all of them, never relaxes."""
        party = data.draw(st.sampled_from(sorted(people)))
        lost = data.draw(st.integers(0, max(0, len(people[party]) - 1)))
        left = [one for index, one in enumerate(people[party]) if index != lost]
        before = rule_for(people, **world)
        assert never_relaxes(before, rule_for({**people, party: []}, **world))
        if agree(world["table"], people[party]):
            assert never_relaxes(before, rule_for({**people, party: left}, **world))

    @given(PEOPLE, LOCATIONS, WORLDS)
    def test_place_that_contradicts(self, people: dict[str, list[Location]], more: Location, world: Any) -> None:
        """Adding a place that contradicts the others, or is not known, reads as the strictest law."""
        changed = {party: [*places, more] for party, places in people.items()}
        assume(not any(agree(world["table"], places) for places in changed.values()))
        after = rule_for(changed, **world)
        assert never_relaxes(rule_for(people, **world), after)
        assert never_relaxes(rule_for(dict.fromkeys(people, ()), **world), after)

    @given(st.sampled_from(PLACES), WORLDS)
    def test_wider_place(self, code: str, world: Any) -> None:
        """Knowing only the country of a state, or the union of a country, never relaxes."""
        narrow = rule_for({ANA: at(code)}, **world)
        for wider in TABLE.chains[code]:
            assert never_relaxes(narrow, rule_for({ANA: at(wider)}, **world)), wider

    @given(PEOPLE, WORLDS)
    def test_operator_of_unknown_place(self, people: dict[str, list[Location]], world: Any) -> None:
        """Not saying where the operator is never relaxes."""
        assert never_relaxes(rule_for(people, **world), rule_for(people, **world | {"operator": None}))

    @given(PEOPLE, TIGHTER, WORLDS)
    def test_override_that_tightens(self, people: dict[str, list[Location]], tighter: Override, world: Any) -> None:
        """An override whose every value is at least as strict as the row's relaxes no ruling."""
        world |= {"table": TABLE}
        after = rule_for(people, **world | {"table": overridden(TABLE, [tighter])})
        assert never_relaxes(rule_for(people, **world), after)

    @given(PEOPLE, WORLDS)
    def test_everybody_is_asked(self, people: dict[str, list[Location]], world: Any) -> None:
        """Without a decision everybody is asked; with one as many as the law demands, and never fewer."""
        ruled = rule_for(people, **world)
        assert ruled.consent is (ruled.demanded if world["relax"] else Required.ALL)
        assert never_relaxes(rule_for(people, **world | {"relax": RELAX}), ruled)


class TestRulings:
    """What a ruling is made of."""

    @given(PEOPLE, WORLDS)
    def test_order_does_not_matter(self, people: dict[str, list[Location]], world: Any) -> None:
        """Neither the order of the parties nor that of a person's places changes anything in a ruling."""
        backwards = {party: people[party][::-1] for party in reversed(people)}
        assert rule_for(backwards, **world) == rule_for(people, **world)

    @given(PEOPLE, WORLDS)
    def test_who_decides_demands_it(self, people: dict[str, list[Location]], world: Any) -> None:
        """Each reason names somebody whose places demand what was ruled, and a row of the table that says so."""
        table, scope = world["table"], world["scope"]
        ruled = rule_for(people, **world)
        assert [one.dimension for one in ruled.reasons] == list(Dimension)
        assert [one.value for one in ruled.reasons] == list(said(ruled))
        for reason in ruled.reasons:
            own = {OPERATOR: [world["operator"]] if world["operator"] else [], **people}[reason.party]
            alone = rule_for({ANA: own}, **world)
            assert getattr(alone, "demanded" if reason.dimension is Dimension.CONSENT else reason.dimension) == (
                reason.value
            )
            assert table.rows[reason.row.code] is reason.row
            assert reason.value in asked_by(reason.row, scope)
        assert (ruled.party, ruled.row) == (ruled.reasons[0].party, ruled.reasons[0].row.code)

    @given(st.text(max_size=8), st.sampled_from(Scope))
    def test_unknown_codes_are_strictest(self, code: str, scope: Scope) -> None:
        """A code that the table does not know is the strictest law in every respect, and never an error."""
        assume(TABLE.place(code) is None)
        assert said(ruling(code, scope=scope)) == said(ruling(UNKNOWN, scope=scope))
        assert strength(ruling(code, scope=scope)) == tuple(
            max(each) for each in zip(*(strength(ruling(one, scope=scope)) for one in PLACES), strict=True)
        )

    @pytest.mark.parametrize("code", [*PLACES, UNKNOWN])
    def test_every_place_has_rulings(self, code: str) -> None:
        """Every row and every member of the union yields a ruling for every scope, with a sentence a reason."""
        for scope in Scope:
            ruled = ruling(code, scope=scope)
            assert ruled.version == TABLE.version
            assert len(ruled.words) >= len(Dimension)
            assert all(ANA not in words for words in ruled.words)

    def test_nobody(self) -> None:
        """A ruling over nobody is a mistake of the caller."""
        with pytest.raises(ValueError, match="at least one party"):
            ruling()

    def test_speed(self, capsys: pytest.CaptureFixture[str]) -> None:
        """A ruling for two parties takes some 10 microseconds; a busy machine may take ten times as long."""
        parties = {ANA: at("US-CA"), BEN: at("US-TX")}
        operator = Location("US-TX", Source.DECLARED)
        rounds = timeit.repeat(lambda: rule_for(parties, operator, Scope.RECORD_VOICE, TABLE), number=500, repeat=7)
        microseconds = min(rounds) / 500 * 1e6
        with capsys.disabled():
            sys.stdout.write(f" [a ruling for two parties: {microseconds:.1f} µs] ")
        assert microseconds < 200


def asked_by(row: Row, scope: Scope) -> set[Any]:
    """Return what one row asks for by itself, written down without the engine."""
    readings = {row.consent}
    if scope in {Scope.RECORD_VIDEO, Scope.TRANSCRIBE, Scope.MANAGE} and row.video:
        readings.add(row.video)
    if scope in {Scope.STORE_MESSAGES, Scope.MANAGE} and row.messages:
        readings.add(row.messages)
    one = readings == {Reading.ONE} and row.operator is not NonParty.ALL
    unclear = {Reading.PROHIBITED, Reading.UNKNOWN} & readings or row.operator is NonParty.ONE_WRITTEN
    recorded = scope in {Scope.RECORD_VOICE, Scope.RECORD_VIDEO, Scope.TRANSCRIBE}
    return {
        Required.ONE if one else Required.ALL,
        Explicitness.EXPLICIT if unclear else row.explicit,
        row.announcement if recorded else Announcement.NONE,
    }


class TestKnownCases:
    """Cases that reviewers ask about."""

    def test_california_and_texas(self) -> None:
        """One party in California makes it the consent of all, whoever else is where."""
        ruled = ruling("US-TX", "US-CA")
        assert (ruled.demanded, ruled.party, ruled.row) == (Required.ALL, BEN, "US-CA")
        assert ruled.words[0] == (
            f"party {BEN[:12]}: US-CA (California) asks for the consent of all parties: "
            "Cal. Penal Code 631, 632, 632.7, 637.2, which itself takes any of consent, knowledge"
        )

    def test_two_texans(self) -> None:
        """In Texas one party is enough by law, and both are asked all the same."""
        ruled = ruling("US-TX", "US-TX")
        assert said(ruled) == (Required.ONE, Explicitness.IMPLIED_OK, Announcement.NONE)
        assert ruled.consent is Required.ALL
        assert ruled.words[-1] == "everybody is asked all the same, as best practice has it (R9)"

    def test_two_texans_relaxed(self) -> None:
        """With a reviewer and a date one of the two is enough, and the ruling says who decided so."""
        ruled = ruling("US-TX", "US-TX", relax=RELAX)
        assert (ruled.consent, ruled.relaxed) == (Required.ONE, RELAX)
        assert ruled.words[-1] == (
            "not everybody is asked, by decision of J. Doe, counsel on 2026-11-01: opinion of 2026-11-01"
        )

    def test_relaxation_does_not_reach_california(self) -> None:
        """Where the law demands all, a relaxation changes nothing and is not named."""
        ruled = ruling("US-CA", "US-TX", relax=RELAX)
        assert (ruled.consent, ruled.relaxed) == (Required.ALL, None)
        assert len(ruled.words) == len(Dimension)

    def test_operators_own_place(self) -> None:
        """The operator's own law counts as a party's does."""
        ruled = ruling("US-TX", operator=Location("US-CA", Source.DECLARED))
        assert (ruled.demanded, ruled.party, ruled.row) == (Required.ALL, OPERATOR, "US-CA")
        assert ruled.words[0].startswith("the operator: US-CA (California) asks for")

    def test_connecticut(self) -> None:
        """Connecticut's three ways are kept; the ruling takes the consent of all and the recorded announcement."""
        assert said(ruling("US-CT")) == (Required.ALL, Explicitness.IMPLIED_OK, Announcement.START_RECORDED)
        assert TABLE.rows["US-CT"].ways == (Way.CONSENT, Way.START_RECORDED, Way.TONE)

    def test_washington(self) -> None:
        """In Washington the announcement has to be in the recording itself."""
        assert said(ruling("US-WA")) == (Required.ALL, Explicitness.IMPLIED_OK, Announcement.START_RECORDED)

    def test_montana(self) -> None:
        """In Montana all have to know: a warning to everybody is enough."""
        assert said(ruling("US-MT")) == (Required.ALL, Explicitness.IMPLIED_OK, Announcement.START)
        assert Way.KNOWLEDGE in TABLE.rows["US-MT"].ways

    def test_oregon(self) -> None:
        """Oregon's lists disagree, so it reads as all; where counsel settles the phone, video still needs all."""
        assert ruling("US-OR").demanded is Required.ALL
        settled = overridden(TABLE, [override("US-OR", consent=Required.ONE)])
        assert ruling("US-OR", table=settled).demanded is Required.ONE
        assert ruling("US-OR", table=settled, scope=Scope.RECORD_VIDEO).demanded is Required.ALL

    def test_illinois(self) -> None:
        """In Illinois taking texts as a non-party needs all, even if counsel settled calls otherwise."""
        settled = overridden(TABLE, [override("US-IL", consent=Required.ONE, operator=NonParty.ONE)])
        assert ruling("US-IL", table=settled).demanded is Required.ONE
        assert ruling("US-IL", table=settled, scope=Scope.STORE_MESSAGES).demanded is Required.ALL

    def test_nevada(self) -> None:
        """Nevada's rule is case law, and the reason says so."""
        assert "all parties: case law on NRS 200.620" in ruling("US-NV").words[0]

    def test_delaware_is_not_germany(self) -> None:
        """US-DE is Delaware and DE is Germany."""
        assert (ruling("US-DE").row, ruling("DE").row, TABLE.place("DE-BE")) == ("US-DE", "DE", "DE")
        assert ruling("US-DE").announcement is Announcement.NONE
        assert said(ruling("DE")) == (Required.ALL, Explicitness.EXPLICIT, Announcement.START)

    @pytest.mark.parametrize("code", ["JP", "KR", "BR", "US-MI", "GB"])
    def test_participants_exception_does_not_help_the_operator(self, code: str) -> None:
        """Where a participant may record but a relay may not, everybody has to agree, explicitly."""
        assert TABLE.rows[code].consent is Reading.MIXED
        settled = overridden(TABLE, [override(code, consent=Required.ONE)])
        assert said(ruling(code, table=settled))[:2] == (Required.ALL, Explicitness.EXPLICIT)

    def test_south_africa(self) -> None:
        """One party's consent is enough in South Africa, but in writing, which implied consent is not."""
        settled = overridden(TABLE, [override("ZA", explicit=Explicitness.IMPLIED_OK)])
        assert said(ruling("ZA", table=settled))[:2] == (Required.ONE, Explicitness.EXPLICIT)

    def test_member_without_a_row(self) -> None:
        """Bulgaria has no row of its own and is read by that of the European Union."""
        ruled = ruling("BG")
        assert (ruled.row, said(ruled)) == ("EU", (Required.ALL, Explicitness.EXPLICIT, Announcement.START))

    def test_country_of_states(self) -> None:
        """Somebody who is only known to be in the United States may be in its strictest state."""
        ruled = ruling("US")
        assert said(ruled) == STRICTEST
        assert ruled.reasons[0].cause is Cause.NOT_PRECISE
        assert "parts of the place have laws of their own" in ruled.words[0]

    @pytest.mark.parametrize("code", ["US-PR", "EU-BG", "IS", "UK", "us-ca", "ZZ", ""])
    def test_places_that_the_table_does_not_know(self, code: str) -> None:
        """A territory, a country or a spelling that is not in the table is an unknown place."""
        assert said(ruling(code)) == STRICTEST
        assert ruling(code).reasons[2].cause is Cause.NOT_LISTED

    def test_own_messages(self) -> None:
        """The operator's own messages are not what the table is about, so they read as the strictest."""
        ruled = ruling("US-TX", scope=Scope.RECEIVE_INFO)
        assert said(ruled) == (Required.ALL, Explicitness.EXPLICIT, Announcement.NONE)
        assert "the operator's own messages" in ruled.words[0]

    @pytest.mark.parametrize("scope", [Scope.MANAGE, Scope.STORE_MESSAGES])
    def test_nothing_to_announce(self, scope: Scope) -> None:
        """What is not recorded is not announced in a recording."""
        assert ruling("US-WA", "ZZ", scope=scope).announcement is Announcement.NONE


class TestPlaces:
    """What a person's places say together."""

    @pytest.mark.parametrize(
        ("locations", "cause"),
        [
            ((), Cause.NO_PLACE),
            (at("US-TX", source=Source.PREFIX), Cause.NOT_PROVEN),
            (at("US-TX", source=Source.UNKNOWN), Cause.NOT_PROVEN),
            ((Location("US-TX", Source.GPS, Confidence.LOW),), Cause.NOT_PROVEN),
            (at("US-TX", "US-CA"), Cause.CONFLICT),
            ((*at("US-TX"), *at("US-NY", source=Source.PREFIX)), Cause.CONFLICT),
            (at("US-TX", "XX"), Cause.NOT_LISTED),
            (at("US-TX", "US", "EU"), Cause.CONFLICT),
        ],
    )
    def test_no_knowledge(self, locations: tuple[Location, ...], cause: Cause) -> None:
        """Nothing, a phone prefix alone, an unsure place and places that contradict each other are the strictest."""
        ruled = ruling(parties={ANA: locations})
        assert said(ruled) == STRICTEST
        assert (ruled.party, ruled.row, ruled.reasons[0].cause) == (ANA, UNKNOWN, cause)
        assert "so the strictest law counts" in ruled.words[0]

    @pytest.mark.parametrize(
        "more",
        [
            at("US", source=Source.PREFIX),
            at("US-TX", source=Source.PREFIX),
            at("US-TX", "US", source=Source.VERIFIED),
        ],
    )
    def test_places_that_agree(self, more: tuple[Location, ...]) -> None:
        """A proven state stays what it is when a prefix or a wider place says the same."""
        assert said(ruling(parties={ANA: (*more, *at("US-TX"))})) == said(ruling("US-TX"))

    def test_prefix_does_not_narrow(self) -> None:
        """A prefix of Texas does not make somebody who is in the United States a Texan."""
        texan = (*at("US"), *at("US-TX", source=Source.PREFIX))
        assert said(ruling(parties={ANA: texan})) == STRICTEST

    def test_part_of_a_country(self) -> None:
        """A region is read by its country, and agrees with the union."""
        assert TABLE.place("CA-QC") == "CA"
        assert said(ruling(parties={ANA: at("DE-BY", "EU", "DE")})) == said(ruling("DE"))


class TestOverrides:
    """What counsel says instead of a row."""

    MICHIGAN = override("US-MI", consent=Required.ONE, operator=NonParty.ONE)

    def test_row_is_replaced(self) -> None:
        """An override changes its row, and ruling and reason say whose it is and of when."""
        ruled = ruling("US-MI", table=overridden(TABLE, [self.MICHIGAN]))
        assert (ruled.demanded, ruled.version) == (Required.ONE, f"{TABLE.version}+counsel 2026-11-01")
        assert ruling("US-MI").demanded is Required.ALL
        texas = ruling("US-TX", table=overridden(TABLE, [override("US-TX", consent=Required.ALL)]))
        assert texas.words[0].endswith("Tex. Penal Code 16.02 as read by J. Doe, counsel on 2026-11-01")

    def test_version_has_the_last_date(self) -> None:
        """Of several overrides the last one dates the table; none leaves it as it is."""
        later = replace(self.MICHIGAN, code="US-OR", date=date(2026, 12, 1))
        assert overridden(TABLE, [later, self.MICHIGAN]).version == f"{TABLE.version}+counsel 2026-12-01"
        assert overridden(TABLE, []) is TABLE

    def test_member_without_a_row_gets_one(self) -> None:
        """A member of the union without a row can be overridden, starting from the union's as counsel reads it."""
        tone = override("BG", announcement=Announcement.TONE)
        union = override("EU", consent=Required.ONE, operator=NonParty.ONE)
        settled = overridden(TABLE, [tone, union])
        assert said(ruling("BG", table=settled)) == (Required.ONE, Explicitness.EXPLICIT, Announcement.TONE)
        assert said(ruling("LT", table=settled)) == (Required.ONE, Explicitness.EXPLICIT, Announcement.START)
        assert settled.rows["BG"].name == "BG as a member of EU"

    def test_tightest_row_tightens_the_unknown(self) -> None:
        """A tone that counsel asks for in Texas is played wherever the place is not known."""
        settled = overridden(TABLE, [override("US-TX", announcement=Announcement.TONE)])
        ruled = ruling("XX", table=settled)
        assert ruled.announcement is Announcement.TONE
        assert ruled.words[2].endswith("an announcement that is itself recorded, and a tone, as in US-TX")

    def test_federal_law_binds_in_every_state(self) -> None:
        """What counsel reads into the federal law holds in every state."""
        settled = overridden(TABLE, [override("US", announcement=Announcement.START)])
        assert ruling("US-NY", table=settled).announcement is Announcement.START

    @pytest.mark.parametrize("code", ["ZZ", "XX", "CA-QC"])
    def test_row_that_is_none(self, code: str) -> None:
        """The unknown place and places without a row cannot be overridden."""
        with pytest.raises(ValueError, match=f"{code} has no row"):
            overridden(TABLE, [override(code, consent=Required.ONE)])

    @pytest.mark.parametrize(
        ("wrong", "said"),
        [
            (override("ZZ", consent=Required.ONE), "overrides.ZZ: cannot be overridden"),
            (override("US-CF", consent=Required.ONE), "overrides.US-CF: is not a place of the table; did you mean"),
            (override("US-MI"), "overrides.US-MI: changes nothing; set some of consent, operator"),
            (
                override("US-MI", consent=Required.ONE),
                "overrides.US-MI.consent: is one, but another field of the row demands all; override that field",
            ),
            (
                override("JP", operator=NonParty.ONE_WRITTEN),
                "overrides.JP.operator: is one-written, but another field of the row demands all",
            ),
            (
                override("ZA", explicit=Explicitness.IMPLIED_OK),
                "overrides.ZA.explicit: is implied-ok, but another field of the row demands explicit",
            ),
            (
                override("EU", explicit=Explicitness.IMPLIED_OK),
                "overrides.EU.explicit: is implied-ok, but another field of the row demands explicit",
            ),
            (
                override("DE", explicit=Explicitness.IMPLIED_OK),
                "overrides.DE.explicit: is implied-ok, but EU, which binds there too, demands explicit; override EU",
            ),
        ],
    )
    def test_override_without_effect_is_told(self, wrong: Override, said: str) -> None:
        """An override of no row, of nothing, or of what still binds otherwise is told with its key and the way out."""
        problems = check_overrides(TABLE, [wrong])
        assert len(problems) == 1
        assert str(problems[0]).startswith(f"parley:jurisdiction.{said}")

    def test_override_with_effect_is_fine(self) -> None:
        """An override that takes effect is no problem, be it looser or stricter."""
        written = override("NZ", operator=NonParty.ONE_WRITTEN)
        union = override("EU", consent=Required.ONE, operator=NonParty.ONE)
        spain = override("ES", consent=Required.ONE, operator=NonParty.ONE)
        tone = override("BG", announcement=Announcement.TONE)
        assert check_overrides(TABLE, [self.MICHIGAN, written, union, spain, tone]) == []

    @pytest.mark.parametrize(
        ("code", "meant"), [("US-CAL", "'US-CA'"), ("California", "'US-CA'"), ("UK", "'GB'"), ("EL", "'GR'")]
    )
    def test_place_that_was_meant(self, code: str, meant: str) -> None:
        """A name, a code with a slip or a code that ISO does not use leads to the row."""
        assert suggestion(TABLE, code) == f"did you mean {meant}?"

    def test_place_that_nobody_meant(self) -> None:
        """Where nothing is near, the message says what to write, and what a missing place reads as."""
        assert "strictest law" in suggestion(TABLE, "????????")


class TestPolicy:
    """What a stack declares, on its way to the functions."""

    @given(st.none() | st.sampled_from(PLACES), OVERRIDES, st.sampled_from([None, RELAX]))
    def test_json_and_back(self, operator: str | None, overrides: list[Override], relax: Relaxation | None) -> None:
        """A policy whose overrides are sorted by code, as settings have them, comes back equal."""
        policy = JurisdictionPolicy(operator, tuple(sorted(overrides, key=lambda one: one.code)), relax)
        assert JurisdictionPolicy.from_json(policy.to_json()) == policy

    def test_empty_policy(self) -> None:
        """A policy that says nothing is an empty object, and its operator is nowhere."""
        assert JurisdictionPolicy().to_json() == "{}"
        assert JurisdictionPolicy().location is None

    def test_operators_place_is_declared(self) -> None:
        """The operator's place is as good as a declared one."""
        assert JurisdictionPolicy("US-TX").location == Location("US-TX", Source.DECLARED)

    @pytest.mark.parametrize(
        "text",
        ["", "[]", '{"relax":{}}', '{"relax":[]}', '{"overrides":{"US":{"consent":"two"}}}', '{"overrides":[]}'],
    )
    def test_anything_else(self, text: str) -> None:
        """What `to_json` does not write is a ValueError."""
        with pytest.raises(ValueError, match=r".+"):
            JurisdictionPolicy.from_json(text)


class TestData:
    """The reviewed file: complete, in form, and small."""

    RAW: Mapping[str, Any] = json.loads(DATA.read_text(encoding="utf-8"))
    ALLOWED: Mapping[str, set[str] | None] = {
        "code": None,
        "name": None,
        "consent": set(Reading),
        "operator": set(NonParty),
        "explicit": set(Explicitness),
        "announcement": set(Announcement),
        "video": {"one", "all"},
        "messages": {"one", "all"},
        "ways": None,
        "authority": {"case-law"},
        "statute": None,
        "note": None,
        "source": None,
        "source_read": {"yes", "partly", "no"},
        "confidence": set(Confidence),
        "reviewed_on": None,
    }
    OPTIONAL = frozenset({"video", "messages", "ways", "authority"})

    def test_every_place_is_there(self) -> None:
        """Every state, the capital's district, the other countries and the unknown place have one row each."""
        assert [row["code"] for row in self.RAW["rows"]] == ROWS
        assert len(ROWS) == 101

    def test_members_of_the_union(self) -> None:
        """The union has its 27 members, each with a row or without."""
        assert self.RAW["members"] == {"EU": MEMBERS}
        assert len(MEMBERS) == 27

    @pytest.mark.parametrize("row", RAW["rows"], ids=lambda row: row["code"])
    def test_row_is_in_form(self, row: dict[str, Any]) -> None:
        """Each row has the fields of the schema, none of them empty, in one order, with values it allows."""
        assert set(self.ALLOWED) - self.OPTIONAL <= set(row)
        assert list(row) == [name for name in self.ALLOWED if name in row]
        for name, value in row.items():
            allowed = self.ALLOWED[name]
            assert value
            assert allowed is None or value in allowed, name
            assert name == "ways" or (isinstance(value, str) and value == value.strip()), name

    @pytest.mark.parametrize("row", TABLE.rows.values(), ids=lambda row: row.code)
    def test_row_is_consistent(self, row: Row) -> None:
        """A recalled row is explicit and not of high confidence, and other lawful ways than consent imply one."""
        if row.source_read != "yes":
            assert row.explicit is Explicitness.EXPLICIT
            assert row.confidence is not Confidence.HIGH
        if set(row.ways) - {Way.CONSENT}:
            assert row.explicit is Explicitness.IMPLIED_OK
        assert date(2026, 1, 1) <= row.reviewed_on <= TABLE.reviewed_on

    def test_what_was_read(self) -> None:
        """The page says how many rows were read, in part or not at all, and how sure they are."""
        page = (Path(__file__).parents[2] / "docs" / "jurisdictions.md").read_text(encoding="utf-8")
        told = re.findall(r"^\| `(source_read|confidence): (\w+)` \|.*\| (\d+) \|$", page, re.MULTILINE)
        rows = TABLE.rows.values()
        assert {(field, value): int(count) for field, value, count in told} == Counter(
            [("source_read", row.source_read) for row in rows] + [("confidence", row.confidence) for row in rows]
        )

    @pytest.mark.parametrize("code", sorted(TABLE.rows.keys() & TABLE.chains.keys() - TABLE.divided))
    def test_no_row_is_looser_than_what_binds_above_it(self, code: str) -> None:
        """A state's own row asks for no less than the federal one, and a member's for no less than the union's."""
        for scope in Scope:
            if scope is not Scope.RECEIVE_INFO:
                own = ruling(code, operator=Location(code, Source.DECLARED), scope=scope)
                assert {reason.row.code for reason in own.reasons} == {code}

    def test_unknown_row_is_the_strictest(self) -> None:
        """The row of the unknown place is at least as strict as every other one, before any override."""
        for scope in Scope:
            assert all(reason.row.code == UNKNOWN for reason in ruling(UNKNOWN, scope=scope).reasons)

    def test_one_row_a_line(self) -> None:
        """The file can be reviewed row by row, and is small enough for the functions' zip."""
        lines = DATA.read_text(encoding="utf-8").splitlines()
        assert [json.loads(line.rstrip(","))["code"] for line in lines if line.startswith("    {")] == ROWS
        assert DATA.stat().st_size <= 60_000

    def test_version_and_review(self) -> None:
        """The file has a version, and its review is that of its last row."""
        assert TABLE.version == "2026.1"
        assert max(row.reviewed_on for row in TABLE.rows.values()) == TABLE.reviewed_on
