"""The typed environment of the functions: written by the deployment, read by the handlers.

`to_environment` and `from_environment` are a pair: what the one writes the other reads back equal, so a variable
cannot be spelled one way in the infrastructure and another in the code. No secret ever travels here: the Twilio
credentials are named by the ARN of their secret.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parley.core.assignment import NumberChoice
from parley.core.jurisdiction import JurisdictionPolicy
from parley.core.retention import Limit
from parley.variables import Controller, EnvironmentMismatchError, Variables

PROXY, DIRECT = "proxy", "direct"
"""How people are masked (`parley:masking`)."""


@dataclass(frozen=True, slots=True)
class SessionPolicy:
    """How long a session may live, in seconds, and what may pass through it.

    `mode` is Twilio's: voice-and-message, voice-only or message-only. `reconcile_seconds` is how often the reconciler
    runs, which bounds how long a session outlives a consent when everything else failed.
    """

    ttl: int
    mode: str
    reconcile_seconds: int = 60


@dataclass(frozen=True, slots=True)
class ConsentPolicy:
    """By which methods consent may be given, and for how many days it is valid (None: until withdrawn).

    `methods` are those of every scope that `methods_by_scope` does not name. `ask_from` is the number or Messaging
    Service that questions are texted from (None: nobody is asked by text); an answer counts for `question_minutes`.
    """

    methods: tuple[str, ...]
    validity_days: int | None = None
    ask_from: str | None = None
    question_minutes: int = 1440
    methods_by_scope: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def methods_for(self, scope: str) -> tuple[str, ...]:
        """Return the methods by which consent to a scope may be given."""
        return self.methods_by_scope.get(scope, self.methods)

    def declared_methods(self) -> list[str] | dict[str, list[str]]:
        """Return the methods as JSON has them: one list for all, or a list for each scope and `default`."""
        if not self.methods_by_scope:
            return list(self.methods)
        return {"default": list(self.methods), **{name: list(each) for name, each in self.methods_by_scope.items()}}


@dataclass(frozen=True, slots=True)
class Reader:
    """An IAM role, by its ARN, that may read content for some purposes (requirement R23)."""

    role: str
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Environment:
    """Everything that a handler knows about its deployment.

    `purposes` are those of the schedule by record class. `evidence_key` is the key that plain identifiers are sealed
    under (None keeps none), and that the copies in `evidence_bucket` are encrypted under. `content_bucket` and
    `content_key` are where content is archived, `proof_key` signs proofs of erasure. `queues` maps the functions that
    are fed by a queue to its URL, `twilio_copy_days` the record classes to how long Twilio's copy may stay; `holdable`
    are those that a legal hold may keep. `readers` are who may read recordings, and what for. `minimums` are the least
    periods that an erasure must leave, by record class. `masking` is `proxy`, or `direct`: then sessions are our own,
    `proxy_service_sids` is empty, `line_key` seals the numbers that are to be reached, and `number_choice` says how
    masked numbers are assigned.
    """

    environment: str
    stack: str
    ledger_table: str
    identity_key: str
    twilio_secret: str
    twilio_account_sid: str
    proxy_service_sids: tuple[str, ...]
    public_url: str
    controller: Controller
    session: SessionPolicy
    consent: ConsentPolicy
    channels: tuple[str, ...]
    keep_days: Mapping[str, int] = field(default_factory=dict)
    twilio_endpoint: str | None = None
    evidence_bucket: str | None = None
    evidence_key: str | None = None
    purposes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    jurisdiction: JurisdictionPolicy = field(default_factory=JurisdictionPolicy)
    content_bucket: str | None = None
    content_key: str | None = None
    proof_key: str | None = None
    queues: Mapping[str, str] = field(default_factory=dict)
    twilio_copy_days: Mapping[str, int] = field(default_factory=dict)
    holdable: tuple[str, ...] = ()
    readers: tuple[Reader, ...] = ()
    minimums: Mapping[str, Limit] = field(default_factory=dict)
    masking: str = PROXY
    line_key: str | None = None
    number_choice: NumberChoice = field(default_factory=NumberChoice)

    @property
    def is_direct(self) -> bool:
        """Whether sessions are our own, and not Twilio Proxy's."""
        return self.masking == DIRECT

    @property
    def region(self) -> str:
        """The region of the stack, as its keys name it: arn:partition:kms:region:account:key/id."""
        return region_of(self.identity_key)


def region_of(arn: str) -> str:
    """Return the region in an ARN, or an empty text."""
    return (*arn.split(":"), *[""] * 4)[3]


def to_environment(
    *,
    environment: str,
    stack: str,
    ledger_table: Any,
    identity_key: Any,
    twilio_secret: Any,
    twilio_account_sid: Any,
    proxy_service_sids: Any,
    public_url: Any,
    controller: Controller,
    session: SessionPolicy,
    consent: ConsentPolicy,
    channels: tuple[str, ...],
    keep_days: Mapping[str, int],
    twilio_endpoint: str | None = None,
    evidence_bucket: Any = None,
    evidence_key: Any = None,
    purposes: Mapping[str, tuple[str, ...]] | None = None,
    jurisdiction: JurisdictionPolicy | None = None,
    content_bucket: Any = None,
    content_key: Any = None,
    proof_key: Any = None,
    queues: Any = None,
    twilio_copy_days: Mapping[str, int] | None = None,
    holdable: tuple[str, ...] = (),
    readers: tuple[Reader, ...] = (),
    minimums: Mapping[str, Limit] | None = None,
    masking: str = PROXY,
    line_key: Any = None,
    number_choice: NumberChoice | None = None,
) -> dict[str, Any]:
    """Return the environment variables of a function. The arguments are the fields of `Environment`.

    What only the deployment itself learns (names, ARNs, SIDs, the URL) is passed through untouched, so that it may
    be an output that is not known yet; `queues` is the JSON text of its mapping, and `proxy_service_sids` are one text
    with commas.
    """
    variables = {
        "PARLEY_ENVIRONMENT": environment,
        "PARLEY_STACK": stack,
        "PARLEY_LEDGER_TABLE": ledger_table,
        "PARLEY_IDENTITY_KEY": identity_key,
        "PARLEY_TWILIO_SECRET": twilio_secret,
        "PARLEY_TWILIO_ACCOUNT_SID": twilio_account_sid,
        "PARLEY_MASKING": masking,
        "PARLEY_PUBLIC_URL": public_url,
        "PARLEY_KEEP_DAYS": _json(dict(keep_days)),
        "PARLEY_CONTROLLER": _json(
            {
                "name": controller.name,
                "contact": controller.contact,
                "privacyPolicyUrl": controller.privacy_policy_url,
                "privacyPolicyVersion": controller.privacy_policy_version,
            }
        ),
        "PARLEY_SESSION": _json(
            {"ttl": session.ttl, "mode": session.mode, "reconcileSeconds": session.reconcile_seconds}
        ),
        "PARLEY_JURISDICTION": (jurisdiction or JurisdictionPolicy()).to_json(),
        "PARLEY_CONSENT": _json(
            {
                "methods": consent.declared_methods(),
                "validityDays": consent.validity_days,
                "askFrom": consent.ask_from,
                "questionMinutes": consent.question_minutes,
            }
        ),
        "PARLEY_CHANNELS": _json(list(channels)),
        "PARLEY_PURPOSES": _json({name: list(each) for name, each in (purposes or {}).items()}),
        "PARLEY_TWILIO_COPY_DAYS": _json(dict(twilio_copy_days or {})),
        "PARLEY_HOLDABLE": _json(list(holdable)),
        "PARLEY_READERS": _json({each.role: list(each.purposes) for each in readers}),
        "PARLEY_MINIMUMS": _json({name: [each.days, each.rule] for name, each in (minimums or {}).items()}),
    }
    choice = number_choice or NumberChoice()
    named = {
        "PARLEY_PROXY_SERVICE_SIDS": proxy_service_sids if masking == PROXY else None,
        "PARLEY_LINE_KEY": line_key,
        "PARLEY_NUMBER_CHOICE": None
        if masking == PROXY
        else _json({"geoMatch": choice.geo_match, "selection": choice.selection}),
        "PARLEY_CONTENT_BUCKET": content_bucket,
        "PARLEY_CONTENT_KEY": content_key,
        "PARLEY_PROOF_KEY": proof_key,
        "PARLEY_QUEUES": queues,
    }
    variables.update({name: value for name, value in named.items() if value is not None})
    if twilio_endpoint is not None:
        variables["PARLEY_TWILIO_ENDPOINT"] = twilio_endpoint
    if evidence_bucket is not None:
        variables["PARLEY_EVIDENCE_BUCKET"] = evidence_bucket
    if evidence_key is not None:
        variables["PARLEY_EVIDENCE_KEY"] = evidence_key
    return variables


def from_environment(variables: Mapping[str, str]) -> Environment:
    """Read the environment of a function.

    Raises EnvironmentMismatchError with every variable that is missing or malformed. Its message holds names of
    variables only, never their values.
    """
    reader = _Reader(variables)
    masking = variables.get("PARLEY_MASKING") or PROXY
    environment = Environment(
        environment=reader.text("PARLEY_ENVIRONMENT"),
        stack=reader.text("PARLEY_STACK"),
        ledger_table=reader.text("PARLEY_LEDGER_TABLE"),
        identity_key=reader.text("PARLEY_IDENTITY_KEY"),
        twilio_secret=reader.text("PARLEY_TWILIO_SECRET"),
        twilio_account_sid=reader.text("PARLEY_TWILIO_ACCOUNT_SID"),
        proxy_service_sids=() if masking == DIRECT else tuple(reader.text("PARLEY_PROXY_SERVICE_SIDS").split(",")),
        public_url=reader.text("PARLEY_PUBLIC_URL").rstrip("/"),
        controller=reader.controller("PARLEY_CONTROLLER"),
        session=reader.session("PARLEY_SESSION"),
        consent=reader.consent("PARLEY_CONSENT"),
        channels=reader.texts("PARLEY_CHANNELS", reader.document("PARLEY_CHANNELS", list)),
        keep_days=reader.keep_days("PARLEY_KEEP_DAYS"),
        twilio_endpoint=variables.get("PARLEY_TWILIO_ENDPOINT") or None,
        evidence_bucket=variables.get("PARLEY_EVIDENCE_BUCKET") or None,
        evidence_key=variables.get("PARLEY_EVIDENCE_KEY") or None,
        purposes=reader.purposes("PARLEY_PURPOSES"),
        jurisdiction=reader.jurisdiction("PARLEY_JURISDICTION"),
        content_bucket=variables.get("PARLEY_CONTENT_BUCKET") or None,
        content_key=variables.get("PARLEY_CONTENT_KEY") or None,
        proof_key=variables.get("PARLEY_PROOF_KEY") or None,
        queues=reader.queues("PARLEY_QUEUES") if variables.get("PARLEY_QUEUES") else {},
        twilio_copy_days=reader.days("PARLEY_TWILIO_COPY_DAYS"),
        holdable=reader.texts("PARLEY_HOLDABLE", reader.document("PARLEY_HOLDABLE", list)),
        readers=tuple(Reader(role, each) for role, each in reader.purposes("PARLEY_READERS").items()),
        minimums=reader.minimums("PARLEY_MINIMUMS") if variables.get("PARLEY_MINIMUMS") else {},
        masking=masking,
        line_key=reader.text("PARLEY_LINE_KEY") if masking == DIRECT else None,
        number_choice=reader.number_choice("PARLEY_NUMBER_CHOICE") if masking == DIRECT else NumberChoice(),
    )
    if reader.problems:
        raise EnvironmentMismatchError(reader.problems)
    return environment


def _json(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


class _Reader(Variables):
    """Reads what only a part of the functions needs."""

    def session(self, name: str) -> SessionPolicy:
        document = self.document(name, dict)
        return SessionPolicy(
            ttl=self.positive(name, "ttl", document.get("ttl")),
            mode=self.member(name, document, "mode"),
            reconcile_seconds=self.positive(name, "reconcileSeconds", document.get("reconcileSeconds")),
        )

    def jurisdiction(self, name: str) -> JurisdictionPolicy:
        text = self.text(name)
        try:
            return JurisdictionPolicy.from_json(text) if text else JurisdictionPolicy()
        except ValueError:
            self.problems.append(f"{name} is not a jurisdiction policy")
            return JurisdictionPolicy()

    def consent(self, name: str) -> ConsentPolicy:
        document = self.document(name, dict)
        days, methods = document.get("validityDays"), document.get("methods")
        lists = dict(methods) if isinstance(methods, dict) else {"default": methods}
        return ConsentPolicy(
            methods=self.texts(name, lists.pop("default", [])),
            methods_by_scope={scope: self.texts(name, each) for scope, each in lists.items()},
            validity_days=None if days is None else self.positive(name, "validityDays", days),
            ask_from=None if document.get("askFrom") is None else self.member(name, document, "askFrom"),
            question_minutes=self.positive(name, "questionMinutes", document.get("questionMinutes")),
        )

    def number_choice(self, name: str) -> NumberChoice:
        document = self.document(name, dict)
        return NumberChoice(self.member(name, document, "geoMatch"), self.member(name, document, "selection"))

    def queues(self, name: str) -> dict[str, str]:
        document = self.document(name, dict)
        return {key: self.member(name, document, key) for key in document}

    def days(self, name: str) -> dict[str, int]:
        document: dict[str, Any] = self.document(name, dict)
        if any(isinstance(value, bool) or not isinstance(value, int) or value < 0 for value in document.values()):
            self.problems.append(f"{name} has a number of days that is none")
            return {}
        return document

    def minimums(self, name: str) -> dict[str, Limit]:
        document: dict[str, Any] = self.document(name, dict)
        try:
            return {key: Limit(int(days), str(rule)) for key, (days, rule) in document.items()}
        except (TypeError, ValueError):
            self.problems.append(f"{name} has a least period that is none")
            return {}
