"""DynamoDB streams that feed functions: batches in order, filters, partial failures, retries, and what is given up.

"Using AWS Lambda with Amazon DynamoDB", "Retain discarded records" and "Event filtering": a batch that fails comes
again, and nothing behind it meanwhile; of a batch answered with `batchItemFailures` (where the mapping asks for
ReportBatchItemFailures) all comes again from the first named record on; a batch that raised is cut in half where the
mapping says so, which counts as no retry; what was tried too often, or is too old, is told to the on-failure
destination, without the records themselves, and passed over.

How long Lambda waits between two attempts is documented nowhere; here it is a second, doubled up to a minute. moto
has one shard for each stream, so a function is never run for two batches of one table at once.
"""

from __future__ import annotations

import json
import logging
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import EventSourceMapping, LambdaFunction

from local.aws import streams
from local.lambda_ import event_patterns
from local.lambda_.event_sources import failed_items
from local.lambda_.functions import FunctionMissingError, Functions, Outcome, ThrottledError, find_function
from local.lambda_.pump import Pump, install, lacking, mappings

if TYPE_CHECKING:
    from local.aws.mends import Mends
    from local.clock import Clock
    from local.lambda_.agenda import Agenda
    from local.lambda_.invocations import Invocations

log = logging.getLogger(__name__)

_NEEDED = ("dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:DescribeStream", "dynamodb:ListStreams")
_LONGEST_WAIT_SECONDS = 60.0
_PLACE = "place_in_stream"

Record = dict[str, Any]


@dataclass
class Place:
    """Where a mapping has come to; it is kept with the mapping, so a restarted cloud goes on from there.

    `following` is the sequence number of the next record, `attempts` how often its batch was tried, `most` the size
    of what is left of that batch (None: a new one), `not_before` when it may be tried again (epoch seconds).
    """

    following: int = 0
    attempts: int = 0
    most: int | None = None
    not_before: float = 0.0

    def past(self, record: Record) -> None:
        """Move on behind a record."""
        self.following, self.attempts, self.most, self.not_before = _number(record) + 1, 0, None, 0.0


class StreamPump:
    """Feeds the mapped functions; one thread, woken by records that arrive and by the agenda."""

    def __init__(
        self,
        functions: Functions,
        invocations: Invocations,
        agenda: Agenda,
        clock: Clock,
        lock: Callable[[str], AbstractContextManager[Any]],
    ) -> None:
        self._functions = functions
        self._invocations = invocations
        self._agenda = agenda
        self._clock = clock
        self._lock = lock
        self._feeding = threading.RLock()
        self._pump = Pump("stream-pump", self._feed)

    def install(self, mends: Mends) -> None:
        """Hear of every stream record; check a new mapping as Lambda does, and feed it at once."""
        streams.install(mends, self._pump.arrived)
        install(mends, "dynamodb", _reason, self._pump)

    def settle(self, timeout: float = 30.0) -> bool:
        """Wait until what has arrived was handed out once; False if that takes longer than `timeout` seconds."""
        return self._pump.settle(timeout)

    def wake_all(self) -> None:
        """Look at every mapped stream: after a restart there may be records that nobody has heard of."""
        for mapping in mappings("dynamodb"):
            self._pump.arrived(mapping.event_source_arn)

    def close(self) -> None:
        """End the thread after the batch that it is at."""
        self._pump.close()

    def _feed(self, stream_arn: str) -> None:
        with self._feeding:
            with self._lock("dynamodb"):
                if (shard := streams.find_shard(stream_arn)) is not None:
                    streams.trim(shard, self._clock.now())
            for mapping in mappings("dynamodb"):
                if mapping.event_source_arn == stream_arn and mapping.enabled:
                    while not self._pump.closed and self._batch(mapping):
                        pass

    def _batch(self, mapping: EventSourceMapping) -> bool:
        """Hand out one batch; False when there is nothing (more) to hand out now."""
        place, function = self._place(mapping), _function(mapping)
        batch = self._read(mapping, place)
        if function is None or not batch or self._clock.now() < place.not_before:
            return False
        oldest = int(mapping.max_record_age or -1)
        if old := [one for one in batch if 0 < oldest < self._clock.now() - _created(one)]:
            self._give_up(mapping, function, old, place, None, "RecordAgeExceeded")
            place.past(old[-1])
            return True
        wanted = [one for one in batch if event_patterns.passes(mapping.filter_criteria, one)]
        if not wanted:
            place.past(batch[-1])
            return True
        try:
            outcome = self._functions.invoke(
                function, json.dumps({"Records": wanted}).encode(), arn=mapping.function_arn
            )
        except ThrottledError:
            self._again(mapping, place, 1.0)
            return False
        return self._settled(mapping, function, place, batch, wanted, outcome)

    def _settled(
        self,
        mapping: EventSourceMapping,
        function: LambdaFunction,
        place: Place,
        batch: Sequence[Record],
        wanted: Sequence[Record],
        outcome: Outcome,
    ) -> bool:
        """Move on behind what was worked off, and see to the rest; return whether to go on at once."""
        if outcome.error is not None and mapping.bisect_on_error and len(batch) > 1:
            place.most = (len(batch) + 1) // 2
            return True
        failed = wanted[0] if outcome.error is not None else _first_failed(mapping, wanted, outcome)
        if failed is None:
            place.past(batch[-1])
            return True
        rest = batch[batch.index(failed) :]
        if failed is not wanted[0]:
            place.attempts = 0
        place.following, place.most = _number(failed), len(rest)
        place.attempts += 1
        retries = -1 if mapping.max_retry_attempts is None else int(mapping.max_retry_attempts)
        if 0 <= retries < place.attempts:
            self._give_up(mapping, function, rest, place, outcome, "RetryAttemptsExhausted")
            place.past(batch[-1])
            return True
        self._again(mapping, place, min(2.0 ** (place.attempts - 1), _LONGEST_WAIT_SECONDS))
        return False

    def _again(self, mapping: EventSourceMapping, place: Place, seconds: float) -> None:
        place.not_before = self._clock.now() + seconds
        self._agenda.at(place.not_before, lambda: self._feed(mapping.event_source_arn))

    def _place(self, mapping: EventSourceMapping) -> Place:
        kept: Place | None = vars(mapping).get(_PLACE)
        if kept is None:
            shard = streams.find_shard(mapping.event_source_arn)
            latest = mapping.starting_position == "LATEST" and shard is not None
            kept = Place(shard.starting_sequence_number + len(shard.items) if shard is not None and latest else 0)
            vars(mapping)[_PLACE] = kept
        return kept

    def _read(self, mapping: EventSourceMapping, place: Place) -> list[Record]:
        # Under the lock of the API: a transaction that is rolled back takes its records with it.
        with self._lock("dynamodb"):
            shard = streams.find_shard(mapping.event_source_arn)
            if shard is None:
                return []
            found = streams.records(shard, place.following, place.most or mapping.batch_size)
        return [{**one, "eventSourceARN": mapping.event_source_arn} for one in found]

    def _give_up(
        self,
        mapping: EventSourceMapping,
        function: LambdaFunction,
        batch: Sequence[Record],
        place: Place,
        outcome: Outcome | None,
        why: str,
    ) -> None:
        """Tell the on-failure destination where in the stream the records are; they themselves are not sent."""
        log.info("%s: %d stream records are given up: %s", function.function_name, len(batch), why)
        target = ((mapping.destination_config or {}).get("OnFailure") or {}).get("Destination")
        if not target:
            return
        shard = streams.find_shard(mapping.event_source_arn)
        message: dict[str, Any] = {
            "requestContext": {
                "requestId": str(uuid.uuid4()),
                "functionArn": mapping.function_arn,
                "condition": why,
                "approximateInvokeCount": place.attempts,
            },
            "version": "1.0",
            "timestamp": _text(self._clock.now()),
            "DDBStreamBatchInfo": {
                "shardId": shard.id if shard else "",
                "startSequenceNumber": str(_number(batch[0])),
                "endSequenceNumber": str(_number(batch[-1])),
                "approximateArrivalOfFirstRecord": _text(_created(batch[0])),
                "approximateArrivalOfLastRecord": _text(_created(batch[-1])),
                "batchSize": len(batch),
                "streamArn": mapping.event_source_arn,
            },
        }
        if outcome is not None:
            message["responseContext"] = {
                "statusCode": 200,
                "executedVersion": outcome.version,
                "functionError": outcome.error,
            }
        self._invocations.send(function, target, json.dumps(message), None)


def _function(mapping: EventSourceMapping) -> LambdaFunction | None:
    """Return the function that a mapping feeds, or None if it is gone or its role may not read the stream."""
    try:
        function = find_function(mapping.function_arn)
    except FunctionMissingError:
        return None
    if refusal := lacking(function, mapping.event_source_arn, _NEEDED):
        log.error("%s cannot be fed: its role may not %s", function.function_name, refusal)
        return None
    return function


def _first_failed(mapping: EventSourceMapping, wanted: Sequence[Record], outcome: Outcome) -> Record | None:
    """Return the first record that an answer names as failed; an answer that cannot be read names the first of all."""
    if "ReportBatchItemFailures" not in (mapping.function_response_types or []):
        return None
    failed = failed_items(outcome.payload)
    numbers = {str(_number(one)) for one in wanted}
    if failed is None or not failed <= numbers:
        return wanted[0]
    return next((one for one in wanted if str(_number(one)) in failed), None)


def _reason(function: LambdaFunction, spec: Mapping[str, Any]) -> str:
    """Return why Lambda refuses a mapping, in its words, or an empty text."""
    if lacking(function, str(spec["EventSourceArn"]), _NEEDED):
        return (
            "Cannot access stream. Please ensure the role can perform the GetRecords, GetShardIterator, "
            "DescribeStream, and ListStreams Actions on your stream in IAM."
        )
    return event_patterns.fault(spec.get("FilterCriteria"))


def _number(record: Record) -> int:
    return int(record["dynamodb"]["SequenceNumber"])


def _created(record: Record) -> float:
    return float(record["dynamodb"]["ApproximateCreationDateTime"])


def _text(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
