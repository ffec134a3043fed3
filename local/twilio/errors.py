"""Twilio's error codes as this emulator uses them, and the exception that carries one.

Which HTTP status the real Proxy answers for each 80xxx is not documented, except 409 for 80623
(https://www.twilio.com/docs/api/errors/80623); the rest is 400 here, as the Proxy pages suggest for warnings.
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Code(NamedTuple):
    """One line of the catalogue: the HTTP status, the debugger's log level, and the message."""

    status: int
    level: str
    message: str


CODES: Final[dict[int, Code]] = {
    11200: Code(502, "error", "HTTP retrieval failure"),
    11751: Code(400, "error", "Media exceeds the size or type that the recipient can be sent"),
    12100: Code(502, "error", "Document parse failure"),
    12200: Code(502, "warning", "Schema validation warning"),
    12300: Code(502, "error", "Invalid Content-Type"),
    13214: Code(400, "warning", "Dial: Invalid callerId value"),
    16101: Code(400, "warning", "Voice Recording: Unavailable because duration is too short"),
    16102: Code(400, "warning", "Voice Recording: Unavailable because recording is silent"),
    16108: Code(400, "error", "Voice Recording: Request failed due to concurrent recordings"),
    16114: Code(408, "error", "Voice Recording: Resource not in a state to accept recording action request"),
    20101: Code(401, "error", "Invalid Access Token"),
    20104: Code(401, "error", "Access Token expired or expiration date invalid"),
    20001: Code(400, "error", "Invalid parameter"),
    20003: Code(401, "error", "Authenticate"),
    20004: Code(405, "error", "Method not allowed"),
    20009: Code(409, "error", "Resource not complete: wait at least 1 minute and delete again"),
    20403: Code(403, "error", "Forbidden"),
    20404: Code(404, "error", "The requested resource was not found"),
    20429: Code(429, "error", "Too Many Requests"),
    20500: Code(500, "error", "Internal Server Error"),
    21205: Code(400, "error", "Invalid URL"),
    21210: Code(400, "error", "'From' phone number not verified"),
    21211: Code(400, "error", "Invalid 'To' phone number"),
    21220: Code(400, "error", "Unable to update record: call is not in the expected state"),
    21421: Code(400, "error", "PhoneNumber is invalid"),
    21422: Code(400, "error", "PhoneNumber is not available"),
    21452: Code(400, "error", "No phone numbers found in the area code"),
    21710: Code(409, "error", "Phone Number or Short Code is already in the Messaging Service."),
    21712: Code(409, "error", "Phone Number or Short Code is associated with another Messaging Service"),
    21602: Code(400, "error", "Message body is required"),
    21606: Code(400, "error", "The 'From' phone number is not a message-capable number of this account"),
    21610: Code(400, "warning", "Attempt to send to unsubscribed recipient"),
    21617: Code(400, "error", "The message body exceeds the 1600 character limit"),
    21623: Code(400, "error", "Number of media files exceeds the limit of 10"),
    21631: Code(400, "error", "Phone number requires an Address but the 'AddressSid' parameter was empty"),
    50076: Code(400, "error", "Webhook failed to execute successfully due to timeout"),
    50353: Code(409, "error", "Conversation with provided unique name already exists"),
    50377: Code(400, "error", "Can't update conversation as it's in final closed state"),
    50384: Code(400, "error", "Initial state can't be 'closed'"),
    50407: Code(400, "error", "Invalid messaging binding proxy address"),
    50416: Code(409, "error", "A binding for this participant and proxy address already exists"),
    50433: Code(409, "error", "Participant already exists"),
    53105: Code(400, "error", "Participants limit exceeded"),
    53112: Code(400, "error", "Invalid room status"),
    53113: Code(400, "error", "Room exists"),
    53118: Code(400, "error", "Room completed"),
    53120: Code(400, "error", "Invalid Recording rule(s)"),
    53628: Code(400, "error", "Room recordings deleted"),
    59000: Code(400, "error", "Validation Error"),
    59003: Code(404, "error", "Resource Not Found"),
    59004: Code(429, "error", "Too Many Requests"),
    59100: Code(409, "error", "Resource Is Still In Use"),
    59102: Code(409, "error", "Transaction Conflict"),
    59103: Code(409, "error", "Resource Already Exists"),
    59200: Code(400, "error", "Account Limit Reached"),
    59201: Code(400, "error", "Referenced Resource Not Found"),
    59202: Code(400, "error", "Security Guardrail Violation"),
    80103: Code(400, "error", "Participant has already been added to Session"),
    80201: Code(400, "warning", "No voice-capable proxy number is available"),
    80202: Code(400, "warning", "No message-capable proxy number is available"),
    80203: Code(400, "error", "No proxy number for the participant's country"),
    80205: Code(400, "warning", "The proxy number pool is empty"),
    80206: Code(400, "warning", "No compatible proxy number is left for this participant"),
    80402: Code(400, "warning", "Invalid Identifier or ProxyIdentifier"),
    80601: Code(400, "warning", "Proxy number not available"),
    80602: Code(400, "warning", "Service UniqueName must be unique"),
    80603: Code(400, "error", "Session UniqueName must be unique"),
    80604: Code(400, "warning", "Proxy Identifier already in use with that Identifier"),
    80607: Code(400, "warning", "Session is closed"),
    80608: Code(400, "error", "Session status transition not supported"),
    80609: Code(400, "warning", "Session already has the maximum of 2 participants"),
    80623: Code(409, "error", "Participant is being added to another Session at the same time"),
    80624: Code(400, "warning", "Proxy number pool is at or near its limit"),
    80901: Code(400, "warning", "Opt-in or opt-out keyword message not forwarded"),
    80902: Code(400, "error", "Inbound interaction with no active Session"),
    80904: Code(400, "warning", "Session expired"),
    80905: Code(400, "warning", "Unknown scenario: no Session and no valid out-of-session answer"),
    80908: Code(400, "warning", "Error calling a callback URL"),
    80909: Code(400, "warning", "Interaction aborted by the intercept callback"),
}


_OWN: Final = {20001: 59000, 20404: 59003, 20429: 59004}
"""What webhooks.twilio.com calls by codes of its own."""


class TwilioError(Exception):
    """An answer of Twilio's REST API that is not a success.

    `code` is Twilio's own number, `status` the HTTP status (default: the catalogue's), `detail` what was wrong in
    this case; it names the parameter or the SID, never a phone number or a message body.
    """

    def __init__(self, code: int, detail: str = "", *, status: int | None = None) -> None:
        known = CODES[code]
        self.code = code
        self.status = status or known.status
        self.detail = detail
        self.message = f"{known.message}: {detail}" if detail else known.message
        super().__init__(self.message)

    def body(self) -> dict[str, object]:
        """Return the JSON error body that every product but webhooks.twilio.com uses."""
        return {
            "code": self.code,
            "message": self.message,
            "more_info": more_info(self.code),
            "status": self.status,
        }

    def problem(self) -> dict[str, object]:
        """Return the error body of webhooks.twilio.com, after RFC 9457."""
        code = _OWN.get(self.code, self.code)
        title = CODES[code].message
        return {
            "type": more_info(code),
            "title": title,
            "status": self.status,
            "detail": self.detail or title,
            "code": code,
        }


def more_info(code: int) -> str:
    """Return the address of Twilio's page on an error code."""
    return f"https://www.twilio.com/docs/errors/{code}"
