"""How many numbers a Proxy service takes (https://www.twilio.com/docs/proxy/proxy-limits)."""

from __future__ import annotations

from typing import Final

MOST: Final = {"reserved": 5000, "unreserved": 500}
"""By whether a number is reserved; only from those that are not does Proxy pick one."""
