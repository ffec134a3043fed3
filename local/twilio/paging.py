"""Pages of lists in the three styles of Twilio's APIs. The newest record comes first.

A page token carries the counter of the last record shown, so records that come or go meanwhile shift nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import urlencode

from local.twilio.errors import TwilioError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

DEFAULT_SIZE = 50


class Counted(Protocol):
    """A record with its counter."""

    @property
    def seq(self) -> int:
        """The place among all records, by age."""


Record = TypeVar("Record", bound=Counted)


class Page(Generic[Record]):
    """One page: its records, and the query strings of itself and its neighbours."""

    def __init__(self, records: Iterable[Record], query: Mapping[str, Any], largest: int) -> None:
        self.size = min(_number(query, "PageSize", DEFAULT_SIZE, least=1), largest)
        self.number = _number(query, "Page", 0, least=0)
        newest_first: Sequence[Record] = sorted(records, key=lambda record: -record.seq)
        token = query.get("PageToken", "")
        if token:
            self.start = _after(newest_first, "PageToken", token)
        else:
            self.start = self.number * self.size
        self.records = newest_first[self.start : self.start + self.size]
        self._filters = {k: v for k, v in query.items() if k not in {"Page", "PageSize", "PageToken"}}
        self.first = self._query(0)
        self.here = self._query(self.number, token)
        more = self.start + self.size < len(newest_first)
        self.next = self._query(self.number + 1, f"PA{self.records[-1].seq:032x}") if more else None
        before = newest_first[self.start - self.size - 1].seq if self.start > self.size else None
        self.previous = None
        if self.start:
            self.previous = self._query(max(self.number - 1, 0), f"PA{before:032x}" if before else "")

    def _query(self, number: int, token: str = "") -> str:
        query = self._filters | {"PageSize": str(self.size), "Page": str(number)}
        return urlencode(query | ({"PageToken": token} if token else {}), doseq=True)


def v1(
    url: str,
    key: str,
    records: Iterable[Record],
    query: Mapping[str, Any],
    render: Callable[[Record], Any],
    largest: int,
) -> dict[str, Any]:
    """Return a page in the style of the v1 products: the records under `key`, the addresses under `meta`."""
    page = Page(records, query, largest)
    return {
        "meta": {
            "key": key,
            "page": page.number,
            "page_size": page.size,
            "first_page_url": f"{url}?{page.first}",
            "previous_page_url": f"{url}?{page.previous}" if page.previous else None,
            "url": f"{url}?{page.here}",
            "next_page_url": f"{url}?{page.next}" if page.next else None,
        },
        key: [render(record) for record in page.records],
    }


def v2010(
    uri: str, key: str, records: Iterable[Record], query: Mapping[str, str], render: Callable[[Record], Any]
) -> dict[str, Any]:
    """Return a page in the style of api.v2010: relative `*_uri` addresses beside the records."""
    page = Page(records, query, 1000)
    return {
        "page": page.number,
        "page_size": page.size,
        "start": page.start,
        "end": max(page.start + len(page.records) - 1, 0),
        "first_page_uri": f"{uri}?{page.first}",
        "previous_page_uri": f"{uri}?{page.previous}" if page.previous else None,
        "uri": f"{uri}?{page.here}",
        "next_page_uri": f"{uri}?{page.next}" if page.next else None,
        key: [render(record) for record in page.records],
    }


def tokens(
    key: str, records: Iterable[Record], query: Mapping[str, str], render: Callable[[Record], Any], largest: int
) -> dict[str, Any]:
    """Return a page in the style of webhooks.twilio.com: no addresses, but the tokens of the neighbours."""
    size = min(_number(query, "pageSize", DEFAULT_SIZE, least=1), largest)
    newest_first: Sequence[Record] = sorted(records, key=lambda record: -record.seq)
    token = query.get("pageToken", "")
    start = _after(newest_first, "pageToken", token) if token else 0
    shown = newest_first[start : start + size]
    following = f"PA{shown[-1].seq:032x}" if start + size < len(newest_first) else None
    # A page without a token would be no previous page to the official package.
    before = newest_first[start - size - 1].seq if start > size else newest_first[0].seq + 1 if start else None
    previous = None if before is None else f"PA{before:032x}"
    return {
        "meta": {"key": key, "pageSize": size, "nextToken": following, "previousToken": previous},
        key: [render(record) for record in shown],
    }


def _number(query: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = query.get(name)
    if text is None:
        return default
    if not text.isdigit() or int(text) < least:
        raise TwilioError(20001, f"{name} must be a whole number of at least {least}")
    return int(text)


def _after(newest_first: Sequence[Counted], name: str, token: str) -> int:
    """Return the place of the first record after the one that a token names."""
    try:
        last = int(token.removeprefix("PA"), 16)
    except ValueError:
        raise TwilioError(20001, f"{name} is not one of this list's") from None
    return next((i for i, record in enumerate(newest_first) if record.seq < last), len(newest_first))
