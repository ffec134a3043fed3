"""`parley consent`: receipts, proof and history from a ledger, and nobody's number on the screen."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar

import boto3
import pytest
from parley.adapters.dynamodb import DynamoLedger
from parley.core.consent import Scope, State
from parley.env import Environment, to_environment
from parley.ports import LedgerError

from cli.consent import party_of, prove, reach
from cli.errors import CANNOT_TELL, DRIFT, OK, UserError
from tests.cli.consent_stage import KEEP_DAYS, NUMBER, SETTINGS, Desk
from tests.mocked_aws import mock_boto3
from tests.unit.chains import ANA, BEN, NOON, event
from tests.unit.memory import StillClock


class TestParty:
    """Whom a command is about."""

    def test_number_user_and_key(self, desk: Desk) -> None:
        """A number and a user id are turned into keys by KMS, a key is taken as it is."""
        assert party_of(NUMBER, desk.identities) == desk.identities.party(NUMBER)
        assert party_of("user:rider-7", desk.identities) == desk.identities.party("user:rider-7")
        assert party_of(ANA, desk.identities) == ANA

    @pytest.mark.parametrize("text", ["2125550111", "+1212555", "rider-7", "user:", ""])
    def test_anything_else_is_told_without_repeating_it(self, desk: Desk, text: str) -> None:
        """What names nobody is one message with the three forms, and what was given is not in it."""
        code, printed, said = desk.run("show", text)
        assert (code, "party key of 64 hex digits" in said) == (CANNOT_TELL, True)
        assert not text or text not in printed + said.replace("user:ID", "").replace("write user:", "")

    def test_standard_input_keeps_it_out_of_the_history(self, desk: Desk) -> None:
        """Given as a dash, the person is read from standard input."""
        desk.ledger.append([event(party=desk.identities.party(NUMBER))])
        code, printed, said = desk.run("show", "-", stdin=f"{NUMBER}\n")
        assert (code, "manage" in printed) == (OK, True)
        assert NUMBER not in printed + said


class TestShow:
    """`parley consent show`."""

    def test_tells_standings_and_records(self, desk: Desk) -> None:
        """It shows where each consent stands and the records that say so, and never the number."""
        party = desk.identities.party(NUMBER)
        desk.ledger.append([event(party=party)])
        desk.ledger.append([event(party=party, state=State.WITHDRAWN, source_event_id="2", counterpart=BEN)])
        code, printed, _ = desk.run("show", NUMBER)
        assert code == OK
        assert "manage given towards the service" in printed
        assert f"manage withdrawn towards {BEN}" in printed
        assert printed.count("R-cr_") == 2
        assert NUMBER not in printed

    def test_json_has_the_whole_records(self, desk: Desk) -> None:
        """For scripts there are the standings as of now and the records as the ledger holds them."""
        desk.ledger.append([event(valid_until=NOON - timedelta(days=1))])
        code, printed, _ = desk.run("show", ANA, "--json")
        told = json.loads(printed)
        assert (code, told["consents"][0]["state"]) == (OK, "expired")
        assert told["records"] == [json.loads(record.to_json()) for record in desk.ledger.records(ANA)]

    def test_nobody(self, desk: Desk) -> None:
        """A person without records has none, which is no error."""
        code, printed, _ = desk.run("show", ANA)
        assert (code, "no records" in printed) == (OK, True)


class TestReceipt:
    """`parley consent receipt`."""

    def test_last_record_as_json(self, desk: Desk) -> None:
        """By default it is the receipt of the last record, as JSON."""
        desk.ledger.append([event()])
        desk.ledger.append([event(source_event_id="2", state=State.WITHDRAWN)])
        code, printed, _ = desk.run("receipt", ANA)
        assert (code, json.loads(printed)["event"]["event_state"]) == (OK, "withdrawn")

    def test_one_record_as_a_page(self, desk: Desk, tmp_path: Path) -> None:
        """A record is chosen by its id or its receipt's, and a page is written where it is wanted."""
        desk.ledger.append([event()])
        desk.ledger.append([event(source_event_id="2")])
        first = desk.ledger.records(ANA)[0]
        page = tmp_path / "receipt.html"
        for wanted in (first.record_id, first.receipt_id):
            code, _, said = desk.run("receipt", ANA, "--record", wanted, "--format", "html", "--out", str(page))
            assert (code, "receipt.html" in said) == (OK, True)
            assert first.receipt_id in page.read_text(encoding="utf-8")

    def test_unknown_record_and_unknown_person(self, desk: Desk, tmp_path: Path) -> None:
        """A record or a person that the ledger does not have, or a file that cannot be written, is one message."""
        code, _, said = desk.run("receipt", ANA)
        assert (code, "no records of this person" in said) == (CANNOT_TELL, True)
        desk.ledger.append([event()])
        code, _, said = desk.run("receipt", ANA, "--record", "cr_0")
        assert (code, "`parley consent show` lists them" in said) == (CANNOT_TELL, True)
        code, _, said = desk.run("receipt", ANA, "--out", str(tmp_path / "none" / "x"))
        assert (code, "No such file" in said) == (1, True)


class TestVerify:
    """`parley consent verify`: what somebody with a console did to the table is found."""

    @staticmethod
    def fill(desk: Desk, people: int = 3) -> None:
        """Let each of some people say four things."""
        for number in range(people):
            for said in range(4):
                state = State.WITHDRAWN if said == 2 else State.GIVEN
                desk.ledger.append(
                    [event(party=f"{number:064x}", source_event_id=str(said), state=state, scope=list(Scope)[said % 2])]
                )

    def test_whole_ledger(self, desk: Desk) -> None:
        """Chains that nobody touched all hold: exit 0, with how many chains and records there are."""
        self.fill(desk, 150)
        code, printed, _ = desk.run("verify", "--all")
        assert (code, "150 chains hold: 600 records" in printed) == (OK, True)

    @pytest.mark.parametrize(
        "harm",
        ["changed", "removed", "cut", "moved", "unreadable", "standing-changed", "standing-removed", "head-moved"],
    )
    def test_every_harm_is_found(self, desk: Desk, harm: str) -> None:
        """A record changed, removed or moved, a standing or a head that says otherwise: exit 7, and whose it is."""
        self.fill(desk)
        party = f"{1:064x}"
        rows = [row for row in desk.dynamo.items("EVENT#") if row["pk"]["S"].endswith(party)]
        (head,) = [row for row in desk.dynamo.items("HEAD") if row["pk"]["S"].endswith(party)]
        standing = next(row for row in desk.dynamo.items("STATE#") if row["pk"]["S"].endswith(party))
        match harm:
            case "changed":
                desk.dynamo.replace({**rows[1], "record": {"S": rows[1]["record"]["S"].replace("given", "refused", 1)}})
            case "removed":
                desk.dynamo.remove(rows[1])
            case "cut":
                desk.dynamo.remove(rows[3])
            case "moved":
                desk.dynamo.replace({**rows[1], "record": rows[2]["record"]})
            case "unreadable":
                desk.dynamo.replace({**rows[1], "record": {"S": "{}"}})
            case "standing-changed":
                desk.dynamo.replace({**standing, "state": {"S": "refused"}})
            case "standing-removed":
                desk.dynamo.remove(standing)
            case "head-moved":
                desk.dynamo.replace({**head, "seq": {"N": "3"}})
        code, printed, _ = desk.run("verify", "--all", "--json")
        told = json.loads(printed)
        assert (code, [each["party"] for each in told["broken"]]) == (DRIFT, [party])
        code, printed, _ = desk.run("verify", party)
        assert (code, "1 of 1 chains do not hold" in printed) == (DRIFT, True)
        assert desk.run("verify", f"{2:064x}")[0] == OK

    def test_beginning_past_its_retention(self, desk: Desk) -> None:
        """A chain whose first records reached the end of their retention holds, and it says how many are gone."""
        self.fill(desk, 1)
        first, second = desk.dynamo.items("EVENT#")[:2]
        desk.dynamo.remove(first)
        desk.dynamo.remove(second)
        code, printed, _ = desk.run("verify", "--all")
        assert (code, "1 chains hold: 2 records, 2 past their retention" in printed) == (OK, True)

    def test_writer_meanwhile_is_no_harm(self, desk: Desk) -> None:
        """A record that is appended while a chain is read is not taken for harm."""
        self.fill(desk, 1)
        party = f"{0:064x}"
        late: list[object] = []

        class Busy(DynamoLedger):
            def records(self, party: str) -> Any:
                if not late:
                    late.append(desk.ledger.append([event(party=party, source_event_id="late")]))
                return super().records(party)

        busy = Busy(desk.dynamo, "ledger", KEEP_DAYS, StillClock())
        assert prove(busy, party).fault is None

    def test_what_cannot_be_told(self, desk: Desk) -> None:
        """Nobody, everybody and somebody at once, and a person without records are exit 2."""
        assert desk.run("verify")[0] == CANNOT_TELL
        assert desk.run("verify", ANA, "--all")[0] == CANNOT_TELL
        code, _, said = desk.run("verify", ANA)
        assert (code, "no records of this person" in said) == (CANNOT_TELL, True)

    def test_ledger_that_does_not_answer(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        """A ledger that cannot be read is exit 2, never a chain that holds."""

        def down(_self: object) -> None:
            raise LedgerError("DynamoDB: AccessDeniedException")

        monkeypatch.setattr(DynamoLedger, "parties", down)
        code, _, said = desk.run("verify", "--all")
        assert (code, "AccessDeniedException: the ledger cannot be asked" in said) == (CANNOT_TELL, True)


class TestReach:
    """How the command gets to a stack's ledger."""

    AWS: ClassVar[dict[str, str]] = {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": "https://lambda.us-east-1.amazonaws.com",
    }

    def test_knows_what_the_functions_know(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What the function `consents` is set up with is what the command goes by, and who asks is told by AWS."""
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
        monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
        with mock_boto3():
            iam, functions = boto3.client("iam", "us-east-1"), boto3.client("lambda", "us-east-1")
            role = iam.create_role(RoleName="r", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
            functions.create_function(
                FunctionName="parley-consents",
                Runtime="python3.13",
                Role=role,
                Handler="x.y",
                Code={"ZipFile": b"zip"},
                Environment={"Variables": to_environment(**SETTINGS)},
            )
            outputs = {"functions": {"consents": "parley-consents"}, "identityKeyArn": SETTINGS["identity_key"]}
            made = reach(outputs, None)
            assert made.environment == Environment(
                **{**SETTINGS, "proxy_service_sids": (SETTINGS["proxy_service_sids"],)}
            )
            assert made.caller.startswith("arn:aws:")
            with pytest.raises(UserError, match="gone: AWS does not tell how it is set up"):
                reach({**outputs, "functions": {"consents": "gone"}}, None)
            functions.update_function_configuration(FunctionName="parley-consents", Environment={"Variables": {}})
            with pytest.raises(UserError, match="PARLEY_LEDGER_TABLE is not set"):
                reach(outputs, None)

    def test_stack_without_ledger(self) -> None:
        """A stack that was never deployed is told, with the way out."""
        with pytest.raises(UserError, match="no consent ledger: deploy it") as caught:
            reach({}, None)
        assert caught.value.exit_code == CANNOT_TELL

    def test_no_connection(self) -> None:
        """Where AWS cannot be reached, one message says so."""
        nowhere = {**self.AWS, "AWS_ENDPOINT_URL": "http://127.0.0.1:9"}
        with pytest.raises(UserError, match="AWS cannot be asked"):
            reach({"functions": {"consents": "x"}}, nowhere)
