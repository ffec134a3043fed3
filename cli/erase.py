"""`parley erase`: erases a person through the stack's own API, follows it, and verifies a proof without any cloud.

The request is signed as the caller (SigV4), so the API's access log says who asked. A number is sent to the API and
never printed.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from cli.errors import CANNOT_TELL, DRIFT, FAILED, OK, UserError
from cli.home import STACK

out = Console()
err = Console(stderr=True)

VERIFY, STATUS = "verify", "status"
EVERY = 10.0
"""Seconds between two looks at an erasure that is waited for."""

Send = Callable[[str, str, Mapping[str, Any] | None], tuple[int, dict[str, Any]]]
"""Sends a request to the gate, by method, path and JSON body; returns the status and the JSON body of the answer."""


def erase(
    what: Annotated[
        str,
        typer.Argument(
            metavar="PARTY|verify|status",
            help="Whom to erase: a number in E.164 form, user:ID or a party key; - reads it from standard input. "
            "Or `verify FILE`, or `status ID`.",
        ),
    ],
    of: Annotated[str | None, typer.Argument(metavar="[FILE|ID]", help="The proof, or the erasure.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would go, and change nothing.")] = False,
    reason: Annotated[str, typer.Option(help="A code that the proof repeats, such as art-17.")] = "",
    wait: Annotated[
        float, typer.Option(min=0, help="Minutes to wait for the proof; what takes longer goes on without you.")
    ] = 5.0,
    write_to: Annotated[Path | None, typer.Option("--out", help="Write the proof to this file.")] = None,
    public_key: Annotated[
        Path | None, typer.Option(help="The stack's public key (PEM), to hold a proof against (verify).")
    ] = None,
    stack: Annotated[str, typer.Option(help="The stack that the person is erased from.")] = STACK,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """Erase a person everywhere and get a signed proof, or verify one: `parley erase verify proof.json`.

    Exits with 0 when it is done, with 2 when it is not proven yet or cannot be told, and with 7 when a proof does not
    hold.
    """
    if what == VERIFY:
        raise typer.Exit(_verify(_given(of, "the file of a proof"), public_key, as_json=as_json))
    send = gate(stack)
    if what == STATUS:
        raise typer.Exit(_tell(_followed(send, _given(of, "the id of an erasure"), 0.0), write_to, as_json=as_json))
    if of is not None:
        raise UserError("give one PARTY, or `verify FILE`, or `status ID`", CANNOT_TELL)
    party = sys.stdin.readline().strip() if what == "-" else what.strip()
    body = {"party": party, "dry_run": dry_run, **({"reason": reason} if reason else {})}
    told = answered(send("POST", "/v1/erasures", body))
    if not as_json:
        _print_found(told)
    if dry_run:
        if as_json:
            print(json.dumps(told, indent=2))
        raise typer.Exit(OK if told.get("complete", True) else CANNOT_TELL)
    if told.get("proof") is None:
        told = {**told, **_followed(send, told["erasure"], wait * 60)}
    raise typer.Exit(_tell(told, write_to, as_json=as_json))


def _given(of: str | None, what: str) -> str:
    if of is None:
        raise UserError(f"name {what} as well", CANNOT_TELL)
    return of


# Through the API --------------------------------------------------------------------------------------------------


def gate(stack: str) -> Send:
    """Return what sends signed requests to the API of a stack. Raises UserError."""
    import boto3  # noqa: PLC0415 - keeps `--help` quick
    import urllib3  # noqa: PLC0415 - as above
    from botocore.auth import SigV4Auth  # noqa: PLC0415 - as above
    from botocore.awsrequest import AWSRequest  # noqa: PLC0415 - as above
    from parley.env import region_of  # noqa: PLC0415 - as above

    from cli.main import deployed  # noqa: PLC0415 - it imports this module

    outputs, cloud = deployed(stack)
    url = str(outputs.get("gateUrl") or "").rstrip("/")
    if not url:
        raise UserError(f"stack '{stack}' has no API: deploy it with `pulumi up`", CANNOT_TELL)
    region = cloud.aws_region if cloud else region_of(str(outputs.get("identityKeyArn", "")))
    local = (cloud.aws_access_key_id, cloud.aws_secret_access_key) if cloud else ()
    credentials: Any = boto3.Session(*local).get_credentials()
    if credentials is None:
        raise UserError("no AWS credentials: sign in, or set AWS_PROFILE", CANNOT_TELL)
    http = urllib3.PoolManager(retries=False, timeout=urllib3.Timeout(connect=5, read=40))

    def send(method: str, path: str, body: Mapping[str, Any] | None) -> tuple[int, dict[str, Any]]:
        data = b"" if body is None else json.dumps(body).encode()
        request = AWSRequest(method, url + path, data=data, headers={"content-type": "application/json"})
        SigV4Auth(credentials, "execute-api", region).add_auth(request)
        try:
            answer = http.request(method, url + path, body=data, headers=dict(request.headers.items()))
            return answer.status, json.loads(answer.data or b"{}")
        except (urllib3.exceptions.HTTPError, ValueError) as error:
            # Not chained: the error may quote the request.
            raise UserError(
                f"no answer from the stack's API ({type(error).__name__}): check the network, and ask again: "
                "the same request goes on from there",
                CANNOT_TELL,
            ) from None

    return send


def answered(answer: tuple[int, dict[str, Any]]) -> dict[str, Any]:
    """Return the body of an answer that is no problem. Raises UserError with what the problem says."""
    status, body = answer
    if status < 400:
        return body
    errors = "; ".join(f"{error['path']} {error['reason']}" for error in body.get("errors", []))
    said = errors or body.get("detail") or body.get("message") or f"status {status}"
    hint = ": check your rights on the API (execute-api:Invoke)" if status == 403 else ""
    raise UserError(f"the API refuses: {said}{hint}", CANNOT_TELL if status in {403, 404, 503} else FAILED)


def _followed(send: Send, name: str, seconds: float) -> dict[str, Any]:
    """Return where an erasure stands once it is proven, or the time is over."""
    end = time.monotonic() + seconds
    with err.status("erasing …") as status:
        while True:
            told = answered(send("GET", f"/v1/erasures/{name}", None))
            if told["state"] != "working" or time.monotonic() + EVERY > end:
                return told
            left = sum(one["count"] for one in told["left"])
            status.update(f"erasing … {left} left")
            time.sleep(EVERY)


def _tell(told: Mapping[str, Any], write_to: Path | None, *, as_json: bool) -> int:
    """Print where an erasure stands and write its proof; return the exit code."""
    if told.get("proof") is not None and write_to is not None:
        try:
            write_to.write_text(told["proof"], encoding="utf-8")
        except OSError as error:
            raise UserError(f"--out {write_to}: {error.strerror}") from None
        err.print(f"written: {write_to}", highlight=False, soft_wrap=True)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        _print_state(told)
    return OK if told["state"] == "done" else CANNOT_TELL


def _print_found(told: Mapping[str, Any]) -> None:
    out.print(f"party {told.get('party', '')}", soft_wrap=True, highlight=False)
    for one in told.get("found", []):
        out.print(f"{one['count']:>7}  {one['kind']} ({one['system']})", soft_wrap=True, highlight=False)
    if "detail" in told:
        out.print(told["detail"], soft_wrap=True, highlight=False)
    if not told.get("complete", True):
        out.print("[yellow]not all of it was followed in the time of one request; the erasure goes on finding[/]")
    if told.get("searched_by_number") is False:
        out.print("Twilio was not searched by number: none was given", soft_wrap=True, highlight=False)


def _print_state(told: Mapping[str, Any]) -> None:
    out.print(f"erasure {told['erasure']}: {told['state']}", soft_wrap=True, highlight=False)
    for one in told.get("left", []):
        line = f"{one['count']:>7}  {one['kind']} ({one['system']}): {one['why']}"
        out.print(line, soft_wrap=True, highlight=False)
    if told.get("proof") is not None:
        _print_proof(json.loads(json.loads(told["proof"])["proof"]))
    else:
        out.print(f"not proven yet: `parley erase status {told['erasure']}` asks again", soft_wrap=True)


# Without any cloud ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether a proof holds, what it says, and the SHA-256 (hex) of the public key that it was held against."""

    holds: bool
    document: Mapping[str, Any]
    fingerprint: str
    own_key: bool


def verified(text: str, key: str | None) -> Verified:
    """Hold a proof's file against a public key (PEM), or against the one in it.

    Raises ProofError if it is no proof, UserError if the key is none.
    """
    import hashlib  # noqa: PLC0415 - keeps `--help` quick

    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415 - as above
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415 - as above
    from parley.core.erasure import ProofError, read_proof  # noqa: PLC0415 - as above

    signed, document = read_proof(text)
    try:
        if key is not None:
            loaded = serialization.load_pem_public_key(key.encode())
        else:
            loaded = serialization.load_der_public_key(signed.public_key)
    except ValueError:
        if key is not None:
            raise UserError("--public-key: is no public key in PEM form", CANNOT_TELL) from None
        raise ProofError("has no public key") from None
    if not isinstance(loaded, ec.EllipticCurvePublicKey):
        raise UserError("--public-key: is no key of an elliptic curve, which proofs are signed with", CANNOT_TELL)
    der = loaded.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        loaded.verify(signed.signature, signed.text.encode(), ec.ECDSA(hashes.SHA256()))
        holds = True
    except InvalidSignature:
        holds = False
    return Verified(holds, document, hashlib.sha256(der).hexdigest(), key is not None)


def _verify(file: str, public_key: Path | None, *, as_json: bool) -> int:
    """Verify a file and say what it proves; return the exit code."""
    from parley.core.erasure import ProofError  # noqa: PLC0415 - keeps `--help` quick

    try:
        found = verified(_read(Path(file)), None if public_key is None else _read(public_key))
    except ProofError as error:
        raise UserError(f"{file}: {error}", CANNOT_TELL) from None
    if as_json:
        told = {"holds": found.holds, "publicKeySha256": found.fingerprint, "proof": found.document}
        print(json.dumps(told, indent=2))
        return OK if found.holds else DRIFT
    if not found.holds:
        out.print(f"[red]does not hold[/]: {escape(file)} was changed, or is signed by another key", soft_wrap=True)
        return DRIFT
    out.print(f"[green]holds[/]: signed by the key with SHA-256 {found.fingerprint}", soft_wrap=True, highlight=False)
    if not found.own_key:
        out.print("that key came with the file: --public-key holds it against the stack's own", soft_wrap=True)
    _print_proof(found.document)
    return OK


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{path}: {error.strerror}", CANNOT_TELL) from None
    except ValueError:
        raise UserError(f"{path}: is no text", CANNOT_TELL) from None


def _print_proof(document: Mapping[str, Any]) -> None:
    head = f"erasure {document['id']} of party {document['party']} in stack {document['stack']}"
    out.print(head, soft_wrap=True, highlight=False, markup=False)
    out.print(f"asked for {document['requested_at']}, done {document['done_at']}", soft_wrap=True, highlight=False)
    for one in document["erased"]:
        answers = ", ".join(f"{count} × {answer}" for answer, count in one["answers"].items()) or "not touched"
        line = f"  gone     {one['found']:>6}  {one['kind']} ({one['system']}): {answers}"
        out.print(line, soft_wrap=True, highlight=False, markup=False)
    for one in document["remains"]:
        until = f" {one['until'][:10]}" if "until" in one else ""
        rule = f" ({one['rule']})" if "rule" in one else ""
        count = one.get("count", "")
        line = f"  remains  {count:>6}  {one['kind']} ({one['system']}): {one['why']}{until}{rule}"
        out.print(line, soft_wrap=True, highlight=False, markup=False)
