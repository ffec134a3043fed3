"""`parley erase`: what it asks the stack's API for, what it says, and a proof that is verified without any cloud."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from parley.core.consent import canonical_json
from parley.core.erasure import Deployment, Erasure, Item, Progress, Signed, proof

from cli import erase as command
from cli import main
from cli.errors import CANNOT_TELL, DRIFT, FAILED, OK, UserError

NUMBER = "+12125550111"
PARTY = "a" * 64
NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
ASKED = Erasure("er_" + "0" * 32, PARTY, NOON, 7, by_number=True)
KEY = ec.generate_private_key(ec.SECP256R1())


def signed(key: ec.EllipticCurvePrivateKey = KEY) -> str:
    """Return the file of a proof."""
    gone = Progress(Item("call", "CA" + "1" * 32)).after({"204": 1}, [], NOON)
    days = {"consent-evidence": 1825, "operational-logs": 30, "access-logs": 90}
    text = canonical_json(proof(ASKED, [gone], NOON, Deployment("prod", "prod", "Acme", ""), days))
    return Signed(text, key.sign(text.encode(), ec.ECDSA(hashes.SHA256())), der(key), "arn:aws:kms:x").to_json()


def der(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return the public key of a key."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.DER, form)


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    """Return it as PEM."""
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form)


class Gate:
    """The stack's API: gives prepared answers and keeps what was asked."""

    def __init__(self, *answers: tuple[int, dict[str, Any]]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Mapping[str, Any] | None]] = []

    def send(self, method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        """Take a request."""
        self.asked.append((method, path, body))
        return self.answers.pop(0)


BEGUN = {
    "erasure": ASKED.id,
    "party": PARTY,
    "state": "working",
    "found": [{"system": "twilio", "kind": "call", "count": 2}],
    "complete": True,
    "searched_by_number": True,
}
WORKING = {**BEGUN, "left": [{"system": "twilio", "kind": "call", "why": "pending", "count": 2}], "proof": None}


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Give a way to run `parley erase` against prepared answers."""
    monkeypatch.setattr(command, "EVERY", 0.0)

    def run_it(gate: Gate | None, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        def made(_stack: str) -> command.Send:
            assert gate is not None, "no cloud may be asked"
            return gate.send

        monkeypatch.setattr(command, "gate", made)
        monkeypatch.setattr("sys.argv", ["parley", "erase", *arguments])
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        with pytest.raises(SystemExit) as caught:
            main.main()
        printed = capsys.readouterr()
        return int(caught.value.code or 0), printed.out, " ".join(printed.err.split())

    return run_it


class TestErase:
    """Through the API."""

    def test_waits_for_the_proof(self, run: Any, tmp_path: Path) -> None:
        """It asks once, follows the erasure, says what went and remains, and writes the proof; never the number."""
        gate = Gate((202, BEGUN), (200, WORKING), (200, {**WORKING, "state": "done", "left": [], "proof": signed()}))
        file = tmp_path / "proof.json"
        code, printed, said = run(gate, NUMBER, "--reason", "art-17", "--out", str(file))
        assert code == OK
        assert gate.asked[0] == ("POST", "/v1/erasures", {"party": NUMBER, "dry_run": False, "reason": "art-17"})
        assert [path for _, path, _ in gate.asked[1:]] == [f"/v1/erasures/{ASKED.id}"] * 2
        assert "2  call (twilio)" in printed
        assert "1 × 204" in printed
        assert "suppressed-for-good" in printed
        assert NUMBER not in printed + said
        assert file.read_text(encoding="utf-8") == signed_like(file)

    def test_rehearsal(self, run: Any) -> None:
        """A dry run shows what would go, and nothing is followed; one that is cut short is not taken for the whole."""
        told = {**BEGUN, "erasure": None, "state": "rehearsed"}
        gate = Gate((200, told))
        code, printed, _ = run(gate, "-", "--dry-run", stdin=f"{NUMBER}\n")
        assert (code, "2  call (twilio)" in printed, len(gate.asked)) == (OK, True, 1)
        assert gate.asked[0][2] == {"party": NUMBER, "dry_run": True}
        cut = {**told, "complete": False, "searched_by_number": False}
        code, printed, _ = run(Gate((200, cut)), PARTY, "--dry-run")
        assert (code, "not all of it" in printed, "not searched by number" in printed) == (CANNOT_TELL, True, True)
        code, printed, _ = run(Gate((200, told)), PARTY, "--dry-run", "--json")
        assert json.loads(printed) == told

    def test_not_done_in_time(self, run: Any) -> None:
        """What takes longer than one waits is told with the way to ask again, and is exit 2; so is what is held."""
        code, printed, _ = run(Gate((202, {**BEGUN, "detail": "words"}), (200, WORKING)), PARTY, "--wait", "0")
        assert code == CANNOT_TELL
        assert f"parley erase status {ASKED.id}" in printed
        assert "words" in printed
        held = {**WORKING, "state": "held", "proof": signed()}
        code, printed, _ = run(Gate((200, held)), "status", ASKED.id, "--json")
        assert (code, json.loads(printed)["state"]) == (CANNOT_TELL, "held")

    def test_erased_before(self, run: Any) -> None:
        """Somebody who was erased before gets the proof of then at once."""
        done = {**WORKING, "state": "done", "left": [], "proof": signed()}
        gate = Gate((200, done))
        assert (run(gate, PARTY)[0], len(gate.asked)) == (OK, 1)

    @pytest.mark.parametrize(
        ("status", "answer", "words", "code"),
        [
            (400, {"errors": [{"path": "party", "reason": "is no number"}]}, "party is no number", FAILED),
            (404, {"detail": "There is no erasure with this id."}, "There is no erasure", CANNOT_TELL),
            (403, {"message": "Forbidden"}, "check your rights", CANNOT_TELL),
            (500, {}, "status 500", FAILED),
        ],
    )
    def test_refusals(self, run: Any, status: int, answer: dict[str, Any], words: str, code: int) -> None:
        """What the API refuses is one message with the way out."""
        said = run(Gate((status, answer)), PARTY)
        assert (said[0], words in said[2]) == (code, True)

    def test_usage(self, run: Any, tmp_path: Path) -> None:
        """What is missing or too much is told, and a file that cannot be written."""
        assert "the id of an erasure" in run(Gate(), "status")[2]
        assert "the file of a proof" in run(None, "verify")[2]
        assert "give one PARTY" in run(Gate(), PARTY, "other")[2]
        done = {**WORKING, "state": "done", "left": [], "proof": signed()}
        code, _, said = run(Gate((200, done)), PARTY, "--out", str(tmp_path / "none" / "x"))
        assert (code, "No such file" in said) == (FAILED, True)


def signed_like(file: Path) -> str:
    """Return the text of a file, if it is a proof that holds."""
    text = file.read_text(encoding="utf-8")
    assert command.verified(text, None).holds
    return text


class TestVerify:
    """Without any cloud."""

    def test_holds(self, run: Any, tmp_path: Path) -> None:
        """A proof that nobody touched holds, by the key in it and by the stack's own, and says what it proves."""
        (tmp_path / "p.json").write_text(signed(), encoding="utf-8")
        (tmp_path / "k.pem").write_bytes(pem(KEY))
        code, printed, _ = run(None, "verify", str(tmp_path / "p.json"))
        assert (code, "holds" in printed, "came with the file" in printed) == (OK, True, True)
        assert f"of party {PARTY}" in printed
        code, printed, _ = run(None, "verify", str(tmp_path / "p.json"), "--public-key", str(tmp_path / "k.pem"))
        assert (code, "came with the file" in printed) == (OK, False)
        code, printed, _ = run(None, "verify", str(tmp_path / "p.json"), "--json")
        told = json.loads(printed)
        assert (code, told["holds"], told["proof"]["party"]) == (OK, True, PARTY)

    def test_changed_or_of_another_key(self, run: Any, tmp_path: Path) -> None:
        """A proof that was changed, or that another key signed, does not hold: exit 7."""
        raw = json.loads(signed())
        raw["proof"] = raw["proof"].replace('"found":1', '"found":9')
        (tmp_path / "p.json").write_text(json.dumps(raw), encoding="utf-8")
        code, printed, _ = run(None, "verify", str(tmp_path / "p.json"))
        assert (code, "does not hold" in printed) == (DRIFT, True)
        other = ec.generate_private_key(ec.SECP256R1())
        (tmp_path / "p.json").write_text(signed(other), encoding="utf-8")
        (tmp_path / "k.pem").write_bytes(pem(KEY))
        arguments = ("verify", str(tmp_path / "p.json"), "--public-key", str(tmp_path / "k.pem"))
        assert run(None, *arguments)[0] == DRIFT
        code, printed, _ = run(None, *arguments, "--json")
        assert (code, json.loads(printed)["holds"]) == (DRIFT, False)

    def test_what_is_no_proof(self, run: Any, tmp_path: Path) -> None:
        """A file that is something else, is no text or is not there is one message, and so is a key that is none."""
        file, key = tmp_path / "p.json", tmp_path / "k.pem"
        file.write_text("{}", encoding="utf-8")
        assert "no proof of erasure" in run(None, "verify", str(file))[2]
        file.write_bytes(b"\xff\xfe\x00")
        assert "is no text" in run(None, "verify", str(file))[2]
        assert "No such file" in run(None, "verify", str(tmp_path / "none"))[2]
        file.write_text(signed(), encoding="utf-8")
        key.write_text("key", encoding="utf-8")
        assert "no public key in PEM form" in run(None, "verify", str(file), "--public-key", str(key))[2]
        key.write_bytes(pem(rsa.generate_private_key(65537, 2048)))
        assert "elliptic curve" in run(None, "verify", str(file), "--public-key", str(key))[2]
        raw = json.loads(signed())
        raw["signature"]["public_key"] = "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"
        file.write_text(json.dumps(raw), encoding="utf-8")
        assert "has no public key" in run(None, "verify", str(file))[2]


def test_gate_needs_a_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack without an API is told so, with the way out."""
    monkeypatch.setattr(main, "deployed", lambda _stack: ({}, None))
    with pytest.raises(UserError, match="deploy it") as caught:
        command.gate("prod")
    assert caught.value.exit_code == CANNOT_TELL


def test_gate_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the API cannot be reached, one message says so, and the request is not repeated in it."""
    outputs = {"gateUrl": "http://127.0.0.1:9", "identityKeyArn": "arn:aws:kms:us-east-1:123456789012:key/x"}
    monkeypatch.setattr(main, "deployed", lambda _stack: (outputs, None))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with pytest.raises(UserError, match="no answer from the stack's API") as caught:
        command.gate("prod")("POST", "/v1/erasures", {"party": NUMBER})
    assert NUMBER not in str(caught.value)
