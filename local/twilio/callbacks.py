"""Status callbacks of recordings and rooms: what the carrier tells, apart from Proxy's own webhooks.

A product notes what it has to tell while the carrier's lock is held; it goes out afterwards, in the background,
signed, through the sender of all webhooks. A callback that is not answered with 2xx leaves alert 11200 about its
resource and is not repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from local.twilio.webhooks import UNHEARD

if TYPE_CHECKING:
    from local.twilio.carrier import Carrier
    from local.twilio.webhooks import Series, Webhook, Webhooks


@dataclass(frozen=True, slots=True)
class Notice:
    """A webhook to send `about` a resource. Notices of one `thread` may be reordered among each other up to its `last`.

    A webhook of None sends nothing; it only ends its thread.
    """

    about: str
    thread: str
    last: bool
    webhook: Webhook | None


class Callbacks:
    """Moves on what time moves on, and sends what there is to tell. Called without the carrier's lock.

    `processing_seconds` is how long, on the movable clock, a recording of a call that ended is `processing`.
    """

    def __init__(self, carrier: Carrier, webhooks: Webhooks) -> None:
        self.processing_seconds = 0.0
        self._carrier = carrier
        self._webhooks = webhooks
        self._threads: dict[str, Series] = {}

    def settle(self) -> None:
        """Let the products act on the time, and send in the background what there is to tell."""
        with self._carrier.lock:
            notices = self._carrier.settle(self.processing_seconds)
        for notice in notices:
            self._webhooks.later(partial(self._send, notice))

    def forget(self) -> None:
        """Drop what is held back."""
        self._threads.clear()

    def _send(self, notice: Notice) -> None:
        series = self._threads.setdefault(notice.thread, self._webhooks.series())
        replies = [series.send(notice.webhook)] if notice.webhook is not None else []
        if notice.last:
            replies += self._threads.pop(notice.thread).close()
        for reply in replies:
            if notice.webhook is not None and reply is not None and not reply.ok and reply.problem not in UNHEARD:
                account, url = notice.webhook.account_sid, notice.webhook.url
                with self._carrier.lock:
                    self._carrier.alerts.record(11200, account, None, notice.about, request_url=url)
