"""The reviewer's report: what the stack declares about every record class, and whether it is live.

The declaration is the stack output `declaration`, made by the program from the same objects that it deploys. The live
side is read back from the services themselves (S3 lifecycle, DynamoDB TTL, CloudWatch Logs, SQS). A report made from an
exported state alone (`--export`) needs no cloud login and says "not asked" where it could not look.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from jinja2 import Environment, PackageLoader, StrictUndefined

from cli.errors import CANNOT_TELL, UserError

SECONDS_A_DAY = 86_400
TRAFFIC_ALIAS = "live"  # what requests, queues and schedules run; $LATEST serves nobody
BUCKET_PROPERTIES = frozenset({"prefix", "noncurrentDays", "versioning", "remnants"})

Verdict = Literal["live", "differs", "absent", "not asked", "cannot tell"]


@dataclass(frozen=True, slots=True)
class Live:
    """What one service answered about one rule: `days` is None when no such rule is in force."""

    verdict: Verdict
    days: int | None = None
    key: str | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Bound:
    """When the last copy of a class is gone at the latest: whole days after the record was made.

    `terms` are those of the longest path (what, days), and `copy` names the copy it belongs to. `content_days` is the
    bound of the record itself, which ends before its names and metadata do.
    """

    record_class: str
    days: int
    content_days: int
    copy: str
    terms: tuple[tuple[str, int], ...]
    hold: bool


@dataclass(frozen=True, slots=True)
class Row:
    """One store of one record class, declared and live. Days are whole days.

    `bound_days` is the class's bound, or None for a stack that was deployed before there was one.
    """

    record_class: str
    purposes: tuple[str, ...]
    basis: str
    why: str
    declared_days: int
    bound_days: int | None
    system: str
    name: str
    rule: str
    key: str | None
    live: Live


@dataclass(frozen=True, slots=True)
class Report:
    """The rows of one stack, and the bound of each class, in the order of the schedule."""

    stack: str
    environment: str
    masking: str
    rows: tuple[Row, ...]
    bounds: tuple[Bound, ...]

    @property
    def all_live(self) -> bool:
        """True when every rule was looked up and is in force as declared."""
        return bool(self.rows) and all(row.live.verdict == "live" for row in self.rows)


class LiveStores:
    """Looks a declared rule up in the running services.

    `client` makes a boto3 client for a service name; `functions` are the deployed names of the functions whose
    environment carries the TTL days that handlers write.
    """

    def __init__(self, client: Callable[[str], Any], functions: Sequence[str]) -> None:
        self._client = client
        self._functions = tuple(functions)
        self._written_days: dict[str, set[int]] | None = None
        self._ask: dict[str, Callable[[Mapping[str, Any], str], Live]] = {
            "s3": self._s3,
            "dynamodb": self._dynamodb,
            "logs": self._logs,
            "sqs": self._sqs,
        }

    def look_up(self, store: Mapping[str, Any], record_class: str) -> Live:
        """Return what the service of `store` answers now; a failing service gives the verdict "cannot tell"."""
        ask = self._ask.get(store["system"])
        if ask is None:
            return Live("not asked", note=f"no look-up for {store['system']}")
        try:
            return ask(store, record_class)
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            gone = any(word in code for word in ("NoSuch", "NotFound", "NonExistent"))
            return Live("absent" if gone else "cannot tell", note=code)
        except BotoCoreError as error:
            return Live("cannot tell", note=type(error).__name__)

    def _s3(self, store: Mapping[str, Any], _: str) -> Live:
        s3 = self._client("s3")
        answered = s3.get_bucket_lifecycle_configuration(Bucket=store["name"])["Rules"]
        rules = {rule["ID"]: rule for rule in answered if rule["Status"] == "Enabled"}
        rule = rules.get(store["rule"])
        if rule is None:
            return Live("absent", note="no enabled lifecycle rule of that id")
        defaults = s3.get_bucket_encryption(Bucket=store["name"])["ServerSideEncryptionConfiguration"]["Rules"][0]
        default = defaults["ApplyServerSideEncryptionByDefault"]
        key = default.get("KMSMasterKeyID") or ("aws:sse-s3" if default["SSEAlgorithm"] == "AES256" else None)
        days = rule.get("Expiration", {}).get("Days")
        if not store.keys() >= BUCKET_PROPERTIES:
            held = _held_against(store, days, key)
            unknown = "the stack was deployed before its declaration had the whole rule; deploy it again"
            return Live("cannot tell", days, key, unknown) if held.verdict == "live" else held
        versioning = s3.get_bucket_versioning(Bucket=store["name"]).get("Status", "off")
        return _held_against(store, days, key, *_bucket_differences(store, rule, rules, versioning))

    def _dynamodb(self, store: Mapping[str, Any], record_class: str) -> Live:
        dynamodb = self._client("dynamodb")
        ttl = dynamodb.describe_time_to_live(TableName=store["name"])["TimeToLiveDescription"]
        if ttl.get("TimeToLiveStatus") not in ("ENABLED", "ENABLING") or ttl.get("AttributeName") != store["rule"]:
            return Live("absent", note="time to live is off or on another attribute")
        days = self._days_written().get(record_class, set())
        if len(days) != 1:
            return Live("differs", note="functions disagree" if days else "no function writes this class")
        table = dynamodb.describe_table(TableName=store["name"])["Table"]
        return _held_against(store, days.pop(), table.get("SSEDescription", {}).get("KMSMasterKeyArn"))

    def _days_written(self) -> dict[str, set[int]]:
        """Days that the deployed functions add to the TTL attribute, by record class."""
        if self._written_days is None:
            found: dict[str, set[int]] = {}
            for name in self._functions:
                configuration = self._client("lambda").get_function_configuration(
                    FunctionName=name, Qualifier=TRAFFIC_ALIAS
                )
                variables = configuration.get("Environment", {}).get("Variables", {})
                for record_class, days in json.loads(variables.get("PARLEY_KEEP_DAYS", "{}")).items():
                    found.setdefault(record_class, set()).add(days)
            self._written_days = found
        return {name: set(days) for name, days in self._written_days.items()}

    def _logs(self, store: Mapping[str, Any], _: str) -> Live:
        groups = self._client("logs").describe_log_groups(logGroupNamePrefix=store["name"])["logGroups"]
        group = next((g for g in groups if g["logGroupName"] == store["name"]), None)
        if group is None:
            return Live("absent", note="no such log group")
        return _held_against(store, group.get("retentionInDays"), group.get("kmsKeyId"))

    def _sqs(self, store: Mapping[str, Any], _: str) -> Live:
        attributes = self._client("sqs").get_queue_attributes(QueueUrl=store["name"], AttributeNames=["All"])
        seconds = int(attributes["Attributes"]["MessageRetentionPeriod"])
        days, rest = divmod(seconds, SECONDS_A_DAY)
        key = attributes["Attributes"].get("KmsMasterKeyId")
        return _held_against(store, days, key) if not rest else Live("differs", days, note=f"{seconds} s")


def _held_against(store: Mapping[str, Any], days: int | None, key: str | None, *differences: str) -> Live:
    """Compare what is live with what is declared: days and key must both be the declared ones, and nothing differ."""
    if days is None:
        return Live("absent", note="kept without limit")
    notes = [f"{days} days live, {int(store['days'])} declared"] if days != store["days"] else []
    if not _same_key(key, store.get("key")):
        notes.append(f"key: {key or 'none'} live, {store.get('key') or 'none'} declared")
    notes += differences
    return Live("differs" if notes else "live", days, key, "; ".join(notes))


def _bucket_differences(
    store: Mapping[str, Any], rule: Mapping[str, Any], rules: Mapping[str, Mapping[str, Any]], versioning: str
) -> list[str]:
    """Name each property without which the days of `rule` do not empty a bucket, and whose live value is another."""
    noncurrent = rule.get("NoncurrentVersionExpiration", {})
    held = [
        ("prefix", _reach(rule), store["prefix"]),
        ("noncurrent days", noncurrent.get("NoncurrentDays"), store["noncurrentDays"]),
        ("noncurrent versions spared", noncurrent.get("NewerNoncurrentVersions", 0), 0),
        ("versioning", versioning, store["versioning"]),
    ]
    declared = store["remnants"]
    remnants = rules.get(declared["rule"])
    if remnants is None:
        held.append((f"rule {declared['rule']}", "absent or disabled", "Enabled"))
    else:
        markers = remnants.get("Expiration", {}).get("ExpiredObjectDeleteMarker", False)
        abort = remnants.get("AbortIncompleteMultipartUpload", {}).get("DaysAfterInitiation")
        held += [
            (f"prefix of {declared['rule']}", _reach(remnants), declared["prefix"]),
            ("delete markers removed", markers, declared["deleteMarkers"]),
            ("days until uploads are aborted", abort, declared["abortDays"]),
        ]
    return [
        f"{name}: {_shown(live)} live, {_shown(declared)} declared" for name, live, declared in held if live != declared
    ]


def _reach(rule: Mapping[str, Any]) -> str:
    """Return the prefix that a rule is for; a filter with any other condition is returned whole, as JSON."""
    conditions: Mapping[str, Any] = rule.get("Filter", {})
    if conditions.keys() <= {"Prefix"}:
        return str(conditions.get("Prefix", rule.get("Prefix", "")))
    return json.dumps(conditions, sort_keys=True)


def _shown(value: object) -> str:
    """Return a property's value as a note has it; numbers of an exported state may be floats."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return str(int(value))
    return "none" if value is None or value == "" else str(value)


def _same_key(live: str | None, declared: str | None) -> bool:
    """Key ids and key ARNs name the same key when their last part is the same."""
    return (live or "").rpartition("/")[2] == (declared or "").rpartition("/")[2]


def build(stack: str, outputs: Mapping[str, Any], stores: LiveStores | None) -> Report:
    """Make the report of a stack from its outputs; without `stores` nothing live is asked.

    Raises UserError when the stack has no declaration, that is when it was never deployed.
    """
    declaration = outputs.get("declaration")
    if not declaration:
        raise UserError(
            f"stack '{stack}' has no output 'declaration': it was not deployed yet; deploy it first "
            "(`parley local up`, or `make up STACK=…`)",
            CANNOT_TELL,
        )
    bounds = {entry["class"]: _bound(entry) for entry in declaration if "bound" in entry}
    rows = [
        Row(
            record_class=entry["class"],
            purposes=tuple(entry["purposes"]),
            basis=entry["basis"],
            why=entry.get("why") or "",
            declared_days=int(entry["keepDays"]),
            bound_days=bounds[entry["class"]].days if entry["class"] in bounds else None,
            system=store["system"],
            name=store["name"],
            rule=store["rule"],
            key=store.get("key"),
            live=stores.look_up(store, entry["class"]) if stores else Live("not asked"),
        )
        for entry in declaration
        for store in entry["stores"]
    ]
    return Report(
        stack,
        str(outputs.get("environment", "")),
        str(outputs.get("masking", "")),
        tuple(rows),
        tuple(bounds.values()),
    )


def _bound(entry: Mapping[str, Any]) -> Bound:
    """Return the bound of a declared class with its longest path; numbers of an exported state may be floats."""
    bound = entry["bound"]
    longest = max(bound["paths"], key=lambda path: path["days"])
    return Bound(
        record_class=entry["class"],
        days=int(bound["days"]),
        content_days=int(max(path["days"] for path in bound["paths"] if path["content"])),
        copy=longest["copy"],
        terms=tuple((term["what"], int(term["days"])) for term in longest["terms"]),
        hold=bool(entry["hold"]),
    )


def to_json(report: Report) -> str:
    """Return the report as JSON text with sorted keys."""
    return json.dumps({**asdict(report), "all_live": report.all_live}, indent=2, sort_keys=True)


def to_markdown(report: Report) -> str:
    """Return the report as Markdown text."""
    environment = Environment(
        loader=PackageLoader("cli"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # noqa: S701 - Markdown, not HTML
    )
    environment.filters["cell"] = lambda value: str(value).replace("|", "\\|").replace("\n", " ")
    return environment.get_template("report.md.j2").render(report=report)


def clients(environment: Mapping[str, str] | None) -> Callable[[str], Any]:
    """Return a maker of boto3 clients: for the local cloud's `environment`, else for the ambient credentials."""
    if environment is None:
        session: Any = boto3.Session()  # the stubs know no service by a computed name
        endpoint = None
    else:
        endpoint = environment["AWS_ENDPOINT_URL"]
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
    made: dict[str, Any] = {}

    def client(service: str) -> Any:
        if service not in made:
            made[service] = session.client(service, endpoint_url=endpoint)
        return made[service]

    return client
