"""IAM policy documents, read as AWS reads them.

moto's own evaluator takes an unmet condition for a denial and knows neither most operators nor resources outside S3
(its module docstring says so), so that a TLS-only bucket policy would block everything. This one follows "Policy
evaluation logic" and "IAM JSON policy elements: Condition operators" of the IAM User Guide. What it does not know it
does not guess: an unknown operator or condition key is logged as an error and counts against the caller.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

log = logging.getLogger(__name__)

Context = Mapping[str, tuple[str, ...]]

#: Condition keys (lower case) that the cloud supplies where AWS does, so that their absence means something.
KNOWN_KEYS = frozenset(
    {
        *(
            f"aws:{key}"
            for key in ("securetransport", "sourceip", "sourcearn", "sourceaccount", "sourcevpc", "sourcevpce")
        ),
        *(f"aws:{key}" for key in ("principalarn", "principalaccount", "principaltype", "principalorgid", "userid")),
        *(f"aws:{key}" for key in ("principalisawsservice", "principalservicename", "viaawsservice", "calledvia")),
        *(f"aws:{key}" for key in ("requestedregion", "resourceaccount", "currenttime", "epochtime", "sourceowner")),
        *(f"kms:{key}" for key in ("viaservice", "calleraccount", "encryptioncontextkeys", "grantisforawsresource")),
        *(f"kms:{key}" for key in ("keyspec", "keyusage", "scheduledeletionpendingwindowindays")),
        *(f"s3:{key}" for key in ("tlsversion", "prefix", "delimiter", "max-keys", "versionid", "authtype")),
        *(f"s3:object-lock-{key}" for key in ("mode", "retain-until-date", "legal-hold")),
        *(f"dynamodb:{key}" for key in ("leadingkeys", "attributes", "select")),
        *(f"secretsmanager:{key}" for key in ("secretid", "versionid", "versionstage", "name")),
    }
)
KNOWN_PREFIXES = ("kms:encryptioncontext:", "s3:x-amz-")


class UnknownConditionError(Exception):
    """A condition operator or key that this evaluator does not carry out."""


@dataclass(frozen=True)
class Principal:
    """Who asks: an account's role session or its root, or an AWS service.

    `arn` is the session's (or root's) ARN, `role_arn` the role behind a session, `service` such as
    `apigateway.amazonaws.com`.
    """

    account: str
    arn: str
    role_arn: str | None = None
    service: str | None = None


@dataclass(frozen=True)
class Question:
    """One request for permission: may `principal` do `action` (`s3:GetObject`) on `resource` (an ARN or `*`)."""

    principal: Principal
    action: str
    resource: str
    context: Context = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """What one or more documents say: an explicit denial, and a grant to the caller or only to its account.

    A resource policy that names the account leaves the decision to the caller's own policies.
    """

    denied_by: str | None = None
    allowed: bool = False
    account_allowed: bool = False

    def __or__(self, other: Verdict) -> Verdict:
        return Verdict(
            self.denied_by or other.denied_by,
            self.allowed or other.allowed,
            self.account_allowed or other.account_allowed,
        )


def verdict(document: str | Mapping[str, Any] | None, question: Question, *, name: str = "policy") -> Verdict:
    """Hold `question` against one policy document; a statement without a principal is the caller's own."""
    result = Verdict()
    if not document:
        return result
    for number, statement in enumerate(statements(document)):
        sid = f"{name}/{statement.get('Sid', number)}"
        reach = _reach(statement, question.principal)
        if reach is None or not _concerns(statement, question):
            continue
        denies = statement.get("Effect") == "Deny"
        try:
            met = conditions_hold(statement.get("Condition") or {}, question.context)
        except UnknownConditionError as problem:
            log.error("%s: %s; taken against the caller", sid, problem)  # noqa: TRY400 - the message says it all
            met = denies
        if met:
            result |= (
                Verdict(denied_by=sid)
                if denies
                else Verdict(allowed=reach == "caller", account_allowed=reach == "account")
            )
    return result


def statements(document: str | Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Yield the statements of a document given as JSON text or as a mapping."""
    if isinstance(document, str):
        document = _parsed(document)
    yield from as_list(document.get("Statement", []))


@lru_cache(maxsize=512)
def _parsed(document: str) -> Mapping[str, Any]:
    parsed: Mapping[str, Any] = json.loads(document)
    return parsed


def as_list(value: Any) -> list[Any]:
    """Return a policy element's values: AWS lets a list of one be written without its brackets."""
    return value if isinstance(value, list) else [value]


def matches(pattern: str, value: str, *, ignore_case: bool = False) -> bool:
    """Tell whether `value` matches an IAM pattern (`*` any run of characters, `?` one)."""
    return _compiled(pattern, ignore_case).fullmatch(value) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str, ignore_case: bool) -> re.Pattern[str]:
    text = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.compile(text, re.DOTALL | (re.IGNORECASE if ignore_case else 0))


def _concerns(statement: Mapping[str, Any], question: Question) -> bool:
    def any_action(patterns: Any) -> bool:
        return any(matches(p, question.action, ignore_case=True) for p in as_list(patterns))

    def any_resource(patterns: Any) -> bool:
        return any(matches(_filled(p, question.context), question.resource) for p in as_list(patterns))

    if not (
        any_action(statement["Action"]) if "Action" in statement else not any_action(statement.get("NotAction", []))
    ):
        return False
    if "Resource" in statement:
        return any_resource(statement["Resource"])
    return "NotResource" not in statement or not any_resource(statement["NotResource"])


def _filled(pattern: str, context: Context) -> str:
    """Put the request's values in place of policy variables such as `${aws:PrincipalAccount}`."""

    def value(found: re.Match[str]) -> str:
        values = context.get(found[1].lower(), ())
        return values[0] if len(values) == 1 else found[0]

    return re.sub(r"\$\{([^}]+)\}", value, pattern) if "${" in pattern else pattern


def _reach(statement: Mapping[str, Any], who: Principal) -> str | None:
    """Say whether a statement speaks of the caller itself, only of its account, or of somebody else (None)."""
    if "NotPrincipal" in statement:
        return None if _named(statement["NotPrincipal"], who) else "caller"
    if "Principal" not in statement:
        return "caller"
    found = _named(statement["Principal"], who)
    # A denial for the account is a denial for each of its principals.
    return "caller" if found and statement.get("Effect") == "Deny" else found


def _named(principal: Any, who: Principal) -> str | None:
    if principal == "*":
        return "caller"
    if not isinstance(principal, Mapping):
        return None
    if who.service is not None:
        return "caller" if who.service in as_list(principal.get("Service", [])) else None
    names = as_list(principal.get("AWS", []))
    if "*" in names or who.arn in names or (who.role_arn is not None and who.role_arn in names):
        return "caller"
    return "account" if {who.account, f"arn:aws:iam::{who.account}:root"} & set(names) else None


# --- conditions ---


def conditions_hold(conditions: Mapping[str, Mapping[str, Any]], context: Context) -> bool:
    """Tell whether every condition of a statement is met. Raises UnknownConditionError for what it does not know."""
    return all(
        _holds(operator, key, [str(v) for v in as_list(wanted)], context)
        for operator, keys in conditions.items()
        for key, wanted in keys.items()
    )


def _holds(operator: str, key: str, wanted: list[str], context: Context) -> bool:
    quantifier, _, bare = operator.rpartition(":")
    optional, bare = bare.endswith("IfExists"), bare.removesuffix("IfExists")
    name = key.lower()
    actual = context.get(name)
    if actual is None and name not in KNOWN_KEYS and not name.startswith(KNOWN_PREFIXES):
        raise UnknownConditionError(f"the local cloud does not know the condition key {key}")
    if bare == "Null":
        return (actual is None) == (wanted[0].lower() == "true")
    test = _TESTS.get(bare)
    if test is None or quantifier not in {"", "ForAllValues", "ForAnyValue"}:
        raise UnknownConditionError(f"the local cloud does not know the condition operator {operator}")
    wanted = [_filled(w, context) for w in wanted]
    negated = "Not" in bare
    if not actual:
        return optional or quantifier == "ForAllValues" or (negated and quantifier == "")
    passed = [(not any(test(v, w) for w in wanted)) if negated else any(test(v, w) for w in wanted) for v in actual]
    return all(passed) if quantifier == "ForAllValues" or (negated and not quantifier) else any(passed)


def _instant(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _in_network(value: str, network: str) -> bool:
    return ipaddress.ip_address(value) in ipaddress.ip_network(network, strict=False)


def _ordered(convert: Callable[[str], float], prefix: str) -> dict[str, Callable[[str, str], bool]]:
    """Return the six comparisons of the Numeric and Date operators."""
    equals = {f"{prefix}{n}Equals": lambda v, w: convert(v) == convert(w) for n in ("", "Not")}
    return equals | {
        f"{prefix}LessThan": lambda v, w: convert(v) < convert(w),
        f"{prefix}LessThanEquals": lambda v, w: convert(v) <= convert(w),
        f"{prefix}GreaterThan": lambda v, w: convert(v) > convert(w),
        f"{prefix}GreaterThanEquals": lambda v, w: convert(v) >= convert(w),
    }


def _pair(positive: str, test: Callable[[str, str], bool]) -> dict[str, Callable[[str, str], bool]]:
    """Return an operator and its `Not` form (negated by the caller)."""
    kind = next(k for k in ("String", "Arn", "IpAddress") if positive.startswith(k))
    negative = "NotIpAddress" if kind == "IpAddress" else f"{kind}Not{positive.removeprefix(kind)}"
    return {positive: test, negative: test}


_TESTS: dict[str, Callable[[str, str], bool]] = {
    **_pair("StringEquals", lambda v, w: v == w),
    **_pair("StringEqualsIgnoreCase", lambda v, w: v.lower() == w.lower()),
    **_pair("StringLike", lambda v, w: matches(w, v)),
    **_pair("ArnEquals", lambda v, w: matches(w, v)),
    **_pair("ArnLike", lambda v, w: matches(w, v)),
    **_pair("IpAddress", _in_network),
    "Bool": lambda v, w: v.lower() == w.lower(),
    "BinaryEquals": lambda v, w: v == w,
    **_ordered(float, "Numeric"),
    **_ordered(_instant, "Date"),
}
