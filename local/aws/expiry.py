"""What AWS deletes by itself when its time has come, on the movable clock: S3 lifecycles, TTL items, and the rest.

moto keeps lifecycle rules, TTL settings, log and message retention, and carries out none of them. The rules:
- S3 "Managing the lifecycle of objects": an age in days is counted from creation (for noncurrent versions from when the
  next version was made) and rounded up to the next midnight UTC; a version under object lock stays; on a versioned
  bucket an expired current version gets a delete marker.
- DynamoDB "Using time to live": an item goes some time after its TTL attribute (epoch seconds) has passed; here at the
  first look after it, and an attribute more than five years in the past is left alone.
- CloudWatch Logs retention, SQS message retention, KMS deletion windows.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from moto.dynamodb.models import dynamodb_backends
from moto.logs.models import logs_backends
from moto.s3.models import FakeBucket, FakeDeleteMarker, FakeMultipart, s3_backends
from moto.s3.responses import S3Response

from local.aws import kms_keys, queues
from local.aws.calls import ACCOUNT

if TYPE_CHECKING:
    from local.aws.mends import Mends
    from local.clock import Clock
    from local.lambda_.agenda import Agenda

log = logging.getLogger(__name__)

#: How often time's mere passing is looked at; a move of the clock is looked at at once.
LOOK_SECONDS = 60.0
_MOTOS_DAY = "2010-11-10T20:48:33.000Z"
_TTL_OLDEST_SECONDS = 5 * 365 * 86400


class Expiry:
    """Deletes what is due, at every move of the clock and once a minute."""

    def __init__(self, clock: Clock, agenda: Agenda, lock: Callable[[str], AbstractContextManager[Any]]) -> None:
        self._clock = clock
        self._agenda = agenda
        self._lock = lock
        self._looked = clock.now()

    def install(self, mends: Mends) -> None:
        """Let moto note when an upload began, and say so in its list: it answers the same day of 2010 for all."""

        def initialize(original: Any, upload: FakeMultipart, *args: Any, **kwargs: Any) -> None:
            original(upload, *args, **kwargs)
            vars(upload)["begun_at"] = _moment(self._clock.now())

        def listed(original: Any, response: S3Response) -> Any:
            status, headers, body = original(response)
            prefix = response.querystring.get("prefix", [""])[0]
            uploads = s3_backends[ACCOUNT]["aws"].list_multipart_uploads(response.bucket_name).values()
            for upload in uploads:
                if upload.key_name.startswith(prefix):
                    begun = f"{vars(upload)['begun_at'].isoformat(timespec='milliseconds')}Z"
                    body = body.replace(_MOTOS_DAY, begun, 1)
            return status, headers, body

        mends.wrap(FakeMultipart, "__init__", initialize)
        mends.wrap(S3Response, "list_multipart_uploads", listed)

    def start(self) -> None:
        """Look from now on. After the agenda in line: a schedule that was due first sees what was there then."""
        self._clock.subscribe(self.look)
        self._agenda.at(self._clock.now() + LOOK_SECONDS, self._again)

    def _again(self) -> None:
        self.look(self._clock.now())
        self._agenda.at(self._clock.now() + LOOK_SECONDS, self._again)

    def look(self, now: float) -> None:
        """Delete everything that is due at `now` (epoch seconds)."""
        since, self._looked = self._looked, max(self._looked, now)
        for service, expire in _STORES.items():
            try:
                with self._lock(service):
                    expire(since, now)
            except Exception:
                log.exception("expiry in %s failed", service)


def _moment(epoch: float) -> datetime:
    """Return a moment as moto keeps them, in naive UTC."""
    return datetime.fromtimestamp(epoch, UTC).replace(tzinfo=None)


# --- S3 ---


def due_at(created: datetime, days: int) -> datetime:
    """Return when S3 acts on an age of `days`: that many days later, rounded up to the next midnight UTC."""
    moment = created + timedelta(days=days)
    midnight = moment.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight if moment == midnight else midnight + timedelta(days=1)


def _expire_objects(since: float, now: float) -> None:
    """Act as S3 would have at each midnight that a move leaps over: what one rule does starts the next one's clock."""
    start, end = _moment(since), _moment(now)
    midnights = (start.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(d) for d in itertools.count(1))
    moments = [*itertools.takewhile(lambda midnight: midnight < end, midnights), end]
    for bucket in list(s3_backends[ACCOUNT]["aws"].buckets.values()):
        for moment in moments if bucket.rules else ():
            _expire_bucket(bucket, moment)


def _expire_bucket(bucket: FakeBucket, now: datetime) -> None:
    for rule in bucket.rules:
        if rule.status == "Enabled":
            _expire_uploads(bucket, rule, now)
            for key in [k for k in list(bucket.keys.keys()) if _prefix_matches(rule, k)]:
                _expire_key(bucket, rule, key, now)


def _expire_key(bucket: FakeBucket, rule: Any, key: str, now: datetime) -> None:
    """Carry out one rule on all versions of one key."""
    versions = list(bucket.keys.getlist(key, default=[]))
    versioned = bucket.versioning_status is not None
    keep: list[Any] = []
    noncurrent_days = _number(rule.nve_noncurrent_days)
    for position, version in enumerate(versions):
        successors = versions[position + 1 :]
        gone = (
            bool(successors)
            and noncurrent_days is not None
            and _applies(rule, version)
            and due_at(successors[0].last_modified, noncurrent_days) <= now
            and not _locked(version)
        )
        if not gone:
            keep.append(version)
    current = keep[-1] if keep else None
    if isinstance(current, FakeDeleteMarker):
        alone = len(keep) == 1
        aged = _age_due(rule, current.last_modified, now)
        if alone and (str(rule.expired_object_delete_marker).lower() == "true" or aged):
            keep = []
    elif current is not None and _applies(rule, current) and _age_due(rule, current.last_modified, now):
        if versioned:
            marker = FakeDeleteMarker(current)
            marker.last_modified = now
            keep.append(marker)
        elif not _locked(current):
            keep = keep[:-1]
    if keep == versions:
        return
    log.info("S3 lifecycle rule %s acted on a key in %s", rule.id, bucket.name)
    for version in versions:
        if version not in keep and hasattr(version, "dispose"):
            version.dispose()
    if keep:
        bucket.keys.setlist(key, keep)
    else:
        # Not the store's own pop: it fails on a delete marker.
        dict.pop(bucket.keys, key)


def _age_due(rule: Any, created: datetime, now: datetime) -> bool:
    days, date = _number(rule.expiration_days), rule.expiration_date
    if days is not None and due_at(created, days) <= now:
        return True
    return bool(date) and datetime.fromisoformat(str(date)).replace(tzinfo=None) <= now


def _expire_uploads(bucket: FakeBucket, rule: Any, now: datetime) -> None:
    days = _number(rule.aimu_days)
    if days is None:
        return
    for upload_id, upload in list(bucket.multiparts.items()):
        begun = getattr(upload, "begun_at", None)
        if begun is not None and _prefix_matches(rule, upload.key_name) and due_at(begun, days) <= now:
            bucket.multiparts.pop(upload_id).dispose()


def _prefix_matches(rule: Any, key: str) -> bool:
    return key.startswith(str(_conditions(rule).get("prefix") or ""))


def _conditions(rule: Any) -> Mapping[str, Any]:
    """Return prefix, tags and sizes of a rule's filter, `And` or not."""
    found: dict[str, Any] = {"prefix": rule.prefix, "tags": {}}
    rule_filter = rule.filter
    for part in (rule_filter, getattr(rule_filter, "and_filter", None)):
        if part is None:
            continue
        found["prefix"] = part.prefix or found["prefix"]
        if tag_key := getattr(part, "tag_key", None):
            found["tags"][tag_key] = part.tag_value
        found["tags"].update(getattr(part, "tags", None) or {})
    return found


def _applies(rule: Any, version: Any) -> bool:
    """Tell whether a version has the tags that a rule asks for."""
    wanted = _conditions(rule)["tags"]
    if not wanted:
        return True
    tags = s3_backends[ACCOUNT]["aws"].tagger.get_tag_dict_for_resource(getattr(version, "arn", ""))
    return all(tags.get(key) == value for key, value in wanted.items())


def _locked(version: Any) -> bool:
    return bool(getattr(version, "is_locked", lambda _bypass: False)(False))


def _number(value: Any) -> int | None:
    return None if value in (None, "") else int(value)


# --- the other stores ---


def _expire_items(_since: float, now: float) -> None:
    for backend in list(dynamodb_backends[ACCOUNT].values()):
        for table in list(backend.tables.values()):
            attribute = table.ttl.get("AttributeName")
            if table.ttl.get("TimeToLiveStatus") != "ENABLED" or not attribute:
                continue
            for hash_value, range_value in list(_due_items(table, attribute, now)):
                table.delete_item(hash_value, range_value)


def _due_items(table: Any, attribute: str, now: float) -> Iterator[tuple[Any, Any]]:
    for item in list(table.all_items()):
        value = item.attrs.get(attribute)
        if value is None or value.type != "N":
            continue
        if now - _TTL_OLDEST_SECONDS < float(value.value) <= now:
            yield item.hash_key, item.range_key


def _expire_logs(_since: float, now: float) -> None:
    for backend in list(logs_backends[ACCOUNT].values()):
        for group in list(backend.groups.values()):
            days = _number(getattr(group, "retention_in_days", None))
            if days is None:
                continue
            oldest = (now - days * 86400) * 1000
            for stream in list(group.streams.values()):
                stream.events = [event for event in stream.events if event.timestamp > oldest]


_STORES: dict[str, Callable[[float, float], None]] = {
    "s3": _expire_objects,
    "dynamodb": _expire_items,
    "logs": _expire_logs,
    "kms": lambda _since, now: kms_keys.delete_due_keys(now),
    "sqs": lambda _since, now: queues.delete_expired(now),
}
