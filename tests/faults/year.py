"""A stack over a year: everything that runs by itself, on one movable clock, with people in no hurry.

The functions run as they are deployed, over the adapters that they are deployed with. Queues, the schedule, the
ledger's stream, S3's lifecycle and DynamoDB's time to live act in the order of time, so that a year passes in minutes.
S3 is moto's; the table, the queues and the connections to Twilio's emulator are in memory, since a year makes a hundred
thousand calls. Functions die between any two calls, Twilio refuses, callbacks are lost, doubled and late.

`tests/faults/life.py` plays the people, `tests/faults/oracle.py` knows what may be left of them.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import json
import logging
import random
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from urllib.parse import unquote, urlsplit

import pytest
from moto.moto_api._internal import mock_random
from parley import runtime
from parley import sweeping as sweeping_module
from parley.adapters import twilio_sweep
from parley.adapters.table import Table
from parley.core import retention
from parley.core.record_classes import RecordClass
from parley.core.retention import BUCKETS, CHANNELS, HOLDABLE, Lock, Schedule, Store, parse_schedule
from parley.handlers import archive, erasures, evidence, holds, reconcile, recorder, sweep
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.util import Retry

from local.aws import listings, moto_time, object_lock
from local.aws.expiry import Expiry
from local.aws.kms_keys import sign_digests
from local.aws.mends import Mends
from local.twilio import Emulator
from tests.faults.memory import Item, MemoryKms, MemorySecrets, MemoryTable
from tests.faults.stage import KILLED, StillClock
from tests.handlers import archives as archives_module
from tests.handlers import world as handlers_world
from tests.handlers.archives import CONTENT, EVIDENCE, Archives, sqs_event
from tests.handlers.boundaries import KilledError
from tests.handlers.evidence import change
from tests.handlers.world import (
    ACCOUNT,
    DAY,
    KEY,
    ROUTES,
    SECRET,
    TOKEN,
    Answer,
    World,
    form_event,
    load,
    one_world,
)

ENDPOINT = "http://twilio.test"
HOUR, MINUTE = 3600, 60
RECEIVES = 5
"""How often a message is handed over before it is set aside."""

INVISIBLE = 60
"""Seconds after which a message that failed is handed over again."""

BUCKET_STORES = {CONTENT: Store.CONTENT, EVIDENCE: Store.EVIDENCE}
QUEUES: Mapping[str, Callable[[Mapping[str, Any], Any], Any]] = {
    "recorder": recorder.handle,
    "archive": archive.handle,
    "sweep": sweep.handle,
    "holds": holds.handle,
    "erasures": erasures.handle,
}
BATCHES = {"sweep": 10}
"""How many messages a queue hands over at once; one, where nothing else is said."""

KEEP = {
    "call-recordings": 12,
    "video-recordings": 12,
    "messages": 6,
    "message-media": 8,
    "transcripts": 11,
    "interaction-log": 20,
    "session-map": 7,
    "consent-evidence": 38,
    "erasure-proofs": 55,
    "access-logs": 14,
    "operational-logs": 14,
    "dead-letters": 14,
}
"""Short periods, so that everything runs out many times in a year."""

COPIES = (
    {"call-recordings": 0, "messages": 0, "message-media": 0, "interaction-log": 1, "session-map": 1, "transcripts": 0},
    {"call-recordings": 3, "messages": 2, "message-media": 1, "interaction-log": 5, "session-map": 4, "transcripts": 2},
)
"""How long Twilio's copies may stay: not at all, or some days."""


def schedule_of(seed: int) -> Schedule:
    """Return what the stack of a seed declares: with and without copies at Twilio, locks, and holds on the logs."""
    copies, lock, logs_held = COPIES[seed % 2], ("none", "governance")[seed // 2 % 2], seed % 3 != 2
    unheld = set() if logs_held else {RecordClass.INTERACTION_LOG, RecordClass.SESSION_MAP}
    raw: dict[str, dict[str, Any]] = {
        str(each): {
            "keepDays": KEEP[each],
            "purposes": ["safety"],
            "basis": "consent",
            "why": "a rule",
            "hold": each not in unheld and not HOLDABLE.isdisjoint(retention.STORES[each]),
            **({"twilioCopyDays": copies[each]} if each in copies else {}),
        }
        for each in RecordClass
    }
    raw["erasure-proofs"]["hold"] = False
    raw["consent-evidence"]["lock"] = lock
    return parse_schedule(raw, channels=tuple(CHANNELS), environment="local")


# What is in memory ------------------------------------------------------------------------------------------------


class Fuse:
    """Ends a function before or after one of its calls to the outside; what it asks for after that is not done."""

    def __init__(self) -> None:
        self._left: int | None = None
        self._after = self._dead = False

    def light(self, calls: int, *, after: bool) -> None:
        """Let the function make so many calls, and die before or after the next one."""
        self._left, self._after = calls, after

    def put_out(self) -> None:
        """Let the next function live."""
        self._left, self._dead = None, False

    def around(self, call: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        """Carry out a call of the function's, unless it is dead or dies here."""
        if self._dead:
            raise KilledError
        if self._left is None:
            return call(*arguments, **named)
        if self._left > 0:
            self._left -= 1
            return call(*arguments, **named)
        self._dead = True
        if self._after:
            call(*arguments, **named)
        raise KilledError


class Fused:
    """A client of AWS behind a fuse."""

    def __init__(self, client: Any, fuse: Fuse) -> None:
        self._client, self._fuse = client, fuse

    def __getattr__(self, operation: str) -> Any:
        """Return the client's own operation, behind the fuse."""
        return functools.partial(self._fuse.around, getattr(self._client, operation))


class AgingTable(MemoryTable):
    """The table, which knows when each row was written, what the stream has to tell, and what is over its time."""

    def __init__(self, clock: StillClock) -> None:
        super().__init__()
        self._clock = clock
        self.first: dict[tuple[str, str], float] = {}
        self.last: dict[tuple[str, str], float] = {}
        self.stream: list[Item] = []

    def _carry_out(self, write: Item) -> None:
        super()._carry_out(write)
        ((kind, asked),) = write.items()
        key = asked["Item"] if "Item" in asked else asked["Key"]
        name = (key["pk"]["S"], key["sk"]["S"])
        if kind == "Delete":
            self.first.pop(name, None)
        elif kind != "ConditionCheck" and "held_expires_at" not in asked.get("UpdateExpression", ""):
            if name not in self.first and name[1].startswith("EVENT#"):
                self.stream.append(asked["Item"])
            self.first.setdefault(name, self._clock.now())
            self.last[name] = self._clock.now()

    def there(self) -> set[tuple[str, str]]:
        """Return the keys of all rows."""
        return {(item["pk"]["S"], item["sk"]["S"]) for item in self._all()}

    def expire(self) -> None:
        """Remove what is over its time, as DynamoDB does some time after it."""
        now = self._clock.now()
        for item in self.scan()["Items"]:
            if "expires_at" in item and float(item["expires_at"]["N"]) <= now:
                self.delete_item(Key={"pk": item["pk"], "sk": item["sk"]})


@dataclass
class Letter:
    """A message of a queue: when it may be handed over, since when it is there, and how often it was handed over."""

    id: str
    queue: str
    text: str
    ready_at: float
    sent_at: float
    receives: int = 0


class MemoryQueues:
    """A client of SQS. What was handed over too often is `dead`."""

    def __init__(self, clock: StillClock) -> None:
        self._clock = clock
        self._ids = itertools.count(1)
        self.letters: list[Letter] = []
        self.dead: list[Letter] = []

    def create_queue(self, **arguments: Any) -> Item:
        """Name a queue."""
        return {"QueueUrl": f"https://sqs.us-east-1.amazonaws.com/123456789012/{arguments['QueueName']}"}

    def send_message_batch(self, **arguments: Any) -> Item:
        """Take messages."""
        queue, now = arguments["QueueUrl"].rpartition("/parley-")[2], self._clock.now()
        for entry in arguments["Entries"]:
            ready = now + entry.get("DelaySeconds", 0)
            self.letters.append(Letter(f"m{next(self._ids)}", queue, entry["MessageBody"], ready, now))
        return {"Successful": []}

    def due(self) -> list[Letter]:
        """Return what is to be handed over next: messages of one queue, none if nothing is due."""
        ready = sorted((each for each in self.letters if each.ready_at <= self._clock.now()), key=_due)
        if not ready:
            return []
        queue = ready[0].queue
        return [each for each in ready if each.queue == queue][: BATCHES.get(queue, 1)]


def _due(letter: Letter) -> tuple[float, int]:
    return letter.ready_at, int(letter.id[1:])


class YearKms(MemoryKms):
    """A client of KMS: MACs and seals in memory, signatures by moto."""

    def __init__(self, moto: Any) -> None:
        super().__init__()
        self._moto = moto

    def create_key(self, **arguments: Any) -> Item:
        """Name a key, or make one that signs."""
        made: Item = self._moto.create_key(**arguments) if "SIGN" in str(arguments) else super().create_key()
        return made

    def __getattr__(self, operation: str) -> Any:
        """Return moto's own operation."""
        return getattr(self._moto, operation)


class Wire:
    """Connections that end at the emulator in this process, under urllib3 with all its retries.

    `refused` are the SIDs of what Twilio would not delete yet (20009).
    """

    def __init__(self, emulator: Emulator, fuse: Fuse) -> None:
        self._app, self._fuse = emulator.wsgi_app, fuse
        self.refused: set[str] = set()
        self.requests = 0

    def carry(self, _pool: HTTPConnectionPool, _connection: Any, method: str, url: str, **named: Any) -> HTTPResponse:
        """Carry one request, as `HTTPConnectionPool._make_request` does."""
        response: HTTPResponse = self._fuse.around(self._answer, method, url, **named)
        return response

    def _answer(self, method: str, url: str, **named: Any) -> HTTPResponse:
        self.requests += 1
        parts, body = urlsplit(url), named.get("body") or b""
        payload = body.encode() if isinstance(body, str) else body
        headers = {str(name): str(value) for name, value in (named.get("headers") or {}).items()}
        environ: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "PATH_INFO": unquote(parts.path),
            "QUERY_STRING": parts.query,
            "SERVER_NAME": "twilio.test",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_LENGTH": str(len(payload)),
            "CONTENT_TYPE": headers.get("Content-Type", ""),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(payload),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in headers.items()},
        }
        told: list[tuple[str, list[tuple[str, str]]]] = []

        def begin(status: str, given: list[tuple[str, str]], _info: object = None) -> Callable[..., None]:
            told.append((status, given))
            return print

        content = b"".join(self._app(environ, begin))
        ((status, given),) = told
        if method == "DELETE" and b"20009" in content:
            self.refused.add(parts.path.rpartition("/")[2].removesuffix(".json"))
        return HTTPResponse(
            io.BytesIO(content),
            headers=dict(given),
            status=int(status.split()[0]),
            preload_content=named.get("preload_content", True),
            decode_content=named.get("decode_content", True),
            enforce_content_length=named.get("enforce_content_length", True),
            request_method=method,
            retries=named.get("retries") if isinstance(named.get("retries"), Retry) else None,
        )


class Inline:
    """A thread that does its work where it is started, so that a worker that dies dies as a whole."""

    def __init__(self, target: Callable[[], object], daemon: bool) -> None:
        assert daemon
        self._target = target

    def start(self) -> None:
        """Do the work."""
        self._target()

    def join(self) -> None:
        """Return at once: it is done."""


# The stack --------------------------------------------------------------------------------------------------------


class Year:
    """One stack and its time. `random` decides what happens, `lethal` is how likely a function dies in its work."""

    def __init__(
        self, seed: int, world: World, archives: Archives, clock: StillClock, clients: Mapping[str, Any]
    ) -> None:
        self.seed, self.world, self.archives, self.clock = seed, world, archives, clock
        self.random = random.Random(seed)
        self.schedule = schedule_of(seed)
        self.table: AgingTable = clients["dynamodb"]
        self.queues: MemoryQueues = clients["sqs"]
        self.s3: Any = clients["s3"]
        self.fuse: Fuse = clients["fuse"]
        self.wire: Wire = clients["wire"]
        self.expiry: Expiry = clients["expiry"]
        self.output = io.StringIO()
        self.lethal = 0.0
        self.killed = 0
        self.swept_at = 5 * HOUR + self.random.randrange(12 * HOUR)
        """Seconds after midnight at which the sweeper runs each day."""
        self.switched_off: set[str] = set()
        """Mechanisms that do not work: for the tests of the oracle itself."""
        self._jobs: list[Callable[[], None]] = []
        self._streamed = 0
        self._stream_from = clock.now()

    @property
    def state(self) -> Any:
        """What Twilio has."""
        return self.world.emulator.carrier.state

    def now(self) -> float:
        """Return the time in epoch seconds."""
        return self.clock.now()

    # Functions ------------------------------------------------------------------------------------------------

    def invoke(self, handle: Callable[[Any, Any], Any], event: Any) -> Any:
        """Invoke a function, which may die at any of its calls; one that dies leaves its environment."""
        if self.random.random() < self.lethal:
            self.fuse.light(self.random.randrange(30), after=self.random.random() < 0.5)
        try:
            return handle(event, None)
        except KilledError:
            self.killed += 1
            runtime.reset()
            return KILLED
        finally:
            self.fuse.put_out()

    def deliver(self, event: Mapping[str, Any]) -> Answer:
        """Carry a request of the application's, which does not die: `tests/handlers/test_order.py` has that."""
        path = event["rawPath"]
        answer: Answer = next(handle for prefix, handle in ROUTES.items() if path.startswith(prefix))(event, None)
        return answer

    def hear(self, url: str, headers: Mapping[str, str], payload: bytes, _timeout: float) -> tuple[int, Any, bytes]:
        """Carry a webhook."""
        parts = urlsplit(url)
        base = {**load("intercept-message")["event"], "rawPath": parts.path, "rawQueryString": parts.query}
        handle = next(handle for prefix, handle in ROUTES.items() if parts.path.startswith(prefix))
        event = form_event(base, payload, headers)
        # The intercept lets people through when it dies, which `tests/faults/test_machine.py` holds against its bound.
        mortal = parts.path in {"/twilio/interaction", "/twilio/recording"}
        answer: Answer = self.invoke(handle, event) if mortal else handle(event, None)
        return answer["statusCode"], answer["headers"], answer.get("body", "").encode()

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, **parameters: str) -> Answer:
        """Let the operator call a route of their own."""
        event = load("consents-post")["event"]
        context = {**event["requestContext"], "http": {**event["requestContext"]["http"], "method": method}}
        asked = {
            "rawPath": path,
            "pathParameters": parameters,
            "requestContext": context,
            "body": json.dumps(body or {}),
        }
        return self.deliver({**event, **asked})

    # Time -----------------------------------------------------------------------------------------------------

    def later(self, job: Callable[[], None]) -> None:
        """Take a webhook that the emulator sends in the background."""
        self._jobs.append(job)

    def drain(self, timeout: float = 0.0) -> bool:
        """Send the webhooks that wait."""
        del timeout
        while self._jobs:
            self._jobs.pop(0)()
        return True

    def wait(self, seconds: float) -> None:
        """Let time pass, and whatever is due in it happen in its order."""
        self.reach(self.now() + seconds)

    def reach(self, moment: float) -> None:
        """Let time pass until a moment."""
        while True:
            self.drain()
            if self._work():
                continue
            waiting = [self._stream_from, *(each.ready_at for each in self.queues.letters)]
            following = min([moment, self.midnight(), *(at for at in waiting if at > self.now())])
            if following > self.now():
                self._move(following)
            elif following >= moment:
                return

    def midnight(self) -> float:
        """Return the next midnight, at which everything leaves that is over its time."""
        return (self.now() // DAY + 1) * DAY

    def _move(self, moment: float) -> None:
        midnight = moment % DAY == 0
        self.clock.advance(moment - self.now())
        if midnight:
            if "lifecycle" not in self.switched_off:
                self.expiry.look(self.now())
            if "time to live" not in self.switched_off:
                self.table.expire()
            kept = self.now() - KEEP["dead-letters"] * DAY
            self.queues.dead = [each for each in self.queues.dead if each.sent_at > kept]

    def _work(self) -> bool:
        """Hand over what is due; return False if nothing is."""
        return self._stream() or self._queue()

    def _stream(self) -> bool:
        """Bring new consent records to the function `evidence`, now and then doubled, or late."""
        if self.now() < self._stream_from or self._streamed == len(self.table.stream):
            return False
        if self.random.random() < 0.1:
            self._stream_from = self.now() + self.random.randrange(1, 45 * MINUTE)
            return False
        rows = self.table.stream[self._streamed :]
        records = [change(row, number) for number, row in enumerate(rows, self._streamed)]
        twice = self.random.random() < 0.1
        for _ in range(1 + twice):
            answer = self.invoke(evidence.handle, {"Records": records})
        failed = answer is KILLED or answer["batchItemFailures"]
        if not failed:
            self._streamed = len(self.table.stream)
        return True

    def _queue(self) -> bool:
        letters = self.queues.due()
        if not letters:
            return False
        queue = letters[0].queue
        for each in letters:
            each.receives += 1
        event = sqs_event(queue, *((each.id, json.loads(each.text)) for each in letters))
        answer = self.invoke(QUEUES[queue], event)
        failures = [] if answer is KILLED else answer["batchItemFailures"]
        failed = (
            {each["itemIdentifier"] for each in failures} if answer is not KILLED else {each.id for each in letters}
        )
        twice = not failed and self.random.random() < 0.03
        for each in letters:
            if each.id in failed or twice:
                each.ready_at = self.now() + INVISIBLE
                if each.receives >= RECEIVES:
                    self.queues.dead.append(each)
            if (each.id not in failed and not twice) or each.receives >= RECEIVES:
                self.queues.letters.remove(each)
        return True

    # The schedule ---------------------------------------------------------------------------------------------

    def run_minutely(self) -> None:
        """Let the schedules of every minute fire once: the reconciler's, and the one that looks after recordings."""
        self.invoke(recorder.handle, {})
        with contextlib.suppress(reconcile.ReconcileIncompleteError):
            self.invoke(reconcile.handle, {})

    def refresh_holds(self) -> None:
        """Have each hold applied again, as the sweeper does every hour."""
        runtime.queues().send("holds", *({"hold": hold.id} for hold in runtime.ledger().active_holds()))

    def run_sweeper(self) -> None:
        """Let the sweeper's schedule fire once."""
        if "sweeper" in self.switched_off:
            return
        with contextlib.suppress(sweep.SweepIncompleteError):
            self.invoke(sweep.handle, {})


# How one is set up ------------------------------------------------------------------------------------------------


@contextmanager
def one_year(seed: int, start: float = 0.0) -> Iterator[Year]:
    """Give a stack as it is just after its first deployment; `start` moves its beginning, in seconds."""
    clock, mends = StillClock(start), Mends()
    fuse = Fuse()
    heard: list[Year] = []
    emulator = Emulator(
        account_sid=ACCOUNT,
        auth_token=TOKEN,
        api_key=KEY,
        api_secret=SECRET,
        clock=clock,
        post=lambda *given: heard[0].hear(*given),  # noqa: PLW0108 - it is there later
        requests_per_second=None,
    )
    wire = Wire(emulator, fuse)
    real = handlers_world.aws
    clients: dict[str, Any] = {
        "dynamodb": AgingTable(clock),
        "sqs": MemoryQueues(clock),
        "secretsmanager": MemorySecrets(),
        "fuse": fuse,
        "wire": wire,
        "expiry": Expiry(clock, cast("Any", None), lambda _: contextlib.nullcontext()),
    }
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        # A bound method of another class would not be given the pool.
        patch.setattr(
            HTTPConnectionPool,
            "_make_request",
            lambda pool, *given, **named: wire.carry(pool, *given, **named),  # noqa: PLW0108
        )
        stack.callback(mends.undo)
        for client in ("s3", "kms"):
            clients[client] = real(client)
        clients["kms"] = YearKms(clients["kms"])
        names = random.Random(seed)
        patch.setattr(secrets, "token_hex", lambda size: names.randbytes(size).hex())
        mock_random.seed(seed)
        patch.setattr(handlers_world, "aws", clients.__getitem__)
        patch.setattr(archives_module, "aws", clients.__getitem__)
        world = stack.enter_context(one_world(clock, emulator, ENDPOINT))
        patch = world.patch  # undone with the world's own, the last one first
        moto_time.install(mends, clock)
        object_lock.install(mends)
        listings.install(mends)
        sign_digests(mends)
        clients["expiry"].install(mends)
        year = _deployed(seed, world, clock, clients, patch)
        heard.append(year)
        with contextlib.redirect_stdout(year.output):
            yield year


def _deployed(
    seed: int, world: World, clock: StillClock, clients: Mapping[str, Any], patch: pytest.MonkeyPatch
) -> Year:
    schedule = schedule_of(seed)
    copies = {str(each): schedule[each].twilio_copy_days for each in COPIES[0]}
    held = [str(each.record_class) for each in schedule.retentions.values() if each.hold]
    archives = Archives(
        world,
        PARLEY_KEEP_DAYS=json.dumps(schedule.keep_days()),
        PARLEY_TWILIO_COPY_DAYS=json.dumps(copies),
        PARLEY_HOLDABLE=json.dumps(held),
    )
    s3 = clients["s3"]
    for bucket, store in BUCKET_STORES.items():
        assert store in BUCKETS
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={"Rules": [_rule(one) for one in retention.lifecycle_rules(schedule, store)]},
        )
    mode, days = schedule.lock()
    if mode is not Lock.NONE:
        default = {"DefaultRetention": {"Mode": str(mode).upper(), "Days": days}}
        s3.put_object_lock_configuration(
            Bucket=EVIDENCE, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": default}
        )
    year = Year(seed, world, archives, clock, clients)
    fused = {name: Fused(clients[name], clients["fuse"]) for name in ("dynamodb", "sqs", "secretsmanager", "s3", "kms")}
    patch.setattr(runtime, "_client", fused.__getitem__)
    patch.setattr(runtime, "_awaited_client", fused.__getitem__)
    world.patch.setattr(runtime, "_patient_s3", lambda: fused["s3"])
    patch.setattr(handlers_world, "deliver", year.deliver)
    patch.setattr(world.emulator.webhooks, "later", year.later)
    patch.setattr(world.emulator.webhooks, "drain", year.drain)
    patch.setattr(Table, "wait", lambda *_: None)
    # One thing after the other: a year that is played again has to be the same one.
    patch.setattr("parley.erasing.CONNECTIONS", 1)
    patch.setattr("parley.holding.CONNECTIONS", 1)
    patch.setattr(sweeping_module, "LANES", 1)
    patch.setattr(sweeping_module, "Thread", Inline)
    patch.setattr(twilio_sweep, "PAUSE_SECONDS", 0.0)
    # A run a day instead of twenty-four, which cuts its day whole; nothing is older than what is held.
    patch.setattr("parley.core.sweeping.LONG_GAP", timedelta(hours=8))
    patch.setattr("parley.core.sweeping.LOOK_BACK", timedelta(days=8))
    logging.getLogger("local.aws.expiry").setLevel(logging.WARNING)
    runtime.reset()
    return year


def _rule(rule: retention.LifecycleRule) -> dict[str, Any]:
    """Return a rule as S3's API takes it."""
    told: dict[str, Any] = {"ID": rule.id, "Status": "Enabled", "Filter": {"Prefix": rule.prefix}}
    if rule.expiration_days is not None:
        told["Expiration"] = {"Days": rule.expiration_days}
    if rule.expired_object_delete_marker:
        told["Expiration"] = {"ExpiredObjectDeleteMarker": True}
    if rule.noncurrent_days is not None:
        told["NoncurrentVersionExpiration"] = {"NoncurrentDays": rule.noncurrent_days}
    if rule.abort_incomplete_days is not None:
        told["AbortIncompleteMultipartUpload"] = {"DaysAfterInitiation": rule.abort_incomplete_days}
    return told


def moment(epoch: float) -> datetime:
    """Return a moment of the year."""
    return datetime.fromtimestamp(epoch, UTC)
