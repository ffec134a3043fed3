"""A deployed stack that goes from Proxy to sessions of its own and back, over the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from parley.adapters.proxy_api import preferred
from parley.core.verification import Verdict
from twilio.rest import Client  # type: ignore[import-untyped]

from cli import verify
from cli.demo import RECONCILE_SECONDS
from cli.phones import GateApi, Phones
from cli.stack import LocalStack
from local.engine.events import Result
from local.twilio.client import connect

ANA, BEN = "+12125550181", "+12125550182"
CROWD = tuple(f"+1212555{number:04}" for number in range(150, 180))


@pytest.fixture(scope="module")
def back(stack: LocalStack) -> Iterator[None]:
    """Leave the stack as it was found."""
    yield
    (stack.home.path / "configured").unlink()  # the stack file is made anew, too
    masked_by(stack, "proxy")


def masked_by(stack: LocalStack, masking: str) -> Result:
    """Deploy with one way of masking people."""
    return LocalStack(stack.home, stack.engine, masking=masking, checkpoints=False).deploy()


class People:
    """Ana and Ben, with the application and the account as they are at the moment."""

    def __init__(self, stack: LocalStack) -> None:
        self.cloud = stack.start_cloud()
        self.outputs: dict[str, Any] = stack.workspace().outputs()
        self.phones, self.api = Phones(self.cloud), GateApi(self.cloud, self.outputs["gateUrl"])

    def twilio(self) -> Client:
        """Return a client of the account."""
        cloud = self.cloud
        return connect(cloud.twilio_endpoint, cloud.twilio_api_key, cloud.twilio_api_secret, cloud.twilio_account_sid)

    def agree(self, other: str = BEN) -> None:
        """Let Ana and somebody consent to be connected."""
        for party in (ANA, other):
            assert self.api.consent(party, "given").status in {200, 201}

    def open(self, other: str = BEN) -> tuple[str, str]:
        """Open a session; return its SID and the number that Ana texts."""
        answer = self.api.post("/v1/sessions", {"participants": [{"identifier": each} for each in (ANA, other)]})
        assert answer.status == 201, answer
        return answer.body["session"], answer.body["participants"][0]["masked_number"]

    def reaches(self, number: str, words: str, other: str = BEN) -> bool:
        """Tell whether a text of Ana's reaches the other one."""
        self.phones.sms(ANA, number, words)
        self.phones.settle()
        return words in [each["body"] for each in self.phones.seen_by(other)["messages"]]

    def status_after_a_run(self, session: str) -> str:
        """Return a session's state after the reconciler ran."""
        self.phones.advance_clock(RECONCILE_SECONDS + 1)
        for _ in range(2):
            self.phones.settle()
            self.api.settle()
        return str(self.api.get(f"/v1/sessions/{session}").body["status"])

    def numbers(self) -> set[str]:
        """Return the SIDs of the account's numbers."""
        return {str(each.sid) for each in self.twilio().incoming_phone_numbers.list()}


@pytest.mark.usefixtures("back")
def test_there_and_back(stack: LocalStack) -> None:
    """The numbers stay, sessions of before are cut off and closed, new ones work, and nothing is left to be done."""
    people = People(stack)
    people.agree()
    numbers = people.numbers()
    before, masked = people.open()
    assert people.reaches(masked, "by Proxy")

    changed = masked_by(stack, "direct")
    people = People(stack)
    assert people.outputs["masking"] == "direct"
    assert people.numbers() == numbers
    assert not people.twilio().proxy.v1.services.list()
    assert not people.reaches(masked, "over a session of before")
    assert people.status_after_a_run(before) == "closed"
    own, masked = people.open()
    assert people.reaches(masked, "by the gate itself")
    kinds = {str(step).partition(" ")[0] for step in changed.steps}
    assert not kinds & {"replace"}, kinds
    assert [
        str(step) for step in LocalStack(stack.home, stack.engine, masking="direct", checkpoints=False).deploy().steps
    ] == []

    masked_by(stack, "proxy")
    people = People(stack)
    assert people.outputs["masking"] == "proxy"
    assert people.numbers() == numbers
    assert not people.reaches(masked, "over a session of the gate's own")
    assert people.status_after_a_run(own) == "closed"
    _, masked = people.open()
    assert people.reaches(masked, "by Proxy again")


@pytest.mark.usefixtures("back")
def test_one_pool_more(stack: LocalStack) -> None:
    """A pool more is a service more: sessions open and end there as well, and everything declared of it is true."""
    declared = yaml.safe_load(stack.home.stack_file.read_text())
    order = {"country": "US", "count": 2}
    declared["config"]["parley:additionalPools"] = [{"buy": [order], "releaseOnDelete": True}]
    stack.home.stack_file.write_text(yaml.safe_dump(declared))
    changed = LocalStack(stack.home, stack.engine, checkpoints=False).deploy()
    assert not {step for step in map(str, changed.steps) if step.startswith(("replace", "delete"))}
    people = People(stack)
    first, second = people.outputs["proxyServiceSids"]
    own = {number["sid"] for number in people.outputs["numbers"]}
    assert len(own) == 8
    ben = next(each for each in CROWD if preferred([first, second], [ANA, each])[0] == second)
    people.agree(ben)
    session, masked = people.open(ben)
    service = people.twilio().proxy.v1.services(second)
    assert service.fetch().unique_name == "parley-local-2"
    assert service.sessions(session).fetch().status == "open"
    assert masked in {each.phone_number for each in service.phone_numbers.list()}
    assert people.reaches(masked, "by the second service", ben)
    assert not people.reaches(masked, "stop texting me", ben)
    assert people.status_after_a_run(session) == "closed"
    assert service.sessions(session).fetch().status == "closed"
    clients = verify.clients(people.cloud.aws_environment())
    declaration = people.outputs["declaration"]
    checks = verify.checks(declaration, clients, verify.carrier(declaration, clients, people.cloud))
    assert {each.name for each in checks if each.system == "twilio"} == {first, second}
    assert [each for each in checks if each.verdict is not Verdict.TRUE] == []
