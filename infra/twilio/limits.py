"""What Twilio takes: numbers of a Proxy service, timeouts of webhooks, and the form of their configuration's ids."""

from __future__ import annotations

import re
from typing import Final

MOST: Final = {"reserved": 5000, "unreserved": 500}
"""Numbers of a Proxy service, by whether they are reserved; only from those that are not does Proxy pick one.

https://www.twilio.com/docs/proxy/proxy-limits
"""

TIMEOUTS: Final = {"connectTimeoutMs": 15_000, "readTimeoutMs": 15_000, "totalTimeoutMs": 60_000}
"""The greatest timeouts of a webhook, in ms (docs/usage/webhooks/webhook-settings)."""
LEAST_TIMEOUT: Final = 100
"""The least one, in ms."""

TYPE_ID: Final = re.compile(r"webhooks_[a-z_]+_[0-9a-z]{26}")
"""Ids of the webhooks' configuration: webhooks_, what it is, and 26 characters."""
