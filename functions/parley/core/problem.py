"""Problem details for HTTP answers (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

MEDIA_TYPE = "application/problem+json"
_NAMESPACE = "urn:parley:problem:"


def problem(name: str, status: int, detail: str, **members: Any) -> dict[str, Any]:
    """Return a problem document. `name` ends its type URN; `members` are the extension members of that type.

    `detail` is for a person and must hold no identifier of one.
    """
    return {
        "type": _NAMESPACE + name,
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        **members,
    }


def invalid(errors: list[dict[str, str]]) -> dict[str, Any]:
    """Return the problem of a body that breaks its contract: each error has a `path` and a `reason`."""
    return problem("invalid-body", 400, "The body breaks the contract of this route; see errors.", errors=errors)
