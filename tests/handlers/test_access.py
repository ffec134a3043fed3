"""Reading what was recorded: by a named role, for a declared purpose, for five minutes, and written down."""

from __future__ import annotations

import hashlib
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from parley import runtime
from parley.adapters.downloads import Downloads
from parley.core.record_classes import RecordClass
from parley.core.records import Record, ResourceKind, Stage, object_key
from parley.ports import ContentError

from tests.handlers.archives import CONTENT, Archives
from tests.handlers.archiving import CONSENTS, PARTIES, SESSION
from tests.handlers.world import DAY, Answer, World, body, deliver, lines, load, problem_of
from tests.mocked_aws import requests_too

RE, SM, ME = "RE" + "a" * 32, "SM" + "b" * 32, "ME" + "c" * 32
READER = "arn:aws:sts::123456789012:assumed-role/analyst/ada@acme.example"
PURPOSES = {"call-recordings": ["safety", "disputes"], "messages": ["safety"], "message-media": ["disputes"]}
SOUND = b"RIFF....WAVE" + bytes(100)


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the stores of a stack whose recordings are for two purposes, of which its one reader has one."""
    return Archives(world, PARLEY_PURPOSES=json.dumps(PURPOSES))


def call(method: str, path: str, caller: str, payload: str) -> Answer:
    """Let a caller use a route."""
    event = load("consents-post")["event"]
    context = {**event["requestContext"], "http": {**event["requestContext"]["http"], "method": method}}
    context["authorizer"] = {"iam": {**context["authorizer"]["iam"], "userArn": caller}}
    parameters = {"sid": path.split("/")[3]}
    return deliver({**event, "rawPath": path, "pathParameters": parameters, "requestContext": context, "body": payload})


def read(sid: str, purpose: object = "safety", caller: str = READER, **more: Any) -> Answer:
    """Let a caller ask for an address."""
    return call("POST", f"/v1/recordings/{sid}/access", caller, json.dumps({"purpose": purpose, **more}))


def show(sid: str) -> Answer:
    """Let a reviewer ask what is known of a record."""
    return call("GET", f"/v1/recordings/{sid}", READER, "")


def keep(
    world: World,
    archives: Archives,
    kind: ResourceKind = ResourceKind.RECORDING,
    sid: str = RE,
    stage: Stage = Stage.DELETED,
) -> Record:
    """Put something archived beside the ledger, in two versions of which the first one was proven."""
    classes = {
        ResourceKind.RECORDING: (RecordClass.CALL_RECORDINGS, f"{sid}.wav", "audio/x-wav"),
        ResourceKind.MESSAGE: (RecordClass.MESSAGES, f"{sid}.json", "application/json"),
        ResourceKind.MEDIA: (RecordClass.MESSAGE_MEDIA, sid, "text/html"),
    }
    record_class, name, media_type = classes[kind]
    key = object_key(record_class, SESSION, name)
    version = archives.s3.put_object(Bucket=CONTENT, Key=key, Body=SOUND)["VersionId"]
    archives.s3.put_object(Bucket=CONTENT, Key=key, Body=b"something else")
    record = Record(
        sid=sid,
        kind=kind,
        record_class=record_class,
        session=SESSION,
        parent="SM" + "d" * 32,
        parties=PARTIES,
        consents=CONSENTS,
        made_at=runtime.clock().now(),
        stage=stage,
        key=key,
        version=version,
        sha256=hashlib.sha256(SOUND).hexdigest(),
        media_type=media_type,
    )
    world.ledger.begin_record(record)
    return record


class TestReading:
    """What a reader gets."""

    @pytest.mark.parametrize(
        ("kind", "sid"),
        [(ResourceKind.RECORDING, RE), (ResourceKind.MESSAGE, SM)],
    )
    def test_address_gives_the_proven_version(
        self, world: World, archives: Archives, kind: ResourceKind, sid: str
    ) -> None:
        """A named role gets an address of the very version that was proven, and what is fetched there is that."""
        record = keep(world, archives, kind, sid)
        answer = read(sid)
        assert answer["statusCode"] == 200
        assert answer["headers"]["cache-control"] == "no-store"
        with requests_too():
            fetched = requests.get(body(answer)["url"], timeout=10)
        assert (fetched.status_code, hashlib.sha256(fetched.content).hexdigest()) == (200, record.sha256)
        assert fetched.headers["content-type"] == record.media_type

    def test_address_is_signed_for_five_minutes(self, world: World, archives: Archives) -> None:
        """An address is signed with Signature Version 4 for 300 seconds, and names one version of one object."""
        record = keep(world, archives)
        url = urlsplit(body(read(RE))["url"])
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        assert (query["X-Amz-Algorithm"], query["X-Amz-Expires"]) == ("AWS4-HMAC-SHA256", "300")
        assert query["versionId"] == record.version
        assert url.path.endswith(record.key)

    def test_file_is_saved_and_not_shown(self, world: World, archives: Archives) -> None:
        """What somebody sent is saved as a file and never shown as a page, whatever it says that it is."""
        world.patch.setenv("PARLEY_READERS", json.dumps({"arn:aws:iam::123456789012:role/analyst": ["disputes"]}))
        runtime.reset()
        keep(world, archives, ResourceKind.MEDIA, ME)
        url = urlsplit(body(read(ME, "disputes"))["url"])
        assert parse_qs(url.query)["response-content-disposition"] == [f'attachment; filename="{ME}"']

    def test_reading_is_written_down(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A reviewer sees which role read a record, by which session, when and what for; the log names no person."""
        record = keep(world, archives)
        read(RE)
        read(RE)
        shown = body(show(RE))
        assert (shown["sid"], shown["stage"], shown["sha256"]) == (RE, "deleted", record.sha256)
        assert [(one["role"], one["session"], one["purpose"], one["version"]) for one in shown["reads"]] == [
            ("arn:aws:iam::123456789012:role/analyst", "ada@acme.example", "safety", record.version)
        ] * 2
        logged = [line for line in lines(capsys) if line["event"] == "recording-read"]
        assert [(line["record"], line["purpose"]) for line in logged] == [(RE, "safety")] * 2
        assert "ada@" not in str(logged)

    def test_reading_leaves_with_the_log(self, world: World, archives: Archives) -> None:
        """Who read a record is kept as long as the log of interactions, and not shown after that."""
        keep(world, archives)
        world.clock.advance(100 * DAY)
        read(RE)
        assert len(world.ledger.reads_of(RE)) == 1
        world.clock.advance(401 * DAY)
        assert world.ledger.reads_of(RE) == []


class TestRefusals:
    """Who gets nothing."""

    @pytest.mark.parametrize(
        ("caller", "purpose"),
        [
            ("arn:aws:sts::123456789012:assumed-role/intern/ada", "safety"),
            ("arn:aws:sts::999999999999:assumed-role/analyst/ada", "safety"),
            ("arn:aws:iam::123456789012:user/analyst", "safety"),
            ("", "safety"),
            (READER, "disputes"),
            (READER, "marketing"),
        ],
    )
    def test_nobody_else_reads(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str], caller: str, purpose: str
    ) -> None:
        """Another role, another account, a user, another purpose: refused, and the log has it."""
        keep(world, archives)
        before = world.rows()
        assert problem_of(read(RE, purpose, caller)) == (403, "reader-not-permitted")
        assert [line["record"] for line in lines(capsys) if line["event"] == "recording-read-denied"] == [RE]
        assert world.rows() == before

    def test_purpose_that_the_class_lacks(self, world: World, archives: Archives) -> None:
        """A purpose that the reader has, and the record's class is not kept for, opens nothing."""
        keep(world, archives, ResourceKind.MEDIA, ME)
        assert problem_of(read(ME, "safety")) == (403, "reader-not-permitted")

    @pytest.mark.parametrize("stage", [Stage.DROPPED, Stage.DISCARDED])
    def test_what_was_never_kept(self, world: World, archives: Archives, stage: Stage) -> None:
        """What consent did not let anybody keep is not there."""
        keep(world, archives, stage=stage)
        assert problem_of(read(RE)) == (404, "recording-unknown")
        assert problem_of(show(RE)) == (404, "recording-unknown")

    def test_what_is_on_its_way(self, world: World, archives: Archives) -> None:
        """What is not archived yet is to be asked for later."""
        keep(world, archives, stage=Stage.CAPTURED)
        assert problem_of(read(RE)) == (409, "recording-not-archived")
        assert body(show(RE))["stage"] == "captured"

    @pytest.mark.parametrize("sid", [RE, "RE" + "A" * 32, "..", "XX" + "a" * 32])
    def test_what_nobody_knows(self, world: World, archives: Archives, sid: str) -> None:
        """A SID that names nothing, and what is no SID, is not found."""
        assert problem_of(read(sid)) == (404, "recording-unknown")

    def test_bad_body(self, world: World, archives: Archives) -> None:
        """A body without a purpose, or with something else, is refused."""
        keep(world, archives)
        for answer in (read(RE, 5), read(RE, ""), read(RE, "safety", why="because")):
            assert problem_of(answer) == (400, "invalid-body")

    @pytest.mark.moto
    def test_nothing_is_given_that_is_not_written_down(self, world: World, archives: Archives) -> None:
        """A reading that the ledger does not take gives no address; nor does one that cannot be signed."""
        keep(world, archives)
        refused = world.dynamodb.meta.events
        refused.register("before-call.dynamodb.PutItem", _no_answer, unique_id="no-write")
        try:
            assert problem_of(read(RE)) == (503, "unavailable")
        finally:
            refused.unregister("before-call.dynamodb.PutItem", unique_id="no-write")

        def unsigned(*_: Any, **__: Any) -> str:
            raise ContentError("S3: NoCredentialsError")

        world.patch.setattr(Downloads, "url", unsigned)
        assert problem_of(read(RE)) == (503, "unavailable")
        assert world.ledger.reads_of(RE) == []


def _no_answer(**_: Any) -> None:
    from botocore.exceptions import EndpointConnectionError  # noqa: PLC0415

    raise EndpointConnectionError(endpoint_url="https://dynamodb")
