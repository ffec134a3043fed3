"""A load run of the local cloud: consents, sessions, texts, calls and withdrawals mixed, over the deployed functions.

Each worker takes people who have never met through a whole conversation, one after the other: both consent, a session
opens, they text and sometimes call, one of them takes the consent back in one of three ways, and both go on texting.
While it runs, times are taken; afterwards everything that must hold is looked at (`broken`).
`python -m tests.bench.load` does so on the stack of `parley local up`, over its HTTP API and its phones.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from cli.consent import proven, reach
from cli.errors import UserError
from cli.home import STACK, CloudInfo
from cli.main import deployed
from cli.phones import GateApi, Phones

TEXTS: Final = 4
"""Texts of a conversation before somebody takes a consent back."""
CALLS: Final = 4
"""One of so many conversations has a call."""
WAYS: Final = ("a text", "the application", "the session is closed")
"""How a conversation ends."""


@dataclass(slots=True)
class Conversation:
    """Two people and what they did: the texts that must have arrived, and those that must not, each with its reader."""

    people: tuple[str, str]
    session: str = ""
    way: str = ""
    arrived: list[tuple[str, str]] = field(default_factory=list)
    held_back: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Load:
    """What one run did. `seconds` are of each kind of request; `wrong` are answers that nobody expects."""

    took: float = 0.0
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    conversations: list[Conversation] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)

    def told(self) -> Iterator[dict[str, Any]]:
        """Yield what each kind of request took, in milliseconds, and how many there were a second."""
        for name, each in sorted(self.seconds.items()):
            yield {
                "what": name,
                "count": len(each),
                "a_second": round(len(each) / self.took, 1),
                "p50_ms": round(statistics.median(each) * 1000),
                "p99_ms": round((statistics.quantiles(each, n=100)[98] if len(each) > 1 else each[0]) * 1000),
            }


def run(cloud: CloudInfo, outputs: Mapping[str, Any], *, seconds: float, workers: int, seed: int = 0) -> Load:
    """Let so many workers talk for so many seconds. The same `seed` gives the same people and the same choices."""
    load, crowd, lock = Load(), people(seed), threading.Lock()
    until = time.monotonic() + seconds
    began = time.monotonic()

    def work(number: int) -> None:
        talk = Talk(cloud, outputs, load, random.Random(f"{seed}-{number}"))
        while time.monotonic() < until:
            with lock:
                pair = next(crowd), next(crowd)
            talk.hold(Conversation(pair))

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(work, range(workers)))
    load.took = time.monotonic() - began
    Phones(cloud).settle()
    return load


def people(seed: int) -> Iterator[str]:
    """Yield numbers that are nobody's (555-01xx of many area codes), each once."""
    codes = [code for code in range(201, 990) if code % 100 != 11 and code % 10 != 9]
    random.Random(seed).shuffle(codes)
    for code in codes:
        for line in range(100, 200):
            if f"{code}555{line:04}"[-4:] not in {"0140", "0141", "0142", "0143"}:
                yield f"+1{code}555{line:04}"


class Talk:
    """One worker."""

    def __init__(self, cloud: CloudInfo, outputs: Mapping[str, Any], load: Load, choices: random.Random) -> None:
        self._phones, self._api = Phones(cloud), GateApi(cloud, outputs["gateUrl"])
        self._load, self._choices = load, choices

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self._load.seconds[what].append(time.perf_counter() - began)

    def _expect(self, status: int, what: str, ask: Callable[[], Any]) -> Any:
        with self._timed(what):
            answer = ask()
        if answer.status != status:
            self._load.wrong.append(f"{what}: {answer.status} {answer.body.get('type', '')}")
        return answer.body

    def hold(self, talk: Conversation) -> None:
        """Take two people through a conversation."""
        for party in talk.people:
            self._consent(party, "given")
        wanted = {"participants": [{"identifier": party} for party in talk.people]}
        opened = self._expect(201, "session opened", lambda: self._api.post("/v1/sessions", wanted))
        if "session" not in opened:
            return
        talk.session = opened["session"]
        masked = [one["masked_number"] for one in opened["participants"]]
        for turn in range(TEXTS):
            self._text(talk, masked, turn % 2, talk.arrived)
        if self._choices.randrange(CALLS) == 0:
            with self._timed("call, 10 s of it"):
                connected = self._phones.call(talk.people[0], masked[0])["connected"]
            if not connected:
                self._load.wrong.append("a call of two who consent is not connected")
        talk.way, who = self._choices.choice(WAYS), self._choices.randrange(2)
        if talk.way == "a text":
            with self._timed("withdrawal by text"):
                self._phones.sms(talk.people[who], masked[who], "stop texting me")
        elif talk.way == "the application":
            self._consent(talk.people[who], "withdrawn")
        else:
            path = f"/v1/sessions/{talk.session}"
            self._expect(204, "session closed", lambda: self._api.delete(path))
        for turn in range(2):
            self._text(talk, masked, turn, talk.held_back)
        self._load.conversations.append(talk)

    def _text(self, talk: Conversation, masked: list[str], who: int, kept: list[tuple[str, str]]) -> None:
        words = f"on my way {uuid.uuid4()}"
        with self._timed("text" if kept is talk.arrived else "text that is held back"):
            self._phones.sms(talk.people[who], masked[who], words)
        kept.append((talk.people[1 - who], words))

    def _consent(self, party: str, state: str) -> None:
        self._expect(201, f"consent {state}", lambda: self._api.consent(party, state))


def broken(cloud: CloudInfo, outputs: Mapping[str, Any], load: Load) -> list[str]:
    """Return which of the things that must hold do not, after a run; people are named by their last four digits."""
    phones, api = Phones(cloud), GateApi(cloud, outputs["gateUrl"])
    found = [f"{count} times {what}" for what, count in Counter(load.wrong).items()]
    everybody = {party for talk in load.conversations for party in talk.people}
    for talk in load.conversations:
        for party in talk.people:
            seen = phones.seen_by(party)["messages"]
            inbound = [each["body"] for each in seen if each["direction"] == "inbound"]
            read = Counter(words for words in inbound if words.startswith("on my way"))
            wanted = Counter(words for reader, words in talk.arrived if reader == party)
            if read != wanted:
                found.append(
                    f"…{party[-4:]} read {read.total()} texts, of which {(read - wanted).total()} were not for them or"
                    f" came after a no, and {(wanted - read).total()} of theirs never came ({talk.way})"
                )
            shown = everybody - {party}
            if any(str(value) in shown for each in seen for value in each.values()):
                found.append(f"…{party[-4:]} was shown somebody's number")
        if api.get(f"/v1/sessions/{talk.session}").body.get("status") != "closed":
            found.append(f"the session of …{talk.people[0][-4:]} is open after it ended by {talk.way}")
    reached = reach(outputs, cloud.aws_environment())
    parties = [reached.identities.party(party) for party in everybody]
    faults = [proof.fault for proof in proven(reached.ledger, parties) if proof.fault]
    return found + [f"a chain of consents does not hold: {fault}" for fault in faults]


def main() -> None:
    """Run it on the stack of `parley local up` and print what came of it, as JSON lines; exit 1 if anything broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.load", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="how long to talk (60)")
    parser.add_argument("--workers", type=int, default=4, help="how many conversations at once (4)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="other people than in an earlier run")
    wanted = parser.parse_args()
    try:
        outputs, cloud = deployed(STACK)
        assert cloud is not None  # it is the local stack
        load = run(cloud, outputs, seconds=wanted.seconds, workers=wanted.workers, seed=wanted.seed)
        wrong = broken(cloud, outputs, load)
    except UserError as error:
        raise SystemExit(str(error)) from None
    for line in load.told():
        print(json.dumps(line))  # noqa: T201 - this is its output
    ways = Counter(talk.way for talk in load.conversations)
    said = {"conversations": len(load.conversations), "seconds": round(load.took, 1), **ways, "broken": wrong}
    print(json.dumps(said))  # noqa: T201 - as above
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
