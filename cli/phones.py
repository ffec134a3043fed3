"""Handsets of the local cloud and the first-party caller of the deployed API, for the demo and for tests."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import urllib3
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from cli.errors import UserError
from cli.home import CloudInfo

TIMEOUT = urllib3.Timeout(connect=5, read=60)
NOTICE_TEXT = "Calls and texts go through us and our provider Twilio, not directly to the other user."


_TAKES = {"callee_digits": ["1"]}
"""The key by which whoever is called takes the call."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer: its status and its JSON body (an empty body is an empty object)."""

    status: int
    body: Any


class Phones:
    """Every handset of the local cloud: it texts, calls, and shows what it saw.

    Raises UserError when the emulator does not answer or refuses.
    """

    def __init__(self, cloud: CloudInfo) -> None:
        self._endpoint = cloud.twilio_endpoint
        self._http = urllib3.PoolManager(retries=False, timeout=TIMEOUT)

    def sms(self, sender: str, recipient: str, body: str) -> dict[str, Any]:
        """Text `body` from one E.164 number to another and wait until every webhook was delivered."""
        return self._send("POST", "/_sim/sms", {"from": sender, "to": recipient, "body": body})

    def call(self, caller: str, called: str, seconds: int = 10) -> dict[str, Any]:
        """Call for `seconds`; the answer tells whether it was connected and what the caller heard.

        Whoever is called presses 1, where they are asked for a key.
        """
        return self._send("POST", "/_sim/call", {"from": caller, "to": called, "duration": seconds, **_TAKES})

    def hold_call(self, caller: str, called: str) -> dict[str, Any]:
        """Call and stay on the line until `hang_up`; the answer has the call's SID, and says if it was connected."""
        return self._send("POST", "/_sim/call", {"from": caller, "to": called, "hold": True, **_TAKES})

    def hang_up(self, call_sid: str) -> None:
        """End a call that was held, and wait until its webhooks were delivered."""
        self._send("POST", "/_sim/hangup", {"call_sid": call_sid})

    def seen_by(self, number: str) -> dict[str, Any]:
        """Return the messages and calls that the handset of `number` saw."""
        return self._send("GET", f"/_sim/phones/{number}")

    def advance_clock(self, seconds: float) -> None:
        """Move the clock of the local cloud forward; what falls due happens before this returns."""
        self._send("POST", "/_sim/clock", {"advance": seconds})

    def settle(self) -> None:
        """Wait until every webhook that is under way was delivered."""
        self._send("GET", "/_sim/webhooks")

    def _send(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        answer = _request(self._http, method, self._endpoint + path, body)
        if answer.status >= 400:
            raise UserError(f"the Twilio emulator refused {method} {path.partition('/+')[0]}: {answer.body}")
        result: dict[str, Any] = answer.body
        return result


class GateApi:
    """The deployed HTTP API as a first-party caller sees it: every request signed with IAM credentials (SigV4).

    They are the cloud's own, unless those of a role's session are given.
    """

    def __init__(self, cloud: CloudInfo, url: str, credentials: Credentials | None = None) -> None:
        self._url = url
        self._gateway = cloud.gateway_url
        self._http = urllib3.PoolManager(retries=False, timeout=TIMEOUT)
        self._credentials = credentials or Credentials(cloud.aws_access_key_id, cloud.aws_secret_access_key)
        self._region = cloud.aws_region

    def post(self, path: str, body: dict[str, Any]) -> Answer:
        """Send a signed POST with a JSON body."""
        return self._signed("POST", path, body)

    def get(self, path: str) -> Answer:
        """Send a signed GET."""
        return self._signed("GET", path, None)

    def put(self, path: str, body: dict[str, Any]) -> Answer:
        """Send a signed PUT with a JSON body."""
        return self._signed("PUT", path, body)

    def delete(self, path: str, body: dict[str, Any] | None = None) -> Answer:
        """Send a signed DELETE, with a JSON body if one is given."""
        return self._signed("DELETE", path, body)

    def unsigned_post(self, path: str, body: dict[str, Any]) -> Answer:
        """Send a POST without a signature, as a stranger on the internet would."""
        return _request(self._http, "POST", self._url + path, body)

    def consent(self, party: str, state: str, scope: str = "manage") -> Answer:
        """Report a consent, or a no, that somebody gave in the application just now."""
        report = {
            "party": party,
            "counterpart": None,
            "scope": scope,
            "state": state,
            "method": "in_app",
            "notice": {
                "id": "app:booking",
                "version": 1,
                "language": "en",
                "sha256": sha256(NOTICE_TEXT.encode()).hexdigest(),
            },
            "evidence": {"screen": "booking", "action": "ticked"},
            "occurred_at": datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
            "source_event_id": f"app-{uuid.uuid4()}",
        }
        return self.post("/v1/consents", report)

    def break_function(self, name: str, mode: str = "error") -> None:
        """Make the function whose name holds `name` fail on every request until `mend_functions`."""
        _request(self._http, "POST", self._gateway + "/_sim/faults", {"function": name, "mode": mode})

    def mend_functions(self) -> None:
        """End every injected fault."""
        _request(self._http, "DELETE", self._gateway + "/_sim/faults", None)

    def settle(self) -> None:
        """Wait until no message of a queue and no record of a stream waits for its first attempt.

        Raises UserError when that takes longer than half a minute.
        """
        answer = _request(self._http, "POST", self._gateway + "/_sim/settle", None)
        if answer.status != 204:
            raise UserError("the functions of the local cloud are still at work after half a minute: see its log")

    def _signed(self, method: str, path: str, body: dict[str, Any] | None) -> Answer:
        data = json.dumps(body).encode() if body is not None else b""
        request = AWSRequest(method, self._url + path, data=data, headers={"content-type": "application/json"})
        SigV4Auth(self._credentials, "execute-api", self._region).add_auth(request)
        return _request(self._http, method, self._url + path, data, dict(request.headers.items()))


def _request(
    http: urllib3.PoolManager,
    method: str,
    url: str,
    body: dict[str, Any] | bytes | None,
    headers: dict[str, str] | None = None,
) -> Answer:
    data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    try:
        response = http.request(method, url, body=data, headers=headers or {"content-type": "application/json"})
    except urllib3.exceptions.HTTPError as error:
        raise UserError(
            f"no answer from the local cloud ({type(error).__name__}): see its log, "
            "or start it again with `parley local up`"
        ) from None
    try:
        return Answer(response.status, json.loads(response.data) if response.data else {})
    except ValueError:
        return Answer(response.status, {"text": response.data.decode(errors="replace")[:200]})
