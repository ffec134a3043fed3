"""What a handler works with, each made once in an execution environment and only when it is first needed."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parley.clock import SystemClock

if TYPE_CHECKING:
    from parley.adapters.content import ContentStore
    from parley.adapters.copies import EvidenceCopies
    from parley.adapters.downloads import Downloads
    from parley.adapters.identity import Contacts, Identities, Sealer
    from parley.adapters.line_items import LineRead
    from parley.adapters.proofs import Proofs
    from parley.adapters.queues import Queues
    from parley.adapters.rooms import TwilioRooms
    from parley.adapters.secrets import Secrets, TwilioCredentials
    from parley.adapters.session_items import SessionRead
    from parley.adapters.twilio import TwilioCarrier
    from parley.adapters.twilio_records import TwilioRecords
    from parley.adapters.twilio_sweep import TwilioSweep
    from parley.adapters.versions import Versions
    from parley.env import Environment
    from parley.ports import Clock, Ledger
    from parley.variables import Declared


# At DEBUG the libraries quote whole requests and answers, secrets and numbers among them: whatever level the function
# is set to, they stay silent.
for _library in ("boto3", "botocore", "urllib3"):
    logging.getLogger(_library).setLevel(logging.WARNING)


@functools.cache
def environment() -> Environment:
    """Return the function's environment. Raises EnvironmentMismatchError."""
    from parley.env import from_environment  # noqa: PLC0415

    return from_environment(os.environ)


@functools.cache
def declared() -> Declared:
    """Return what notices say, without the rest of the environment. Raises EnvironmentMismatchError."""
    from parley.variables import declared as read  # noqa: PLC0415

    return read(os.environ)


def setting(name: str) -> str:
    """Return one variable of the environment, without the rest of it: for what Twilio waits for.

    Raises EnvironmentMismatchError.
    """
    if value := os.environ.get(name):
        return value
    raise _mismatch(f"{name} is not set")


def public_url() -> str:
    """Return the address of the gate, without a slash at its end. Raises EnvironmentMismatchError."""
    return setting("PARLEY_PUBLIC_URL").rstrip("/")


def _mismatch(problem: str) -> Exception:
    from parley.variables import EnvironmentMismatchError  # noqa: PLC0415

    return EnvironmentMismatchError([problem])


@functools.cache
def clock() -> Clock:
    """Return the clock."""
    return SystemClock()


@functools.cache
def ledger() -> Ledger:
    """Return the ledger."""
    from parley.adapters.dynamodb import DynamoLedger  # noqa: PLC0415

    env = environment()
    return DynamoLedger(_client("dynamodb"), env.ledger_table, env.keep_days, clock(), region=env.region)


@functools.cache
def session_read() -> SessionRead:
    """Return what reads one session, for the intercept."""
    from parley.adapters.session_items import SessionRead  # noqa: PLC0415

    return SessionRead(_awaited_client("dynamodb"), setting("PARLEY_LEDGER_TABLE"), clock())


@functools.cache
def line_read() -> LineRead:
    """Return what reads one line, for the webhooks that somebody waits for on the phone (`direct`)."""
    from parley.adapters.line_items import LineRead  # noqa: PLC0415

    return LineRead(_awaited_client("dynamodb"), setting("PARLEY_LEDGER_TABLE"), clock())


@functools.cache
def copies() -> EvidenceCopies:
    """Return the copies of consent records. Raises EnvironmentMismatchError if the deployment names no place."""
    from parley.adapters.copies import EvidenceCopies  # noqa: PLC0415

    env = environment()
    if env.evidence_bucket is None or env.evidence_key is None:
        raise _mismatch("PARLEY_EVIDENCE_BUCKET or PARLEY_EVIDENCE_KEY is not set")
    return EvidenceCopies(_client("s3"), env.evidence_bucket, env.evidence_key)


@functools.cache
def identities() -> Identities:
    """Return the maker of party keys."""
    from parley.adapters.identity import Identities  # noqa: PLC0415

    return Identities(_awaited_client("kms"), setting("PARLEY_IDENTITY_KEY"))


@functools.cache
def contacts() -> Contacts | None:
    """Return the sealer of plain identifiers, None where the stack keeps none."""
    from parley.adapters.identity import Contacts  # noqa: PLC0415

    key = environment().evidence_key
    return None if key is None else Contacts(_client("kms"), key)


@functools.cache
def secrets() -> Secrets:
    """Return the keeper of the Twilio credentials."""
    from parley.adapters.secrets import Secrets  # noqa: PLC0415

    return Secrets(_awaited_client("secretsmanager"), setting("PARLEY_TWILIO_SECRET"), clock())


@functools.cache
def carrier() -> TwilioCarrier:
    """Return Twilio."""
    from parley.adapters.twilio import TwilioCarrier  # noqa: PLC0415

    env = environment()
    place = (_credentials, env.twilio_account_sid, env.twilio_endpoint)
    if not env.is_direct:
        return TwilioCarrier(*place, **_services())
    from parley.adapters.direct import DirectCarrier  # noqa: PLC0415

    return DirectCarrier(
        *place,
        ledger=ledger(),
        identities=identities(),
        sealer=sealer(),
        gate=env.public_url,
        now=clock().now,
        choice=env.number_choice,
    )


@functools.cache
def sealer() -> Sealer:
    """Return the sealer of the numbers that are to be reached. Raises EnvironmentMismatchError on `proxy`."""
    from parley.adapters.identity import Sealer  # noqa: PLC0415

    return Sealer(_awaited_client("kms"), setting("PARLEY_LINE_KEY"))


@functools.cache
def twilio_records(connections: int = 8) -> TwilioRecords:
    """Return what Twilio holds of conversations, over so many connections."""
    from parley.adapters.twilio_records import TwilioRecords  # noqa: PLC0415

    env = environment()
    return TwilioRecords(
        _credentials,
        env.twilio_account_sid,
        env.twilio_endpoint,
        connections=connections,
        **_services(),
    )


def _services() -> dict[str, Any]:
    """Return the Proxy services of the stack, and who tells which of them a session is in."""

    def recorded(sid: str) -> str:
        session = ledger().session(sid)
        return session.service_sid if session else ""

    return {"services": environment().proxy_service_sids, "recorded": recorded}


@functools.cache
def twilio_rooms() -> TwilioRooms:
    """Return Twilio's video rooms and conversations."""
    from parley.adapters.rooms import TwilioRooms  # noqa: PLC0415

    env = environment()
    return TwilioRooms(_credentials, env.twilio_account_sid, env.twilio_endpoint)


@functools.cache
def twilio_sweep() -> TwilioSweep:
    """Return what Twilio holds of conversations, for as many requests at once as a sweeper may have in flight."""
    from parley.adapters.twilio_sweep import Places, TwilioSweep  # noqa: PLC0415

    env = environment()
    return TwilioSweep(
        _credentials,
        env.twilio_account_sid,
        env.twilio_endpoint,
        **_services(),
        places=Places(ledger(), clock(), "api"),
        proxy_places=Places(ledger(), clock(), "proxy"),
    )


@functools.cache
def versions() -> Versions:
    """Return the versions of the buckets' objects."""
    from parley.adapters.versions import Versions  # noqa: PLC0415

    return Versions(_patient_s3())


@functools.cache
def proofs() -> Proofs | None:
    """Return the proofs of erasure, None where the stack names no key or no place for them."""
    from parley.adapters.proofs import Proofs  # noqa: PLC0415

    env = environment()
    if env.proof_key is None or env.evidence_bucket is None or env.evidence_key is None:
        return None
    return Proofs(
        _client("kms"),
        _client("s3"),
        proof_key=env.proof_key,
        bucket=env.evidence_bucket,
        evidence_key=env.evidence_key,
    )


@functools.cache
def queues() -> Queues:
    """Return the queues that feed functions."""
    from parley.adapters.queues import Queues  # noqa: PLC0415

    return Queues(_client("sqs"), environment().queues)


@functools.cache
def content() -> ContentStore:
    """Return the content bucket. Raises EnvironmentMismatchError if the deployment names no place."""
    from parley.adapters.content import ContentStore  # noqa: PLC0415

    env = environment()
    if env.content_bucket is None or env.content_key is None:
        raise _mismatch("PARLEY_CONTENT_BUCKET or PARLEY_CONTENT_KEY is not set")
    return ContentStore(_patient_s3(), env.content_bucket, env.content_key)


@functools.cache
def downloads() -> Downloads:
    """Return what signs addresses of content. Raises EnvironmentMismatchError if the deployment names no place."""
    import boto3  # noqa: PLC0415

    from parley.adapters.downloads import SIGNED, Downloads  # noqa: PLC0415

    env = environment()
    if env.content_bucket is None:
        raise _mismatch("PARLEY_CONTENT_BUCKET is not set")
    return Downloads(boto3.client("s3", region_name=env.region, config=SIGNED), env.content_bucket)


@functools.cache
def inspection_clients() -> Mapping[str, Any]:
    """Return a client for each service that the daily check asks: nobody waits for it, so they are patient."""
    import boto3  # noqa: PLC0415

    from parley.adapters.live_aws import PATIENT, SERVICES  # noqa: PLC0415

    client: Any = boto3.client  # the stubs know no service by a computed name
    return {service: client(service, config=PATIENT) for service in SERVICES}


def _credentials(renewed: bool) -> TwilioCredentials:
    return secrets().refresh() if renewed else secrets().get()


def _patient_s3() -> Any:
    """Return an S3 client for large objects, which nobody waits for."""
    from parley.adapters.content import PATIENT  # noqa: PLC0415
    from parley.adapters.versions import s3_client  # noqa: PLC0415

    return s3_client(PATIENT)


def prepare(*services: str, also: Sequence[Callable[[], object]] = ()) -> None:
    """Open and fetch what the first webhook will need, while Lambda makes the execution environment.

    `services` are asked besides DynamoDB and Secrets Manager; `also` makes what goes by boto3 all the same. Where the
    environment is kept as a snapshot (SnapStart) it holds neither a secret nor a connection, which would be a closed
    one: only boto3's clients, by which reads go there. What fails now is tried again by the webhook itself.
    https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
    """
    made = os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE")
    if made == "snap-start":
        for service in ("dynamodb", "secretsmanager", *services):
            with contextlib.suppress(Exception):
                _awaited_client(service).load()
    elif made in {"on-demand", "provisioned-concurrency"}:
        with contextlib.suppress(Exception):
            for service in ("dynamodb", *services):
                _awaited_client(service).connect()
            secrets().get()
    for make in also if made else ():
        with contextlib.suppress(Exception):
            make()


@functools.cache
def _awaited_client(service: str) -> Any:
    """Return a client whose reads go without boto3 where they can: Twilio waits for them."""
    from parley.adapters.awaited import Client  # noqa: PLC0415
    from parley.adapters.signed import signed  # noqa: PLC0415

    return Client(service, signed(service, os.environ), lambda: _client(service))


def _client(service: str) -> Any:
    """Return a boto3 client that gives up well before a webhook's sender does."""
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=1,
        read_timeout=2,
        # Opened as they are needed: the sweeper asks the ledger from many threads.
        max_pool_connections=150,
        retries={"total_max_attempts": 2, "mode": "standard"},
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload]


MADE = (
    *(environment, declared, clock, ledger, session_read, line_read, copies, identities, contacts, secrets, carrier),
    *(sealer, inspection_clients, _awaited_client),
    *(twilio_records, twilio_rooms, twilio_sweep, queues, content, downloads, versions, proofs),
)
"""Whatever is made once; who adds something to make adds it here."""


def reset() -> None:
    """Forget everything that was made, so that the next use starts as a new execution environment does."""
    for made in MADE:
        made.cache_clear()
