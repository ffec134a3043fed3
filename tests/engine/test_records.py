"""Recordings and messages on the deployed stack, under its roles and policies: kept, read, held and erased."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from parley.core.erasure import read_proof
from parley.core.verification import Verdict
from twilio.base.exceptions import TwilioRestException  # type: ignore[import-untyped]

from cli import main as command
from cli import verify
from cli.errors import DRIFT, OK
from cli.phones import GateApi, Phones
from cli.stack import LocalStack
from local.twilio.client import connect

DANA, ELI = "+12125550171", "+12125550172"
POOL = "+12125550142"
PURPOSE = "dispute-resolution"
EVERYTHING_OF_S3 = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
CALLS_THE_API = {"Effect": "Allow", "Action": "execute-api:Invoke", "Resource": "*"}
ERASURE = Path(__file__).parents[2] / "docs" / "erasure.md"


FUNCTIONS = ("recorder", "recording", "archive", "sweep", "access", "holds", "erasures", "interaction")
"""Those whose work must not fail."""


class Kept:
    """A deployed stack, two people who let everything be kept, and what was kept of them so far.

    `held` and `erasure` are the ids of a legal hold and of an erasure, once there are any.
    """

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.cloud = stack.start_cloud()
        self.outputs: dict[str, Any] = stack.workspace().outputs()
        self.bucket: str = self.outputs["contentBucket"]
        self.phones = Phones(self.cloud)
        self.api = GateApi(self.cloud, self.outputs["gateUrl"])
        self.clients = verify.clients(self.cloud.aws_environment())
        self.twilio = connect(
            self.cloud.twilio_endpoint,
            self.cloud.twilio_api_key,
            self.cloud.twilio_api_secret,
            self.cloud.twilio_account_sid,
        )
        self.session, self.masked, self.call, self.recording = "", "", "", ""
        self.text: dict[str, Any] = {}
        self.parties: dict[str, str] = {}
        self.erasure = ""
        self.finish_others_work()
        self.began = datetime.now(UTC)

    def finish_others_work(self) -> None:
        """Let the work be done that earlier tests left: Twilio's limit has it take its time."""
        for _ in range(10):
            if not any(map(self.letters, FUNCTIONS)):
                return
            self.wait(600)  # what Twilio's limit stopped comes again after ten minutes at most

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """Return a client of AWS, by default with the deployer's credentials."""
        own = Credentials(self.cloud.aws_access_key_id, self.cloud.aws_secret_access_key)
        who = credentials or own
        made: Any = boto3.Session(who.access_key, who.secret_key, who.token, self.cloud.aws_region)
        config = Config(read_timeout=120, retries={"total_max_attempts": 1})
        return made.client(service, endpoint_url=self.cloud.aws_endpoint, config=config)

    def role(self, name: str, *statements: Mapping[str, Any]) -> Credentials:
        """Make a role with these permissions, and return the credentials of a session of it."""
        iam, sts = self.clients["iam"], self.client("sts")
        trust = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "sts:AssumeRole"}
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=_document(trust))["Role"]["Arn"]
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=_document(*statements))
        given = sts.assume_role(RoleArn=arn, RoleSessionName="ada")["Credentials"]
        sts.close()
        return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def gate(self, credentials: Credentials) -> GateApi:
        """Return the API as somebody else calls it."""
        return GateApi(self.cloud, self.outputs["gateUrl"], credentials)

    def consent(self, party: str, scope: str, state: str = "given") -> None:
        """Let the application report a consent of now."""
        told = self.api.consent(party, state, scope)
        assert told.status == 201, told
        self.parties[party] = told.body["party"]

    def settle(self) -> None:
        """Let webhooks and queues be worked off, twice: a webhook makes work, and work makes webhooks."""
        for _ in range(2):
            self.phones.settle()
            self.api.settle()

    def wait(self, seconds: int) -> None:
        """Move the clock, and let everything be worked off that falls due."""
        self.phones.advance_clock(seconds)
        self.settle()

    def known(self, sid: str) -> dict[str, Any]:
        """Return what the stack knows of a recording or message."""
        found: dict[str, Any] = self.api.get(f"/v1/recordings/{sid}").body
        return found

    def versions(self, bucket: str = "contentBucket", of: str = "") -> list[tuple[str, str]]:
        """Return key and version of all that is in a bucket and has `of` in its key."""
        pages = self.clients["s3"].get_paginator("list_object_versions").paginate(Bucket=self.outputs[bucket])
        found = [entry for page in pages for kind in ("Versions", "DeleteMarkers") for entry in page.get(kind, [])]
        return [(entry["Key"], entry["VersionId"]) for entry in found if of in entry["Key"]]

    def rows(self, of: str) -> list[str]:
        """Return the keys of all rows of the ledger that name somebody or something."""
        pages = self.clients["dynamodb"].get_paginator("scan").paginate(TableName=self.outputs["ledgerTable"])
        rows = [row for page in pages for row in page["Items"] if of in json.dumps(row, default=str)]
        return sorted(f"{row['pk']['S']} {row['sk']['S']}" for row in rows)

    def erased(self, name: str, until: str) -> dict[str, Any]:
        """Let an erasure be worked off until it is in a state, and return what it says of itself."""
        for _ in range(6):
            self.wait(61)
            told: dict[str, Any] = self.api.get(f"/v1/erasures/{name}").body
            if told["state"] == until:
                return told
        raise AssertionError(told)

    def gone(self, resource: Any) -> bool:
        """Tell whether Twilio answers 404 for a resource."""
        try:
            resource.fetch()
        except TwilioRestException as error:
            return bool(error.status == 404)
        return False

    def errors(self, function: str) -> list[str]:
        """Return the errors that a function has logged since the beginning, by their event and what is told of it."""
        group = f"/aws/lambda/{self.outputs['functions'][function]}"
        pages = self.clients["logs"].get_paginator("filter_log_events").paginate(logGroupName=group)
        lines = [json.loads(one["message"]) for page in pages for one in page["events"] if one["message"][0] == "{"]
        errors = [line for line in lines if line.get("level") == "ERROR"]
        mine = [line for line in errors if datetime.fromisoformat(line["timestamp"]) >= self.began]
        told = ("event", "error", "operation", "status")
        return [" ".join(str(line[name]) for name in told if name in line) for line in mine]

    def letters(self, function: str) -> int:
        """Return how many messages wait in the queues of a function, that of its dead letters too."""
        sqs, name = self.clients["sqs"], self.outputs["functions"][function]
        kinds = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "Delayed", "NotVisible")]
        urls = sqs.list_queues(QueueNamePrefix=name)["QueueUrls"]
        counts = [sqs.get_queue_attributes(QueueUrl=url, AttributeNames=kinds)["Attributes"] for url in urls]
        return sum(int(count[kind]) for count in counts for kind in kinds)

    def run(self, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
        """Run `parley` and return its exit code."""
        monkeypatch.setenv("PARLEY_HOME", str(self.stack.home.path))
        monkeypatch.setattr("sys.argv", ["parley", *arguments])
        with pytest.raises(SystemExit) as caught:
            command.main()
        return int(caught.value.code or 0)


def _document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def _code(error: ClientError) -> str:
    return str(error.response["Error"]["Code"])


@pytest.fixture(scope="module")
def kept(stack: LocalStack) -> Iterator[Kept]:
    """Give two people who consented to everything and have an open session, in which nothing was said yet."""
    made = Kept(stack)
    for who in (DANA, ELI):
        for scope in ("manage", "record_voice", "store_messages"):
            made.consent(who, scope)
    opened = made.api.post(
        "/v1/sessions",
        {"participants": [{"identifier": DANA}, {"identifier": ELI}], "record": ["voice"], "store": True},
    )
    assert opened.status == 201, opened
    made.session, made.masked = opened.body["session"], opened.body["participants"][0]["masked_number"]
    yield made
    made.twilio.http_client.close()
    for client in made.clients.values():
        client.close()


@pytest.fixture(scope="module")
def reader(kept: Kept) -> Credentials:
    """Give a session of the role that the stack lets read, whose own permissions are all of S3 and the API."""
    return kept.role("disputes", EVERYTHING_OF_S3, CALLS_THE_API)


@pytest.fixture(scope="module")
def stranger(kept: Kept) -> Credentials:
    """Give a session of another role with the same permissions."""
    return kept.role("curious", EVERYTHING_OF_S3, CALLS_THE_API)


class TestKept:
    """With everybody's consent, and only then."""

    def test_call_is_recorded_while_it_goes_on(self, kept: Kept) -> None:
        """A call that both let be recorded is recorded once, in two channels, as soon as it is answered."""
        kept.call = kept.phones.hold_call(DANA, kept.masked)["call_sid"]
        kept.settle()
        (recording,) = kept.twilio.calls(kept.call).recordings.list()
        assert (recording.status, recording.channels) == ("in-progress", 2)
        kept.recording = recording.sid
        assert kept.known(recording.sid)["stage"] == "captured"

    def test_recording_is_in_the_bucket_and_gone_at_twilio(self, kept: Kept) -> None:
        """When the call is over its recording and what is known of it are in the bucket, and nothing is at Twilio."""
        kept.phones.advance_clock(40)
        kept.phones.hang_up(kept.call)
        kept.settle()
        record = kept.known(kept.recording)
        assert record["stage"] == "deleted", record
        assert (set(record["parties"]), len(record["consents"])) == (set(kept.parties.values()), 2)
        assert 40 <= record["seconds"] <= 45
        folder = f"call-recordings/{kept.session}/{kept.recording}"
        assert sorted(key for key, _ in kept.versions(of=kept.session)) == [f"{folder}.json", f"{folder}.wav"]
        assert kept.gone(kept.twilio.recordings(kept.recording))
        tags = kept.clients["s3"].get_object_tagging(Bucket=kept.bucket, Key=f"{folder}.wav")["TagSet"]
        assert {tag["Key"]: tag["Value"] for tag in tags} == {
            "session": kept.session,
            "class": "call-recordings",
            "sid": kept.recording,
            "consents": " ".join(record["consents"]),
        }

    def test_text_is_kept_and_its_three_copies_are_gone(self, kept: Kept) -> None:
        """A text is in the bucket two runs of the reconciler later, and no copy of it is at Twilio."""
        kept.text = kept.phones.sms(DANA, kept.masked, "I am at the corner")
        assert kept.text["delivered"]
        kept.wait(125)
        record = kept.known(kept.text["message_sid"])
        assert (record["stage"], record["record_class"]) == ("deleted", "messages"), record
        assert [key for key, _ in kept.versions(of="messages/")] == [record["key"]]
        service = kept.twilio.proxy.v1.services(kept.outputs["proxyServiceSids"][0])
        copies = [kept.twilio.messages(kept.text[leg]) for leg in ("message_sid", "outbound_message_sid")]
        copies.append(service.sessions(kept.session).interactions(kept.text["interaction_sid"]))
        assert [kept.gone(copy) for copy in copies] == [True, True, True]

    def test_recording_that_nobody_knows_is_swept(self, kept: Kept) -> None:
        """A recording that somebody made behind the stack's back is found hours later, and goes without a copy."""
        endpoint = f"{kept.cloud.twilio_endpoint}/_sim/recordings"
        asked = requests.post(endpoint, json={"to": POOL, "seconds": 5, "age": 4 * 3600}, timeout=10)
        (made,) = asked.json()["recordings"]
        assert not kept.gone(kept.twilio.recordings(made["sid"]))
        client = kept.client("lambda")
        answer = client.invoke(FunctionName=kept.outputs["functions"]["sweep"], Qualifier="live", Payload=b"{}")
        said = answer["Payload"].read()
        client.close()
        assert "FunctionError" not in answer, said
        kept.settle()
        assert kept.gone(kept.twilio.recordings(made["sid"]))
        assert kept.versions(of=made["sid"]) == []

    def test_everything_is_as_declared(self, kept: Kept) -> None:
        """With recordings and messages in it the stack is as it declares, at AWS and at Twilio."""
        declaration = kept.outputs["declaration"]
        carrier = verify.carrier(declaration, kept.clients, kept.cloud)
        found = verify.checks(declaration, kept.clients, carrier)
        assert [(one.name, one.property, one.live) for one in found if one.verdict is not Verdict.TRUE] == []
        assert {one.property for one in found} >= {"oldest.call-recordings.current version"}


class TestReading:
    """Through the stack only, by a role that it names."""

    def test_named_role_gets_the_proven_version(self, kept: Kept, reader: Credentials) -> None:
        """The address that a named role gets for a declared purpose gives what was archived, under the content key."""
        answer = kept.gate(reader).post(f"/v1/recordings/{kept.recording}/access", {"purpose": PURPOSE})
        assert answer.status == 200, answer
        fetched = requests.get(answer.body["url"], timeout=30)
        record = kept.known(kept.recording)
        assert (fetched.status_code, hashlib.sha256(fetched.content).hexdigest()) == (200, record["sha256"])
        assert fetched.content[:4] == b"RIFF"
        assert fetched.headers["x-amz-server-side-encryption"] == "aws:kms"
        assert fetched.headers["x-amz-server-side-encryption-aws-kms-key-id"] == kept.outputs["contentKeyArn"]
        read = {"role": "arn:aws:iam::123456789012:role/disputes", "session": "ada", "purpose": PURPOSE}
        assert [{name: one[name] for name in read} for one in record["reads"]] == [read]

    def test_what_was_said_is_in_the_message(self, kept: Kept, reader: Credentials) -> None:
        """The document of a message has its text, between party keys and without a number."""
        answer = kept.gate(reader).post(f"/v1/recordings/{kept.text['message_sid']}/access", {"purpose": PURPOSE})
        document = requests.get(answer.body["url"], timeout=30).json()
        assert document["body"] == "I am at the corner"
        assert (document["from"], document["to"]) == (kept.parties[DANA], [kept.parties[ELI]])
        assert DANA not in json.dumps(document)

    def test_changed_address_is_refused(self, kept: Kept, reader: Credentials) -> None:
        """An address that was changed to another object gives nothing: the signature is for one."""
        answer = kept.gate(reader).post(f"/v1/recordings/{kept.recording}/access", {"purpose": PURPOSE})
        changed = answer.body["url"].replace(".wav?", ".json?", 1)
        assert changed != answer.body["url"]
        assert requests.get(changed, timeout=30).status_code == 403

    @pytest.mark.parametrize("purpose", ["marketing", "masking"])
    def test_other_purposes_are_refused(self, kept: Kept, reader: Credentials, purpose: str) -> None:
        """A purpose that the class is not kept for is refused to the named role as well."""
        answer = kept.gate(reader).post(f"/v1/recordings/{kept.recording}/access", {"purpose": purpose})
        assert (answer.status, answer.body["type"]) == (403, "urn:parley:problem:reader-not-permitted")

    def test_others_are_refused(self, kept: Kept, stranger: Credentials) -> None:
        """Neither another role nor whoever deploys is given an address."""
        asked = [
            gate.post(f"/v1/recordings/{kept.recording}/access", {"purpose": PURPOSE})
            for gate in (kept.api, kept.gate(stranger))
        ]
        assert [(one.status, one.body["type"]) for one in asked] == [
            (403, "urn:parley:problem:reader-not-permitted")
        ] * 2
        assert len(kept.known(kept.recording)["reads"]) == 2

    @pytest.mark.parametrize("who", ["deployer", "reader", "stranger"])
    def test_bucket_gives_nobody_anything(self, kept: Kept, who: str, request: pytest.FixtureRequest) -> None:
        """Whatever IAM lets them, nobody reads an object but by an address; only the deployer lists names."""
        s3 = kept.client("s3", None if who == "deployer" else request.getfixturevalue(who))
        key, version = kept.versions(of=f"{kept.recording}.wav")[0]
        where = {"Bucket": kept.bucket, "Key": key}
        tries: list[Callable[[], Any]] = [
            lambda: s3.get_object(**where),
            lambda: s3.get_object(**where, VersionId=version),
        ]
        lists: list[Callable[[], Any]] = [
            lambda: s3.list_objects_v2(Bucket=kept.bucket),
            lambda: s3.list_object_versions(Bucket=kept.bucket),
        ]
        for attempt in [*tries, *(lists if who != "deployer" else [])]:
            with pytest.raises(ClientError) as refused:
                attempt()
            assert _code(refused.value) == "AccessDenied"
        assert who != "deployer" or len(s3.list_objects_v2(Bucket=kept.bucket)["Contents"]) >= 3
        s3.close()


class TestWithdrawal:
    """What consent began its end ends."""

    def test_withdrawal_stops_the_recording_and_nothing_else(self, kept: Kept) -> None:
        """Whoever takes back that consent is not recorded any more when that is answered, and the call goes on."""
        call = kept.phones.hold_call(DANA, kept.masked)["call_sid"]
        kept.settle()
        (recording,) = kept.twilio.calls(call).recordings.list()
        assert recording.status == "in-progress"
        kept.phones.advance_clock(20)
        kept.consent(ELI, "record_voice", "withdrawn")
        assert recording.fetch().status in {"processing", "completed"}
        assert kept.twilio.calls(call).fetch().status == "in-progress"
        kept.phones.hang_up(call)
        kept.settle()
        record = kept.known(recording.sid)
        assert (record["stage"], record["reason"]) == ("deleted", "stopped-by-withdrawal"), record
        again = kept.phones.hold_call(DANA, kept.masked)["call_sid"]
        kept.settle()
        assert kept.twilio.calls(again).recordings.list() == []
        kept.phones.hang_up(again)
        kept.settle()


class TestHold:
    """What the law wants kept stays, whoever would delete it."""

    def test_hold_is_put_on_every_version(self, kept: Kept) -> None:
        """A legal hold on a person is S3's own on all that is kept of them and on the copies of their consents."""
        body = {"party": DANA, "reason": "Doe v. Roe", "owner": "counsel@acme.example", "review": "2027-05-04"}
        assert kept.api.put("/v1/holds/case-17", body).status == 202
        kept.settle()
        told = kept.api.get("/v1/holds/case-17").body
        assert told["stage"] == "held", told
        evidence = kept.versions("evidenceBucket", f"consent-evidence/{kept.parties[DANA]}/")
        content = kept.versions(of=kept.session)
        assert (len(evidence), len(content)) == (3, 5)
        assert told["objects"] == 8
        s3 = kept.clients["s3"]
        for bucket, found in (("contentBucket", content), ("evidenceBucket", evidence)):
            for key, version in found:
                where = {"Bucket": kept.outputs[bucket], "Key": key, "VersionId": version}
                assert s3.get_object_legal_hold(**where)["LegalHold"]["Status"] == "ON"
                with pytest.raises(ClientError, match="AccessDenied"):
                    s3.delete_object(**where)

    def test_erasure_waits_for_the_release(self, kept: Kept) -> None:
        """An erasure of a held person deletes nothing, at neither side, and its proof says that all of it is held."""
        before = kept.versions(of=kept.session)
        asked = kept.api.post("/v1/erasures", {"party": DANA, "reason": "art-17"})
        assert asked.status == 202, asked
        kept.erasure = asked.body["erasure"]
        told = kept.erased(kept.erasure, until="held")
        assert kept.versions(of=kept.session) == before
        assert {one["why"] for one in told["left"]} == {"held"}
        document = read_proof(told["proof"])[1]
        held = {one["kind"] for one in document["remains"] if one["why"] == "held"}
        assert {"object-versions", "copy-versions", "person-rows", "session-rows", "call", "session"} <= held
        assert not kept.gone(kept.twilio.calls(kept.call))

    def test_release_lets_the_erasure_end(self, kept: Kept) -> None:
        """After the release the erasure goes on by itself, and its second proof names the first."""
        first = kept.api.get(f"/v1/erasures/{kept.erasure}").body["proof"]
        assert kept.api.delete("/v1/holds/case-17", {"reason": "settled"}).status == 202
        kept.settle()
        told = kept.erased(kept.erasure, until="done")
        document = read_proof(told["proof"])[1]
        assert document["continues"] == hashlib.sha256(first.encode()).hexdigest()
        assert {one["why"] for one in document["remains"]}.isdisjoint({"held", "pending"})
        assert kept.api.get("/v1/holds/case-17").body["stage"] == "released"


class TestErased:
    """Nothing of the person is anywhere but what the proof names."""

    def test_nothing_is_left_in_the_stores(self, kept: Kept) -> None:
        """The ledger has the suppression and the hold's log, the buckets have nothing of the person or the session."""
        party = kept.parties[DANA]
        rows = [row for row in kept.rows(party) if not row.startswith("HOLDS ")]
        assert rows == [f"SUPPRESSED#{party} SUPPRESSED"]
        assert kept.rows(kept.session) == []
        assert kept.versions(of=kept.session) == []
        assert kept.versions("evidenceBucket", party) == []
        assert kept.rows(DANA) == []

    def test_others_keep_their_consents(self, kept: Kept) -> None:
        """The other person's consent records stay as they were."""
        evidence = kept.versions("evidenceBucket", kept.parties[ELI])
        assert len(evidence) == 4
        told = kept.api.get(f"/v1/consents/{kept.parties[ELI]}").body["consents"]
        assert {(one["scope"], one["state"]) for one in told} >= {("manage", "given"), ("record_voice", "withdrawn")}

    def test_nothing_is_left_at_twilio(self, kept: Kept) -> None:
        """Twilio has no message, no call and no recording of the number, and no session."""
        assert [*kept.twilio.messages.list(from_=DANA), *kept.twilio.messages.list(to=DANA)] == []
        assert [*kept.twilio.calls.list(from_=DANA), *kept.twilio.calls.list(to=DANA)] == []
        service = kept.twilio.proxy.v1.services(kept.outputs["proxyServiceSids"][0])
        assert kept.gone(service.sessions(kept.session))

    def test_proof_verifies_offline(
        self,
        kept: Kept,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        """The command and openssl verify the proof against the stack's own key, and refuse a changed one."""
        proof, changed, key = tmp_path / "proof.json", tmp_path / "changed.json", tmp_path / "stack.pem"
        text = kept.api.get(f"/v1/erasures/{kept.erasure}").body["proof"]
        proof.write_text(text, encoding="utf-8")
        changed.write_text(text.replace("art-17", "art-71"), encoding="utf-8")
        kms = kept.clients["kms"]
        der = kms.get_public_key(KeyId=kept.outputs["proofKeyArn"])["PublicKey"]
        key.write_text(f"-----BEGIN PUBLIC KEY-----\n{base64.encodebytes(der).decode()}-----END PUBLIC KEY-----\n")
        assert kept.run(monkeypatch, "erase", "verify", str(proof), "--public-key", str(key)) == OK
        assert "holds" in capsys.readouterr().out
        assert kept.run(monkeypatch, "erase", "verify", str(changed), "--public-key", str(key)) == DRIFT
        documented = ERASURE.read_text(encoding="utf-8").split("```sh\n")[1].split("```")[0]
        said = subprocess.run(["sh", "-ec", documented], cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (said.returncode, said.stdout.strip()) == (0, "Verified OK"), said.stderr

    def test_chains_are_whole(self, kept: Kept) -> None:
        """The check of chains accepts the missing rows, since the proof explains them.

        Without its cursor it begins, however young the last walk is.
        """
        cursor = {"pk": {"S": "CURSOR#chains-in-8"}, "sk": {"S": "CURSOR"}}
        kept.clients["dynamodb"].delete_item(TableName=kept.outputs["ledgerTable"], Key=cursor)
        client = kept.client("lambda")
        answer = client.invoke(FunctionName=kept.outputs["functions"]["chain"], Qualifier="live", Payload=b"{}")
        said = answer["Payload"].read()
        client.close()
        assert "FunctionError" not in answer, said


class TestWork:
    """What was done was done at the first attempt."""

    @pytest.mark.parametrize("function", FUNCTIONS)
    def test_nothing_failed(self, kept: Kept, function: str) -> None:
        """No function logged an error, but for the recording that nobody knew, and no message is left."""
        assert kept.errors(function) == (["record-dropped"] if function == "archive" else [])
        assert kept.letters(function) == 0
