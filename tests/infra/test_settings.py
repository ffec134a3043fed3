"""Settings: what a stack may declare, and the one message that tells everything that is wrong."""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from parley.core.jurisdiction import Announcement, JurisdictionPolicy, NonParty, Override, Relaxation, Required
from parley.core.retention import Problem

from infra.section import redacted, shown
from infra.settings import ENVIRONMENTS, SECRET_KEYS, SettingsError, cautions, from_pulumi, load
from tests.infra import stacks

KEYS = tuple(yaml.safe_load((stacks.PROJECT / "Pulumi.yaml").read_text())["config"])


def problems(environment: str = "dev", /, **changed: Any) -> dict[str, str]:
    """Return what is wrong with a filled-in stack after these changes, by key; None takes a key away."""
    config = {key: value for key, value in (stacks.filled(environment) | changed).items() if value is not None}
    with pytest.raises(SettingsError) as caught:
        load(config)
    return {problem.key: f"{problem.reason}; {problem.way_out}" for problem in caught.value.problems}


class TestCommittedStacks:
    """The four files in the repository."""

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_filled_in_stack_loads(self, environment: str) -> None:
        """A committed stack with its placeholders filled in is right as it is."""
        settings = load(stacks.filled(environment), stack=environment)
        assert (settings.environment, settings.prefix) == (environment, f"parley-{environment}")

    @pytest.mark.parametrize("environment", ["dev", "staging", "prod"])
    def test_placeholders_are_refused(self, environment: str) -> None:
        """A placeholder that was left in is named with its key, and the message says what to put there."""
        with pytest.raises(SettingsError) as caught:
            load(stacks.committed(environment) | stacks.SECRETS, stack=environment)
        left = {problem.key for problem in caught.value.problems if "placeholder" in problem.reason}
        assert {"parley:twilioAccountSid", "parley:twilioApiKey", "parley:numbers.adopt[0]"} <= left
        assert all(problem.way_out.startswith("put ") for problem in caught.value.problems if problem.key in left)

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_no_secret_is_committed(self, environment: str) -> None:
        """The committed files hold no secret key, not even an encrypted one."""
        assert SECRET_KEYS.isdisjoint(stacks.committed(environment))

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_only_keys_of_the_schema(self, environment: str) -> None:
        """Every key of a stack is described in Pulumi.yaml."""
        assert set(stacks.committed(environment)) <= set(KEYS)

    def test_environments_differ_where_they_must(self) -> None:
        """Data outlives the stack in staging and prod only, and only prod may lock for good."""
        loaded = {environment: load(stacks.filled(environment)) for environment in ENVIRONMENTS}
        assert {e: s.protection.retain for e, s in loaded.items()} == {
            "local": False,
            "dev": False,
            "staging": True,
            "prod": True,
        }
        assert {e: s.records.lock()[0] for e, s in loaded.items()} == {
            "local": "none",
            "dev": "none",
            "staging": "governance",
            "prod": "compliance",
        }
        assert {e: s.protection.key_window_days for e, s in loaded.items()} == {
            "local": 7,
            "dev": 7,
            "staging": 30,
            "prod": 30,
        }

    def test_compliance_lock_asks_for_a_decision(self) -> None:
        """The committed prod stack deploys nothing until somebody says that the lock cannot be undone."""
        protection = stacks.filled("prod")["protection"] | {"complianceLockCannotBeUndone": False}
        found = problems("prod", protection=protection)
        assert set(found) == {"parley:records.consent-evidence.lock", "parley:records.erasure-proofs.lock"}
        assert all("parley:protection.complianceLockCannotBeUndone: true" in text for text in found.values())


class TestSchema:
    """Pulumi.yaml describes what `load` reads, and nothing else."""

    def test_every_key_is_described(self) -> None:
        """Each key has a type, a default that means "not set", and a description."""
        schema = yaml.safe_load((stacks.PROJECT / "Pulumi.yaml").read_text())["config"]
        ours = {key: value for key, value in schema.items() if ":" not in key}
        assert {key for key, value in ours.items() if not (value["type"] and len(value["description"]) > 20)} == set()
        assert {key: v["default"] for key, v in ours.items() if v["default"] not in ("", "proxy", {}, [])} == {}

    def test_schema_and_loader_know_the_same_keys(self) -> None:
        """The keys that an unknown one is told against are those of the project file."""
        found = problems(zzzzzz=1)["parley:zzzzzz"]
        known = set(re.split(r", ", found.partition("known are ")[2]))
        assert known == {key for key in KEYS if ":" not in key}


class TestMessages:
    """An error is product: the key, what is wrong, the way out; nothing secret."""

    def test_all_problems_come_at_once(self) -> None:
        """Mistakes in five places come as one error that counts and lists them."""
        with pytest.raises(
            SettingsError, match=r"^the stack's config has 5 problems; nothing was changed:\n"
        ) as caught:
            load(
                stacks.filled("dev")
                | {
                    "masking": "proxi",
                    "session": {"ttl": 5},
                    "channels": ["voice", "smoke"],
                    "throttle": {"ratePerSecond": "fast"},
                    "twilioEndpoint": "https://twilio.example",
                }
            )
        assert len(str(caught.value).splitlines()) == 6

    def test_unknown_key_is_told_with_the_one_meant(self) -> None:
        """A misspelt key at any depth names the key that is closest."""
        assert "did you mean 'masking'?" in problems(maskin="proxy")["parley:maskin"]
        session = {"ttl": 3600, "mod": "voice-only"}
        assert "did you mean 'mode'?" in problems(session=session)["parley:session.mod"]

    @pytest.mark.parametrize(
        ("changed", "key", "said"),
        [
            ({"environment": None}, "environment", "is missing; set one of local, dev, staging, prod"),
            ({"environment": "production"}, "environment", "is 'production', not one of local, dev, staging, prod"),
            ({"masking": 7}, "masking", "is 7, not one of proxy, direct; choose one of them"),
            ({"controller": None}, "controller", "is missing; declare it in the stack's file"),
            ({"controller": "Acme"}, "controller", "is a text, not a mapping"),
            ({"controller": {}}, "controller.name", "is missing; set a text, for example Acme Rides Ltd"),
            ({"legalReview": {"reviewer": "J. Doe", "date": "soon"}}, "legalReview.date", "is 'soon', not a date"),
            ({"legalReview": {"reviewer": "J. Doe"}}, "legalReview.date", "is missing; set a date"),
            ({"channels": []}, "channels", "is missing; set a list of some of"),
            ({"channels": "voice"}, "channels", "is a text, not a list"),
            ({"channels": ["voice", "voice", "sms"]}, "channels", "names voice twice"),
            ({"channels": ["voice", "sms", "smss"]}, "channels[2]", "did you mean 'sms'?"),
            ({"sector": "bank"}, "sector", "is 'bank', not one of none, pci"),
            ({"numbers": {"adopt": []}}, "numbers.adopt", "a pool without numbers masks nobody"),
            (
                {"numbers": {"adopt": ["+12125550140"]}},
                "numbers.adopt[0]",
                "is a text of 12 characters, not a number's",
            ),
            (
                {"numbers": {"adopt": [stacks.sid("PN")], "reserved": [stacks.sid("PN", 2)]}},
                "numbers.reserved",
                "add them",
            ),
            ({"numbers": {"buy": ["one"]}}, "numbers.buy[0]", "is a text, not a mapping"),
            (
                {"numbers": {"buy": [{"country": "usa"}]}},
                "numbers.buy[0].country",
                "not a country code of two capitals",
            ),
            ({"numbers": {"buy": [{"country": "US", "count": 0}]}}, "numbers.buy[0].count", "from 1 to 500"),
            ({"session": {"ttl": 0}}, "session.ttl", "is 0, not a whole number of seconds from 60 to 2592000"),
            ({"session": {"ttl": "3600"}}, "session.ttl", "write it without quotes"),
            ({"session": {"ttl": True}}, "session.ttl", "not a whole number"),
            ({"session": {"ttl": 600, "reconcileSeconds": 30}}, "session.reconcileSeconds", "from 60 to 300"),
            (
                {"session": {"ttl": 600, "reconcileSeconds": 90}},
                "session.reconcileSeconds",
                "no whole number of minutes",
            ),
            ({"session": {"ttl": 604_801}}, "session.ttl", "longer than session-map is kept (7 days)"),
            ({"consent": {"methods": ["telepathy"]}}, "consent.methods[0]", "is 'telepathy', not one of contract"),
            (
                {"consent": {"methods": ["in_app"], "askFrom": "MG" + "0" * 32}},
                "consent.askFrom",
                "is set, but sms_reply is not among the methods",
            ),
            (
                {"consent": {"methods": ["in_app"], "askFrom": "Acme"}},
                "consent.askFrom",
                "not a number of yours in E.164 form",
            ),
            (
                {"consent": {"methods": ["in_app"], "questionMinutes": 1}},
                "consent.questionMinutes",
                "is 1, not",
            ),
            (
                {"consent": {"methods": ["in_app", "tone"]}},
                "consent.methods",
                "lets tone connect people, and it proves an implied consent only",
            ),
            (
                {"consent": {"methods": {"default": ["announcement_stay"]}}},
                "consent.methods.default",
                "lets announcement_stay connect people",
            ),
            (
                {"consent": {"methods": {"manage": ["tone"], "default": ["in_app"]}}},
                "consent.methods.manage",
                "lets tone connect people",
            ),
            (
                {"consent": {"methods": {"record_voice": ["tone"]}}},
                "consent.methods.manage",
                "is missing, and so is default",
            ),
            (
                {"consent": {"methods": {"default": ["in_app"], "transcribe": ["tone", "telepathy"]}}},
                "consent.methods.transcribe[1]",
                "is 'telepathy', not one of contract",
            ),
            (
                {"consent": {"methods": {"default": ["in_app"], "managed": ["in_app"]}}},
                "consent.methods.managed",
                "is unknown",
            ),
            (
                {"consent": {"methods": {"default": ["in_app"]}, "askFrom": "MG" + "0" * 32}},
                "consent.askFrom",
                "sms_reply is not among the methods",
            ),
            ({"consent": {}}, "consent.methods", "is missing; set a list of some of contract"),
            ({"records": None}, "records.messages", "is missing, and a stack with voice, sms makes such records"),
            ({"records": "all"}, "records", "is not a mapping"),
            ({"protection": None}, "protection", "is missing"),
            ({"protection": {"retain": "no"}}, "protection.retain", "is 'no', neither true nor false"),
            ({"throttle": {"ratePerSecond": 9, "burst": 3}}, "throttle.burst", "is under ratePerSecond"),
            ({"functions": {"memoryMegabytes": 64}}, "functions.memoryMegabytes", "from 128 to 10240"),
            ({"functions": {"logLevel": "DEBUG"}}, "functions.logLevel", "is unknown; known are"),
            ({"alarms": {"interceptMilliseconds": 20_000}}, "alarms.interceptMilliseconds", "from 50 to 10000"),
            ({"alarmEmail": "me"}, "alarmEmail", "is 'me', not an e-mail address"),
            ({"permissionsBoundary": "boundary"}, "permissionsBoundary", "not the ARN of an IAM policy"),
            ({"deployers": ["me"]}, "deployers[0]", "not the ARN of an IAM role or user"),
            ({"tags": {"team": 5}}, "tags.team", "is a number, not a text"),
            ({"twilioAccountSid": "AC1"}, "twilioAccountSid", "is 'AC1', not an account SID"),
            ({"twilioApiKey": None}, "twilioApiKey", "is missing; set an API key SID"),
            ({"twilioAuthToken": None}, "twilioAuthToken", "`pulumi config set --secret parley:twilioAuthToken`"),
            ({"twilioAuthToken": " "}, "twilioAuthToken", "holds no secret"),
            ({"twilioEndpoint": "http://192.0.2.1:80"}, "twilioEndpoint", "is not a loopback address"),
            ({"twilioEndpoint": "http://[::1"}, "twilioEndpoint", "is not a loopback address"),
        ],
    )
    def test_each_mistake_names_its_key_and_the_way_out(self, changed: dict[str, Any], key: str, said: str) -> None:
        """Each kind of mistake is told under its own key."""
        assert said in problems(**changed)[f"parley:{key}"]

    @pytest.mark.parametrize("environment", ["staging", "prod"])
    @pytest.mark.parametrize(("key", "value"), [("deletionProtection", False), ("retain", False), ("keyWindowDays", 7)])
    def test_protection_cannot_be_loosened(self, environment: str, key: str, value: object) -> None:
        """Staging and prod refuse every setting under which data could go by mistake."""
        protection = stacks.filled(environment)["protection"] | {key: value}
        assert set(problems(environment, protection=protection)) == {f"parley:protection.{key}"}

    @pytest.mark.parametrize("environment", ["staging", "prod"])
    def test_stand_in_of_twilio_is_refused_where_people_are(self, environment: str) -> None:
        """Staging and prod talk to Twilio itself, whatever the address."""
        found = problems(environment, twilioEndpoint="http://127.0.0.1:4010")
        assert "remove it" in found["parley:twilioEndpoint"]

    def test_local_needs_the_stand_in(self) -> None:
        """A local stack without its stand-in's address is told how to start it, and never reaches Twilio."""
        assert "parley local up" in problems("local", twilioEndpoint=None)["parley:twilioEndpoint"]

    def test_environment_of_another_stack(self) -> None:
        """The stack called prod cannot be deployed with the config of dev."""
        with pytest.raises(SettingsError, match="is dev, but the stack is called prod"):
            load(stacks.filled("dev"), stack="prod")

    def test_stack_name_must_fit_into_names(self) -> None:
        """A stack name that no bucket can carry is refused before anything is made."""
        with pytest.raises(SettingsError, match="lower-case letters, digits and hyphens"):
            load(stacks.filled("dev"), stack="My_Stack")

    def test_secret_in_clear_is_refused_without_being_shown(self) -> None:
        """A secret that was stored unencrypted is named, never shown, and has to be made anew."""
        with pytest.raises(SettingsError, match="parley:twilioAuthToken: is stored in clear text") as caught:
            load(stacks.filled("dev"), stored_in_clear={"twilioAuthToken", "environment"})
        assert stacks.SECRETS["twilioAuthToken"] not in str(caught.value)

    @pytest.mark.parametrize("key", ["environment", "masking", "alarmEmail", "twilioAccountSid", "records", "tags"])
    @pytest.mark.parametrize("value", ["5f2c8e91a7d04b6399e1c3f80a2d7b64", "+12125550111", "+44 7700 900-123"])
    def test_secret_or_number_in_the_wrong_key_is_not_shown(self, key: str, value: str) -> None:
        """What could be a secret or a phone number is not repeated, whichever key it was put under."""
        for wrong in (value, [value], {value: value}):
            with pytest.raises(SettingsError) as caught:
                load(stacks.filled("dev") | {key: wrong, "channels": [value]})
            assert value not in str(caught.value)

    def test_secrets_have_no_text(self) -> None:
        """The settings can be printed: their secrets do not show."""
        text = repr(load(stacks.filled("dev")))
        assert [secret for secret in stacks.SECRETS.values() if secret in text] == []

    @given(st.text(max_size=60))
    def test_shown_never_shows_what_redaction_would_hide(self, text: str) -> None:
        """A value is shown whole or not at all."""
        assert shown(text) == repr(text) or text not in shown(text) or len(text) < 3
        assert redacted(redacted(text)) == redacted(text)


DECISION = {"reviewer": "J. Doe, counsel", "date": "2026-11-01", "reason": "opinion of 2026-11-01"}


class TestJurisdiction:
    """Which law counts: the operator's own place, counsel's overrides, and who relaxed what."""

    TODAY = dt.date(2026, 11, 23)

    def told(self, **declared: Any) -> dict[str, str]:
        """Return what is wrong with a declaration on a day in November, by key below `parley:jurisdiction`."""
        with pytest.raises(SettingsError) as caught:
            load(stacks.filled("dev") | {"jurisdiction": declared}, today=self.TODAY)
        start = "parley:jurisdiction."
        assert all(problem.key.startswith(start) for problem in caught.value.problems)
        return {
            problem.key.removeprefix(start): f"{problem.reason}; {problem.way_out}" for problem in caught.value.problems
        }

    def test_nothing_declared(self) -> None:
        """A stack that says nothing has no place of its own, no overrides and nothing relaxed."""
        assert stacks.settings("dev").jurisdiction == JurisdictionPolicy()

    def test_example_of_the_page(self) -> None:
        """What the page shows loads, and says what it means there."""
        page = (stacks.PROJECT / "docs" / "jurisdictions.md").read_text()
        block = re.search(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
        assert block
        declared = yaml.safe_load(block[1])["parley:jurisdiction"]
        day, opinion = dt.date(2026, 11, 1), "opinion of 2026-11-01"
        loaded = load(stacks.filled("dev") | {"jurisdiction": declared}, today=self.TODAY).jurisdiction
        assert loaded == JurisdictionPolicy(
            operator="US-TX",
            overrides=(
                Override("US-CT", "J. Doe, counsel", day, "we play the tone", announcement=Announcement.TONE),
                Override("US-MI", "J. Doe, counsel", day, opinion, consent=Required.ONE, operator=NonParty.ONE),
            ),
            relax=Relaxation("J. Doe, counsel", day, opinion),
        )
        assert JurisdictionPolicy.from_json(loaded.to_json()) == loaded

    @pytest.mark.parametrize(
        ("declared", "key", "said"),
        [
            ({"operator": "US-CAL"}, "operator", "is 'US-CAL', not a place of the table; did you mean 'US-CA'?"),
            ({"operator": "UK"}, "operator", "did you mean 'GB'?"),
            ({"operator": "ZZ"}, "operator", "not a place of the table"),
            ({"operator": 5}, "operator", "is a number, not a text"),
            ({"operater": "US-CA"}, "operater", "is unknown; did you mean 'operator'?"),
            ({"overrides": ["US-MI"]}, "overrides", "is a list, not a mapping"),
            ({"overrides": {"US-MI": "one"}}, "overrides.US-MI", "is a text, not a mapping"),
            ({"overrides": {"MI-US": DECISION}}, "overrides.MI-US", "is not a place of the table"),
            ({"overrides": {"Michigan": DECISION}}, "overrides.Michigan", "did you mean 'US-MI'?"),
            ({"overrides": {"ZZ": DECISION}}, "overrides.ZZ", "cannot be overridden"),
            ({"overrides": {"US-MI": DECISION}}, "overrides.US-MI", "changes nothing; set some of consent"),
            (
                {"overrides": {"US-TX": DECISION | {"consent": "everyone"}}},
                "overrides.US-TX.consent",
                "is 'everyone', not one of one, all",
            ),
            (
                {"overrides": {"US-TX": DECISION | {"consent": "all", "video_calls": "all"}}},
                "overrides.US-TX.video_calls",
                "is unknown; did you mean 'video'?",
            ),
            (
                {"overrides": {"US-TX": DECISION | {"consent": "all", "reviewer": None}}},
                "overrides.US-TX.reviewer",
                "is missing; set a text, for example J. Doe, counsel",
            ),
            (
                {"overrides": {"US-TX": DECISION | {"consent": "all", "date": "2026-11-24"}}},
                "overrides.US-TX.date",
                "is 2026-11-24, which is in the future; name the day of the decision",
            ),
            (
                {"overrides": {"FR": DECISION | {"explicit": "implied-ok"}}},
                "overrides.FR.explicit",
                "is implied-ok, but EU, which binds there too, demands explicit; override EU as well",
            ),
            ({"relax": DECISION | {"reviewer": None}}, "relax.reviewer", "is missing"),
            ({"relax": DECISION | {"date": None}}, "relax.date", "is missing; set a date"),
            ({"relax": DECISION | {"reason": " "}}, "relax.reason", "is empty, not a text"),
            (
                {"relax": DECISION | {"date": dt.date(2027, 1, 1)}},
                "relax.date",
                "is 2027-01-01, which is in the future",
            ),
            ({"relax": True}, "relax", "is true or false, not a mapping"),
        ],
    )
    def test_each_mistake_names_its_key_and_the_way_out(self, declared: dict[str, Any], key: str, said: str) -> None:
        """Each mistake is told once, under its own key, with the place or the word that was meant."""
        found = self.told(**declared)
        assert list(found) == [key]
        assert said in found[key]

    def test_decision_of_today(self) -> None:
        """What was decided today counts today."""
        relax = DECISION | {"date": self.TODAY.isoformat()}
        loaded = load(stacks.filled("dev") | {"jurisdiction": {"relax": relax}}, today=self.TODAY)
        assert loaded.jurisdiction.relax == Relaxation("J. Doe, counsel", self.TODAY, "opinion of 2026-11-01")

    @pytest.mark.parametrize("value", ["5f2c8e91a7d04b6399e1c3f80a2d7b64", "+12125550111"])
    def test_secret_or_number_is_not_shown(self, value: str) -> None:
        """A secret or a phone number is not repeated from any place of the declaration."""
        for declared in (
            {"operator": value},
            {"overrides": {value: {"reviewer": value}}},
            {"overrides": {"US-TX": {value: value, "consent": value, "date": value}}},
            {"relax": {value: value, "date": value}},
        ):
            with pytest.raises(SettingsError) as caught:
                load(stacks.filled("dev") | {"jurisdiction": declared}, today=self.TODAY)
            assert value not in str(caught.value)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(KEYS)
ANYTHING = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12) | st.integers(), inner, max_size=4)
    ),
    max_leaves=12,
)


def spoiled(config: Any, place: list[int], value: Any) -> Any:
    """Return the config with another value at one place, chosen by the indexes of its keys on the way down."""
    if not place or not isinstance(config, dict) or not config:
        return value
    key = sorted(config)[place[0] % len(config)]
    return config | {key: spoiled(config[key], place[1:], value)}


class TestArbitraryInput:
    """Whatever stands in a stack's file."""

    @given(st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=12), ANYTHING, max_size=8))
    def test_any_config_gives_settings_or_one_error(self, config: dict[str, Any]) -> None:
        """Arbitrary nested data never raises anything but SettingsError."""
        with pytest.raises(SettingsError):
            load(config)

    @given(st.sampled_from(ENVIRONMENTS), st.lists(st.integers(0, 30), min_size=1, max_size=3), ANYTHING)
    def test_one_spoiled_place_gives_settings_or_one_error(
        self, environment: str, place: list[int], value: Any
    ) -> None:
        """A right config with anything at any one place loads or raises SettingsError that names a key."""
        found: tuple[Problem, ...] = ()
        try:
            load(spoiled(stacks.filled(environment), place, value))
        except SettingsError as error:
            found = error.problems
        assert all(problem.key.startswith("parley:") for problem in found)


class TestCautions:
    """What is allowed, but told at every deployment."""

    TODAY = dt.date(2026, 11, 23)

    def test_reviewed_stack_of_dev_has_none(self) -> None:
        """With a fresh legal review and nothing unusual there is nothing to tell."""
        settings = stacks.settings("dev", legalReview={"reviewer": "J. Doe", "date": "2026-01-31"})
        assert cautions(settings, self.TODAY) == ()

    def test_missing_review(self) -> None:
        """A stack that nobody reviewed says so."""
        assert "have counsel review" in cautions(stacks.settings("dev"), self.TODAY)[0]

    def test_old_review(self) -> None:
        """A review older than a year says so, with its date."""
        settings = stacks.settings("dev", legalReview={"reviewer": "J. Doe", "date": dt.date(2025, 11, 22)})
        assert "2025-11-22" in cautions(settings, self.TODAY)[0]

    def test_alarms_that_nobody_reads(self) -> None:
        """Prod without an alarm address says so."""
        review = {"reviewer": "J. Doe", "date": "2026-01-31"}
        assert "parley:alarmEmail" in cautions(stacks.settings("prod", legalReview=review), self.TODAY)[0]

    def test_what_is_declared_and_not_carried_out(self) -> None:
        """A reminder that nobody sends is told, not passed over."""
        settings = stacks.settings(
            "dev",
            consent={"methods": ["in_app"], "renotify": 365},
            legalReview={"reviewer": "J. Doe", "date": "2026-01-31"},
        )
        assert "reminds nobody yet" in cautions(settings, self.TODAY)[0]

    def test_relaxation(self) -> None:
        """A decision that not everybody is asked is told at every deployment, with its date."""
        settings = stacks.settings(
            "dev", jurisdiction={"relax": DECISION}, legalReview={"reviewer": "J. Doe", "date": "2026-01-31"}
        )
        told = cautions(settings, self.TODAY)
        assert len(told) == 1
        assert told[0].startswith("parley:jurisdiction.relax is set, as decided on 2026-11-01")

    def test_channels_that_proxy_does_not_connect(self) -> None:
        """Declaring chat is allowed, with a word on what Proxy connects."""
        settings = stacks.settings(
            "dev", channels=["voice", "sms", "chat"], legalReview={"reviewer": "J. Doe", "date": "2026-01-31"}
        )
        assert "names chat" in cautions(settings, self.TODAY)[0]


class TestNotices:
    """The texts that people are given, with the stack's own values."""

    @pytest.mark.parametrize("environment", ENVIRONMENTS)
    def test_committed_stacks_have_nothing_to_say(self, environment: str) -> None:
        """With the committed names, links and schedules every notice is right in every language."""
        assert not [one for one in cautions(stacks.settings(environment), TestCautions.TODAY) if "by sms" in one]

    def test_name_that_makes_texts_longer_is_told(self) -> None:
        """A name with a character outside GSM-7 is allowed, and told with the character and the notices."""
        controller = stacks.filled("dev")["controller"] | {"name": "Café Rides’"}
        (found,) = (one for one in cautions(stacks.settings("dev", controller=controller), TestCautions.TODAY)[1:])
        assert found.startswith("parley:controller.name: has '’' (U+2019) outside GSM-7")
        assert "manage by sms (de, en, es)" in found

    def test_name_with_a_placeholder_is_refused(self) -> None:
        """A name that would put an open placeholder into every text stops the preview."""
        controller = stacks.filled("dev")["controller"] | {"name": "Acme {url}"}
        with pytest.raises(SettingsError, match=r"parley:controller\.name: puts the placeholder url into texts"):
            stacks.settings("dev", controller=controller)


class TestFromPulumi:
    """The shell that reads the engine's config."""

    def test_config_of_the_engine_loads(self) -> None:
        """Values as the engine hands them over, with the project's empty defaults, give the same settings."""
        defaults: dict[str, Any] = {
            "legalReview": {},
            "tags": {},
            "deployers": [],
            "alarmEmail": "",
            "twilioEndpoint": "",
        }
        seen = []
        stacks.run(lambda: seen.append(from_pulumi()), defaults | stacks.filled("dev"), stack="dev")
        assert seen == [load(stacks.filled("dev"), stack="dev")]

    def test_broken_json_is_one_message(self) -> None:
        """An object that is no JSON is told as a text that is no mapping."""
        with pytest.raises(SettingsError, match="parley:session: is a text, not a mapping"):
            stacks.run(from_pulumi, stacks.filled("dev") | {"session": "{ttl: 3600"}, stack="dev")

    def test_secret_stored_in_clear_is_seen(self) -> None:
        """A secret that the engine does not mark as one is refused."""
        with pytest.raises(SettingsError, match="parley:twilioApiSecret: is stored in clear text"):
            stacks.run(from_pulumi, stacks.filled("dev"), stack="dev", encrypted=SECRET_KEYS - {"twilioApiSecret"})


class TestAccess:
    """Who may read recordings and messages."""

    ROLE = "arn:aws:iam::123456789012:role/disputes"

    def test_readers_have_purposes_of_the_schedule(self) -> None:
        """A reader is a role and the purposes that it reads for."""
        readers = [{"role": self.ROLE, "purposes": ["dispute-resolution"]}]
        (reader,) = stacks.settings("local", access={"readers": readers}).readers
        assert (reader.role, reader.purposes) == (self.ROLE, ("dispute-resolution",))
        assert stacks.settings("dev").readers == ()

    @pytest.mark.parametrize(
        ("reader", "told"),
        [
            ({"role": "disputes", "purposes": ["dispute-resolution"]}, "access.readers[0].role"),
            ({"role": ROLE, "purposes": ["advertising"]}, "no class of content is kept for that"),
            ({"role": ROLE, "purposes": []}, "access.readers[0].purposes"),
            ({"role": ROLE, "purposes": ["dispute-resolution"], "until": 1}, "until"),
        ],
    )
    def test_mistakes_are_told(self, reader: dict[str, object], told: str) -> None:
        """A reader that is no role, or reads for what nobody was told, stops the preview."""
        with pytest.raises(SettingsError, match=re.escape(told)):
            stacks.settings("local", access={"readers": [reader]})
