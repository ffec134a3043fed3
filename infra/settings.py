"""What a stack declares, read from its config into frozen dataclasses.

`load` is pure: plain data in, `Settings` out. Every problem of the whole config is collected into one `SettingsError`,
whose text names each key, what is wrong with it and the way out. `from_pulumi` is the thin shell that reads the
stack's config.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

import pulumi
from parley.core.consent import Kind, Method, Scope
from parley.core.disclosure import languages
from parley.core.evidence import FORMS
from parley.core.jurisdiction import (
    OVERRIDABLE,
    JurisdictionPolicy,
    Override,
    Relaxation,
    can_override,
    check_overrides,
    reviewed_table,
    suggestion,
)
from parley.core.record_classes import RecordClass
from parley.core.retention import CHANNELS, CONTENT, SECTORS, Problem, Schedule, ScheduleError, parse_schedule
from parley.core.wording import Finding, lint
from parley.env import DIRECT, PROXY, ConsentPolicy, Reader, SessionPolicy
from parley.variables import Controller
from pulumi.runtime import config as pulumi_config

from infra import webhooks
from infra.section import Secret, Section, redacted, shown
from infra.twilio.limits import MOST
from infra.twilio.resources import Capability, GeoMatchLevel, NumberSelectionBehavior
from infra.webhooks import WebhookDelivery

NAMESPACE = "parley"
Environment = Literal["local", "dev", "staging", "prod"]
ENVIRONMENTS: tuple[Environment, ...] = get_args(Environment)
SESSION_MODES = ("voice-and-message", "voice-only", "message-only")
GEO_MATCH_LEVELS: tuple[GeoMatchLevel, ...] = get_args(GeoMatchLevel)
NUMBER_SELECTIONS: tuple[NumberSelectionBehavior, ...] = get_args(NumberSelectionBehavior)
NumberType = Literal["local", "mobile", "toll-free"]
NUMBER_TYPES: tuple[NumberType, ...] = get_args(NumberType)
NUMBER_CAPABILITIES: tuple[Capability, ...] = get_args(Capability)
SECRET_KEYS = frozenset({"twilioApiSecret", "twilioAuthToken", "twilioAuthTokenSecondary", webhooks.KEYS})

# What Twilio Proxy itself connects; chat and video go through the application's own channel.
CARRIED_BY_PROXY = frozenset({"voice", "sms"})
# A review older than this is told at every deployment: the law moves (requirement R3).
LEGAL_REVIEW_GOOD_FOR = dt.timedelta(days=365)
# The prefix is part of role names (at most 64 characters) and bucket names (63), with a part of their own behind it.
STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,23}")

_SID_EXAMPLE = "0123456789abcdef" * 2
_ACCOUNT_SID = re.compile(r"AC[0-9a-f]{32}")
_API_KEY_SID = re.compile(r"SK[0-9a-f]{32}")
_ADDRESS_SID = re.compile(r"AD[0-9a-f]{32}")
_BUNDLE_SID = re.compile(r"BU[0-9a-f]{32}")
_ASK_FROM = re.compile(r"\+[1-9][0-9]{6,14}|MG[0-9a-f]{32}")
_NUMBER_SID = re.compile(r"PN[0-9a-f]{32}")
_BOUNDARY_ARN = re.compile(r"arn:aws[a-z-]*:iam::(\d{12}|aws):policy/\S+")
_PRINCIPAL_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:(role|user)/\S+")
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/\S+")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class SettingsError(ValueError):
    """The stack's config has mistakes; `str(error)` is the message for a person, `problems` are its parts."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(self.problems) == 1 else f"{len(self.problems)} problems"
        lines = [f"  {problem}" for problem in self.problems]
        super().__init__("\n".join([f"the stack's config has {count}; nothing was changed:", *lines]))


@dataclass(frozen=True, slots=True)
class LegalReview:
    """Who reviewed the use of this stack with counsel, and when (requirement R3)."""

    reviewer: str
    date: dt.date


@dataclass(frozen=True, slots=True)
class Purchase:
    """Numbers to buy. `country` is ISO 3166-1 alpha-2; `type` one of Twilio's AvailablePhoneNumbers lists.

    Some countries ask for an address (`address_sid`) or an approved regulatory bundle (`bundle_sid`).
    """

    country: str
    type: NumberType
    count: int
    capabilities: tuple[Capability, ...]
    area_code: str | None
    address_sid: str | None
    bundle_sid: str | None


@dataclass(frozen=True, slots=True)
class Numbers:
    """The number pool: SIDs to adopt, numbers to buy, SIDs that are never picked on their own."""

    adopt: tuple[str, ...]
    buy: tuple[Purchase, ...]
    reserved: tuple[str, ...]
    release_on_delete: bool

    @property
    def size(self) -> int:
        """How many numbers there are."""
        return len(set(self.adopt)) + sum(each.count for each in self.buy)


@dataclass(frozen=True, slots=True)
class NumberChoice:
    """How a masked number is picked for a participant (Twilio Proxy, Service)."""

    geo_match: GeoMatchLevel
    selection: NumberSelectionBehavior


@dataclass(frozen=True, slots=True)
class Twilio:
    """The account and its credentials, the secrets of its SharedKeys by their ids among them.

    `endpoint` is a loopback stand-in's address, or None for Twilio itself.
    """

    account_sid: str
    api_key: str
    api_secret: Secret
    auth_token: Secret
    auth_token_secondary: Secret | None
    shared_keys: Mapping[str, Secret]
    endpoint: str | None


@dataclass(frozen=True, slots=True)
class Protection:
    """How hard it is to lose data by mistake. Periods are in days."""

    deletion_protection: bool
    retain: bool
    key_window_days: int
    point_in_time_days: int


@dataclass(frozen=True, slots=True)
class Throttle:
    """The limit of the public API: steady requests a second, and the burst above them."""

    rate_per_second: int
    burst: int


@dataclass(frozen=True, slots=True)
class Functions:
    """The size of each function; `reserved_concurrency` None leaves it in the account's shared pool.

    What decides before Twilio connects anybody starts from a snapshot (`snap_start`), or has so many execution
    environments that are always ready (`provisioned_concurrency`, None: none). `compiled`: the zip holds the modules
    compiled for Lambda's Python as well.
    """

    reserved_concurrency: int | None
    memory_megabytes: int
    snap_start: bool
    provisioned_concurrency: int | None
    compiled: bool


@dataclass(frozen=True, slots=True)
class Alarms:
    """When someone is told: intercept latency (p99, ms), and faults in five minutes."""

    intercept_milliseconds: int
    faults: int
    email: str | None


@dataclass(frozen=True, slots=True)
class Settings:
    """One stack, as declared. Every value was checked, alone and against the others."""

    project: str
    stack: str
    environment: Environment
    masking: str
    controller: Controller
    legal_review: LegalReview | None
    channels: tuple[str, ...]
    numbers: Numbers
    additional_pools: tuple[Numbers, ...]
    number_choice: NumberChoice
    session: SessionPolicy
    records: Schedule
    consent: ConsentPolicy
    renotify_days: int | None
    jurisdiction: JurisdictionPolicy
    twilio: Twilio
    webhooks: WebhookDelivery | None
    protection: Protection
    throttle: Throttle
    functions: Functions
    alarms: Alarms
    permissions_boundary: str | None
    deployers: tuple[str, ...]
    readers: tuple[Reader, ...]
    tags: Mapping[str, str]

    @property
    def is_direct(self) -> bool:
        """Whether sessions are our own, and not Twilio Proxy's."""
        return self.masking == DIRECT

    @property
    def pools(self) -> tuple[Numbers, ...]:
        """The number pools; on `proxy` each is in a Proxy service of its own."""
        return (self.numbers, *self.additional_pools)

    @property
    def prefix(self) -> str:
        """The start of every name that something else must know before the thing exists."""
        return f"{self.project}-{self.stack}"


def load(
    raw: Mapping[str, object],
    *,
    project: str = NAMESPACE,
    stack: str | None = None,
    stored_in_clear: Collection[str] = (),
    today: dt.date = dt.date.max,
) -> Settings:
    """Turn a stack's config into settings.

    `raw` maps config keys without their namespace to plain data. `stack` is the stack's name (by default that of its
    environment). `stored_in_clear` names the keys that were found unencrypted, to refuse secrets among them.
    A decision of a day after `today` is refused.
    Raises SettingsError with every problem found.
    """
    problems: list[Problem] = []
    root = Section(raw, NAMESPACE, problems, separator=":")
    environment = root.choice("environment", ENVIRONMENTS)
    stack = _stack_name(root, stack, environment)
    protection_section = root.section("protection", required=True)
    compliance_lock = protection_section.flag("complianceLockCannotBeUndone", default=False)
    channels = root.choices("channels", tuple(CHANNELS))
    records = _records(root, channels, environment, compliance_lock)
    alarms = root.section("alarms")
    choice = root.section("numberChoice")
    session = root.section("session", required=True)
    consent = root.section("consent", required=True)
    twilio = _twilio(root, environment, stored_in_clear)
    settings = Settings(
        project=project,
        stack=stack,
        environment=environment,
        masking=root.choice("masking", (PROXY, DIRECT), default=PROXY),
        controller=_controller(root.section("controller", required=True)),
        legal_review=_legal_review(root),
        channels=channels,
        numbers=_numbers(root.section("numbers", required=True)),
        additional_pools=tuple(_numbers(each) for each in root.sections("additionalPools")),
        number_choice=NumberChoice(
            geo_match=choice.choice("geoMatch", GEO_MATCH_LEVELS, default="country"),
            selection=choice.choice("selection", NUMBER_SELECTIONS, default="prefer-sticky"),
        ),
        session=SessionPolicy(
            # Twilio takes a TTL of 0 for "no limit"; a session without an end would outlive a lost withdrawal.
            ttl=session.whole("ttl", least=60, most=30 * 86_400, unit="seconds"),
            mode=session.choice("mode", SESSION_MODES, default=SESSION_MODES[0]),
            reconcile_seconds=_reconcile_seconds(session),
        ),
        records=records,
        consent=_consent(consent),
        renotify_days=consent.optional_whole("renotify", least=1, most=3650, unit="days"),
        jurisdiction=_jurisdiction(root.section("jurisdiction"), today),
        twilio=twilio,
        webhooks=webhooks.delivery(root, twilio.shared_keys),
        protection=_protection(protection_section, environment),
        throttle=_throttle(root.section("throttle")),
        functions=_functions(root.section("functions"), environment),
        alarms=Alarms(
            # Twilio gives up on a webhook after 15 s and then connects: the alarm must come long before.
            intercept_milliseconds=alarms.whole(
                "interceptMilliseconds", least=50, most=10_000, default=3_000, unit="ms"
            ),
            faults=alarms.whole("faults", least=1, most=1_000, default=1, unit="faults"),
            email=root.optional_text("alarmEmail", _EMAIL, "an e-mail address", "operator@example.com"),
        ),
        permissions_boundary=root.optional_text(
            "permissionsBoundary",
            _BOUNDARY_ARN,
            "the ARN of an IAM policy",
            "arn:aws:iam::123456789012:policy/boundary",
        ),
        deployers=root.texts(
            "deployers", _PRINCIPAL_ARN, "the ARN of an IAM role or user", "arn:aws:iam::123456789012:role/deploy"
        ),
        readers=_readers(root.section("access"), records),
        tags=_tags(root.section("tags")),
    )
    for section in (protection_section, alarms, choice, session, consent, root):
        section.finish()
    _check_session_map(root, settings)
    _check_pools(root, settings)
    if not problems:
        # Texts are made from values, so they are looked at when the values themselves are right.
        wrong = (finding.problem for finding in _notice_findings(settings) if finding.level == "error")
        problems += [Problem(one.key, redacted(one.reason), redacted(one.way_out)) for one in wrong]
    if problems:
        raise SettingsError(dict.fromkeys(problems))
    return settings


def cautions(settings: Settings, today: dt.date) -> tuple[str, ...]:
    """Return what is allowed but should be told at every deployment, one sentence each."""
    found: list[str] = []
    review = settings.legal_review
    if review is None:
        found.append("parley:legalReview is not set: have counsel review this use, and declare {reviewer, date}")
    elif today - review.date > LEGAL_REVIEW_GOOD_FOR:
        found.append(f"parley:legalReview is of {review.date}, older than a year: have it repeated")
    if settings.environment in ("staging", "prod") and settings.alarms.email is None:
        found.append("parley:alarmEmail is not set: alarms go to a topic that nobody reads until somebody subscribes")
    if settings.renotify_days is not None:
        found.append("parley:consent.renotify is declared, but this version reminds nobody yet")
    if relax := settings.jurisdiction.relax:
        found.append(
            f"parley:jurisdiction.relax is set, as decided on {relax.date}: where the law is content with the consent "
            "of one party, not everybody is asked"
        )
    if beyond := sorted(set(settings.channels) - CARRIED_BY_PROXY):
        found.append(
            f"parley:channels names {', '.join(beyond)}: records of these are kept and expire as declared, "
            "but masked numbers connect voice and sms only"
        )
    found += [redacted(str(finding)) for finding in _notice_findings(settings) if finding.level == "warning"]
    return tuple(found)


def from_pulumi() -> Settings:
    """Read the settings of the stack that is being deployed. Raises SettingsError."""
    prefix = f"{NAMESPACE}:"
    stored: dict[str, Any] = {**pulumi_config.get_config_env(), **pulumi_config.CONFIG.get()}
    ours = {key.removeprefix(prefix): value for key, value in stored.items() if key.startswith(prefix)}
    clear = {key for key in ours if not pulumi_config.is_config_secret(prefix + key)}
    # The engine hands every value over as text, objects as JSON. Empty is the project file's "not set".
    raw = {key: _decoded(key, value) for key, value in ours.items() if value not in ("", "{}", "[]")}
    today = dt.datetime.now(dt.UTC).date()
    return load(raw, project=pulumi.get_project(), stack=pulumi.get_stack(), stored_in_clear=clear, today=today)


def _decoded(key: str, value: Any) -> object:
    if key in SECRET_KEYS or not isinstance(value, str) or not value.startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value


def _stack_name(root: Section, stack: str | None, environment: Environment) -> str:
    if stack is None:
        return environment
    if not STACK_NAME.fullmatch(stack):
        root.problem(
            "environment",
            f"belongs to a stack whose name cannot be part of a bucket's name: {shown(stack)}",
            "name the stack in lower-case letters, digits and hyphens, at most 24 of them",
        )
    elif stack in ENVIRONMENTS and environment in ENVIRONMENTS and stack != environment:
        root.problem(
            "environment",
            f"is {environment}, but the stack is called {stack}",
            f"select the right stack, or set it to {stack}",
        )
    return stack


def _records(root: Section, channels: tuple[str, ...], environment: Environment, compliance_lock: bool) -> Schedule:
    sectors = root.choices("sector", tuple(SECTORS), default=("none",), single=True)
    try:
        return parse_schedule(
            root.take("records") or {},
            channels=channels,
            sector=sectors,
            environment=environment,
            allow_compliance_lock=compliance_lock,
        )
    except ScheduleError as error:
        for problem in error.problems:
            way_out = problem.way_out
            if problem.key.endswith(".lock") and environment == "prod" and not compliance_lock:
                way_out += f" with {NAMESPACE}:protection.complianceLockCannotBeUndone: true"
            root.problems.append(Problem(redacted(problem.key), redacted(problem.reason), redacted(way_out)))
        return Schedule({})


def _consent(section: Section) -> ConsentPolicy:
    methods, by_scope = _methods(section)
    policy = ConsentPolicy(
        methods=methods,
        methods_by_scope=by_scope,
        validity_days=section.optional_whole("validity", least=1, most=3650, unit="days"),
        ask_from=section.optional_text(
            "askFrom",
            _ASK_FROM,
            "a number of yours in E.164 form, or a Messaging Service SID, outside of the pool",
            "MG" + _SID_EXAMPLE,
        ),
        question_minutes=section.whole("questionMinutes", least=5, most=10_080, default=1440, unit="minutes"),
    )
    asks = _ASK_FROM.fullmatch(policy.ask_from or "") is not None
    if asks and not any(str(Method.SMS_REPLY) in each for each in (policy.methods, *policy.methods_by_scope.values())):
        section.problem("askFrom", "is set, but sms_reply is not among the methods", "add sms_reply to methods")
    return policy


def _methods(section: Section) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    """Read the methods of every scope, and those of the scopes that have their own (R16-R19)."""
    words = [str(method) for method in Method]
    if not isinstance(section.take("methods"), Mapping):
        methods = section.choices("methods", words)
        _check_explicit(section, "methods", methods)
        return methods, {}
    listed = section.section("methods")
    default = listed.choices("default", words) if listed.has("default") else ()
    by_scope = {str(scope): listed.choices(scope, words) for scope in Scope if listed.has(scope)}
    if Scope.MANAGE not in by_scope and not listed.has("default"):
        listed.problem("manage", "is missing, and so is default: nobody could be connected", "list its methods")
    name = str(Scope.MANAGE) if Scope.MANAGE in by_scope else "default"
    _check_explicit(listed, name, by_scope.get(Scope.MANAGE, default))
    listed.finish()
    return default, by_scope


def _check_explicit(section: Section, key: str, methods: tuple[str, ...]) -> None:
    """Check that every method for being connected can prove an explicit consent (R8; GDPR art. 4(11))."""
    for method in methods:
        if Kind.EXPLICIT not in FORMS[Method(method)].kinds:
            section.problem(
                key,
                f"lets {method} connect people, and it proves an implied consent only: being connected takes"
                " an explicit one (GDPR art. 4(11))",
                f"list {method} for another scope only: methods: {{manage: […], record_voice: [{method}]}}",
            )


def _reconcile_seconds(session: Section) -> int:
    """Read how often the reconciler runs. EventBridge Scheduler knows no rate below, or between, whole minutes."""
    seconds = session.whole("reconcileSeconds", least=60, most=300, default=60, unit="seconds")
    if seconds % 60:
        session.problem("reconcileSeconds", f"is {seconds}, no whole number of minutes", "set it to 60, 120, 180, …")
    return seconds


def _check_session_map(root: Section, settings: Settings) -> None:
    """Check that the map of a session outlives the session: without it every interaction is refused."""
    declared = settings.records.retentions.get(RecordClass.SESSION_MAP)
    if declared is not None and settings.session.ttl > declared.keep_days * 86_400:
        root.problem(
            "session.ttl",
            f"is {settings.session.ttl} seconds, longer than session-map is kept ({declared.keep_days} days)",
            "shorten it, or raise parley:records.session-map.keepDays",
        )


def _notice_findings(settings: Settings) -> tuple[Finding, ...]:
    """Hold the notices that people are given against this stack's name, link and schedule."""
    return lint(
        languages(),
        settings.channels,
        app=settings.controller.name,
        contact=settings.controller.contact,
        url=settings.controller.privacy_policy_url,
        keep_days=settings.records.keep_days(),
        purposes={str(each.record_class): each.purposes for each in settings.records.retentions.values()},
    )


def _controller(section: Section) -> Controller:
    controller = Controller(
        name=section.text("name", example="Acme Rides Ltd"),
        contact=section.text("contact", example="privacy@example.com"),
        privacy_policy_url=section.url("privacyPolicyUrl"),
        privacy_policy_version=section.text("privacyPolicyVersion", example="2026-02"),
    )
    section.finish()
    return controller


def _legal_review(root: Section) -> LegalReview | None:
    if not root.has("legalReview"):
        return None
    section = root.section("legalReview")
    review = LegalReview(reviewer=section.text("reviewer", example="J. Doe, counsel"), date=section.date("date"))
    section.finish()
    return review


def _jurisdiction(section: Section, today: dt.date) -> JurisdictionPolicy:
    table = reviewed_table()
    operator = section.text("operator", example="US-CA") if section.has("operator") else None
    if operator and table.place(operator) is None:
        section.problem("operator", f"is {shown(operator)}, not a place of the table", suggestion(table, operator))
    listed = section.section("overrides")
    overrides = []
    for code in sorted(listed.values):
        # What is below an unknown code is not read: its name could be anything, and no message repeats that.
        below = listed.section(code) if can_override(table, code) else None
        if below is None:
            overrides.append(Override(code, "", today, ""))
        elif not below.broken:
            overrides.append(_override(code, below, today))
    section.problems += [
        Problem(redacted(problem.key), problem.reason, problem.way_out) for problem in check_overrides(table, overrides)
    ]
    relax = Relaxation(**_decision(section.section("relax"), today)) if section.has("relax") else None
    section.finish()
    return JurisdictionPolicy(operator, tuple(overrides), relax)


def _override(code: str, section: Section, today: dt.date) -> Override:
    changes: dict[str, Any] = {
        name: section.choice(name, list(values)) for name, values in OVERRIDABLE.items() if section.has(name)
    }
    return Override(code, **_decision(section, today), **changes)


def _decision(section: Section, today: dt.date) -> dict[str, Any]:
    decided: dict[str, Any] = {
        "reviewer": section.text("reviewer", example="J. Doe, counsel"),
        "date": section.date("date"),
        "reason": section.text("reason", example="opinion of 2026-02-28"),
    }
    if decided["date"] > today:
        section.problem("date", f"is {decided['date']}, which is in the future", "name the day of the decision")
    section.finish()
    return decided


def _numbers(section: Section) -> Numbers:
    what = "a number's SID (the number itself would land in the stack's state)"
    adopt = section.texts("adopt", _NUMBER_SID, what, "PN" + _SID_EXAMPLE)
    reserved = section.texts("reserved", _NUMBER_SID, what, "PN" + _SID_EXAMPLE)
    buy = tuple(_purchase(each) for each in section.sections("buy"))
    numbers = Numbers(adopt, buy, reserved, section.flag("releaseOnDelete", default=False))
    # Which numbers will be bought is not known yet, so a reserved one may be one of them.
    if not buy and (stray := [sid for sid in reserved if sid and sid not in adopt]):
        section.problem("reserved", f"names numbers that are not adopted: {', '.join(stray)}", "add them to adopt")
    if not section.broken and not adopt and not buy:
        section.problem("adopt", "is missing: a pool without numbers masks nobody", "list the SIDs of numbers you own")
    section.finish()
    return numbers


def _check_pools(root: Section, settings: Settings) -> None:
    """See that each number is in one pool, and no pool is larger than a Proxy service takes."""
    names = ["numbers", *(f"additionalPools[{place}]" for place in range(len(settings.additional_pools)))]
    seen: dict[str, str] = {}
    for name, pool in zip(names, settings.pools, strict=True):
        for sid in pool.adopt:
            if sid and seen.setdefault(sid, name) != name:
                root.problem(f"{name}.adopt", f"names {sid}, which {seen[sid]} has as well", "leave it in one of them")
        if settings.is_direct:
            continue
        reserved = len(set(pool.reserved))
        for kind, count, most in (
            ("that are not reserved", pool.size - reserved, MOST["unreserved"]),
            ("that are reserved", reserved, MOST["reserved"]),
        ):
            if count > most:
                root.problem(
                    f"{name}.adopt",
                    f"makes {count:,} numbers {kind}, together with buy, and a Proxy service takes {most:,}",
                    f"put the others in {NAMESPACE}:additionalPools",
                )


def _purchase(section: Section) -> Purchase:
    purchase = Purchase(
        country=section.text("country", re.compile("[A-Z]{2}"), "a country code of two capitals", "US"),
        type=section.choice("type", NUMBER_TYPES, default="local"),
        count=section.whole("count", least=1, most=500, default=1, unit="numbers"),
        capabilities=section.choices("capabilities", NUMBER_CAPABILITIES, default=("voice", "sms")),
        area_code=section.optional_text("areaCode", re.compile(r"\d{3}"), "three digits in quotes", "212"),
        address_sid=section.optional_text("addressSid", _ADDRESS_SID, "an address SID", "AD" + _SID_EXAMPLE),
        bundle_sid=section.optional_text("bundleSid", _BUNDLE_SID, "a bundle SID", "BU" + _SID_EXAMPLE),
    )
    section.finish()
    return purchase


def _twilio(root: Section, environment: Environment, stored_in_clear: Collection[str]) -> Twilio:
    for key in sorted(SECRET_KEYS & set(stored_in_clear)):
        if root.has(key):
            root.problem(
                key,
                "is stored in clear text",
                f"make a new one at Twilio, then `pulumi config set --secret {NAMESPACE}:{key}`",
            )
    return Twilio(
        account_sid=root.text("twilioAccountSid", _ACCOUNT_SID, "an account SID", "AC" + _SID_EXAMPLE),
        api_key=root.text("twilioApiKey", _API_KEY_SID, "an API key SID", "SK" + _SID_EXAMPLE),
        api_secret=root.secret("twilioApiSecret"),
        auth_token=root.secret("twilioAuthToken"),
        auth_token_secondary=root.secret("twilioAuthTokenSecondary") if root.has("twilioAuthTokenSecondary") else None,
        shared_keys=webhooks.shared_keys(root),
        endpoint=_endpoint(root, environment),
    )


def _endpoint(root: Section, environment: Environment) -> str | None:
    if not root.has("twilioEndpoint"):
        if environment == "local":
            root.problem(
                "twilioEndpoint",
                "is missing: a local stack talks to the local stand-in of Twilio only",
                "start it with `parley local up`, which sets it",
            )
        return None
    value = root.text("twilioEndpoint")
    if environment in ("staging", "prod"):
        root.problem("twilioEndpoint", f"is set in {environment}, which must talk to Twilio itself", "remove it")
    elif value and not _is_loopback(value):
        root.problem("twilioEndpoint", "is not a loopback address", "use http://127.0.0.1:PORT, or remove it")
    return value.rstrip("/")


def _is_loopback(value: str) -> bool:
    try:
        url = urlsplit(value)
        port = url.port
    except ValueError:
        return False
    return url.scheme in ("http", "https") and url.hostname in ("127.0.0.1", "localhost", "::1") and port != 0


def _protection(section: Section, environment: Environment) -> Protection:
    kept = environment in ("staging", "prod")
    protection = Protection(
        deletion_protection=section.flag("deletionProtection"),
        retain=section.flag("retain"),
        # AWS KMS, ScheduleKeyDeletion: the waiting period is 7 to 30 days.
        key_window_days=section.whole("keyWindowDays", least=7, most=30, default=30, unit="days"),
        # DynamoDB, UpdateContinuousBackups: RecoveryPeriodInDays is 1 to 35.
        point_in_time_days=section.whole("pointInTimeDays", least=1, most=35, unit="days"),
    )
    if kept and not section.broken:
        for key, enough in (
            ("deletionProtection", protection.deletion_protection),
            ("retain", protection.retain),
        ):
            if not enough and section.has(key):
                section.problem(key, f"is false in {environment}, where data must not go by mistake", "set it to true")
        if protection.key_window_days < 30:
            section.problem(
                "keyWindowDays", f"is under 30 in {environment}: a deleted key is lost data", "set it to 30"
            )
    return protection


def _throttle(section: Section) -> Throttle:
    throttle = Throttle(
        rate_per_second=section.whole("ratePerSecond", least=1, most=10_000, default=50, unit="requests"),
        burst=section.whole("burst", least=1, most=5_000, default=100, unit="requests"),
    )
    if throttle.burst < throttle.rate_per_second:
        section.problem("burst", "is under ratePerSecond, so the rate is never reached", "raise it to ratePerSecond")
    section.finish()
    return throttle


def _functions(section: Section, environment: Environment) -> Functions:
    functions = Functions(
        reserved_concurrency=section.optional_whole("reservedConcurrency", least=1, most=1_000, unit="executions"),
        memory_megabytes=section.whole("memoryMegabytes", least=128, most=10_240, default=512, unit="MB"),
        snap_start=section.flag("snapStart", default=False),
        provisioned_concurrency=section.optional_whole(
            "provisionedConcurrency", least=1, most=1_000, unit="executions"
        ),
        compiled=section.flag("compiled", default=False),
    )
    ready, reserved = functions.provisioned_concurrency, functions.reserved_concurrency
    if ready and functions.snap_start:
        section.problem("snapStart", "is true beside provisionedConcurrency: Lambda takes one of them", "leave one out")
    if ready and reserved and ready > reserved:
        section.problem(
            "provisionedConcurrency",
            f"is {ready}, and reservedConcurrency is {reserved}: no more can be ready than may run",
            f"lower it to {reserved} at most, or raise reservedConcurrency",
        )
    if environment == "local" and (ready or functions.snap_start):
        key = "provisionedConcurrency" if ready else "snapStart"
        section.problem(key, "is declared, and the cloud on one machine has nothing of the kind", "leave it out")
    section.finish()
    return functions


def _readers(section: Section, records: Schedule) -> tuple[Reader, ...]:
    """Read who may read recordings and messages, and what for: purposes that the schedule declares (R22, R23)."""
    declared = {
        purpose
        for record_class in CONTENT
        if record_class in records.retentions
        for purpose in records[record_class].purposes
    }
    readers = []
    for each in section.sections("readers"):
        role = each.text("role", _ROLE_ARN, "the ARN of an IAM role", "arn:aws:iam::123456789012:role/disputes")
        purposes = each.texts("purposes", re.compile(r"\S.*"), "a purpose", "dispute-resolution")
        if not each.broken:
            if not purposes:
                each.problem("purposes", "names no purpose", f"name some of {', '.join(sorted(declared)) or 'none'}")
            for purpose in sorted(set(purposes) - declared):
                each.problem(
                    "purposes",
                    f"names {shown(purpose)}, and no class of content is kept for that",
                    f"name some of {', '.join(sorted(declared)) or 'none'}, or declare it in {NAMESPACE}:records",
                )
        each.finish()
        readers.append(Reader(role, tuple(purposes)))
    section.finish()
    return tuple(readers)


def _tags(section: Section) -> Mapping[str, str]:
    return {key: section.text(key) for key in section.values}
