"""What `parley verify` prints and exits with, and where its Twilio credentials come from."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from parley.adapters.secrets import SecretError
from parley.adapters.twilio import TwilioCarrier
from parley.core.verification import Check, Verdict

from cli import main as command
from cli import verify
from cli.errors import CANNOT_TELL, DRIFT, OK, UserError

SERVICE, SECRET = "KS" + "1" * 32, "arn:aws:secretsmanager:us-east-1:123456789012:secret:twilio"
DECLARATION = {
    "version": 1,
    "resources": [
        {"system": "secretsmanager", "name": SECRET, "expected": {}},
        {"system": "twilio", "name": SERVICE, "expected": {}},
    ],
}


def check(verdict: Verdict, live: Any = 8, **changes: Any) -> Check:
    """Return a check."""
    fix = "" if verdict is Verdict.TRUE else "do something"
    fields = {"system": "s3", "name": "bucket", "property": "versioning", "declared": 7, "live": live} | changes
    return Check(**fields, verdict=verdict, fix=fix)


class TestExitCode:
    """0, 7 and 2."""

    @pytest.mark.parametrize(
        ("verdicts", "code"),
        [
            ([Verdict.TRUE], OK),
            ([Verdict.TRUE, Verdict.DIFFERS], DRIFT),
            ([Verdict.ABSENT], DRIFT),
            ([Verdict.TRUE, Verdict.CANNOT_TELL], CANNOT_TELL),
            ([Verdict.CANNOT_TELL, Verdict.ABSENT, Verdict.TRUE], DRIFT),
            ([], CANNOT_TELL),
        ],
    )
    def test_difference_wins(self, verdicts: list[Verdict], code: int) -> None:
        """A difference exits with 7 whatever else there is, doubt with 2, and nothing at all is no success."""
        assert verify.exit_code([check(verdict) for verdict in verdicts]) == code


class TestText:
    """What a person reads."""

    def test_all_true_is_one_line(self) -> None:
        """When all is true there is nothing to list, and the summary says how much was looked at."""
        found = [check(Verdict.TRUE), check(Verdict.TRUE, name="other")]
        assert verify.lines(found) == []
        assert verify.summary(found, 1.24) == "all true: 2 properties of 2 resources in 1.2 s"

    def test_differences_come_first(self) -> None:
        """Differences come before what cannot be told, each with its fix."""
        found = [check(Verdict.CANNOT_TELL, "s3 GetIt: AccessDenied"), check(Verdict.TRUE), check(Verdict.DIFFERS)]
        verdicts = [(verdict, fix) for verdict, _, fix in verify.lines(found)]
        assert verdicts == [("differs", "do something"), ("cannot tell", "do something")]
        assert verify.summary(found, 1.0).startswith("1 differ, 1 cannot be told, 1 true: 3 properties")

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (True, "yes"),
            (None, "none"),
            ([], "none"),
            (90.0, "90"),
            ({"days": 31, "over": 2}, "days 31, over 2"),
            (["a", "b"], "a, b"),
            ("Enabled", "Enabled"),
        ],
    )
    def test_values(self, value: Any, text: str) -> None:
        """Values read as words; whole numbers of an exported state lose their point."""
        assert verify.shown(value) == text

    def test_line_names_resource_property_and_both_values(self) -> None:
        """One line has the resource, the property, what is declared and what is live."""
        ((_, what, _),) = verify.lines([check(Verdict.DIFFERS)])
        assert what == "s3 bucket versioning: 7 declared, 8 live"

    def test_json_has_every_check(self) -> None:
        """The JSON has all checks, true ones too, and how many there are of each verdict."""
        found = [check(Verdict.TRUE), check(Verdict.DIFFERS)]
        told = json.loads(verify.to_json("prod", found, datetime(2026, 11, 25, tzinfo=UTC)))
        assert told["verdicts"] == {"true": 1, "differs": 1, "absent": 0, "cannot tell": 0}
        assert [each["verdict"] for each in told["checks"]] == ["true", "differs"]
        assert (told["stack"], told["checkedAt"]) == ("prod", "2026-11-25T00:00:00+00:00")


class Refusing:
    """A Secrets Manager that lets nobody read."""

    def get_secret_value(self, **arguments: str) -> dict[str, str]:
        """Answer without what was asked for."""
        assert arguments == {"SecretId": SECRET}
        return {}


class TestCarrier:
    """Twilio's credentials."""

    def test_of_a_real_stack_come_from_its_secret(self) -> None:
        """Without a local cloud the secret that the stack declares is read, and only when Twilio is asked."""
        carrier = verify.carrier(DECLARATION, {"secretsmanager": Refusing()}, None)
        assert isinstance(carrier, TwilioCarrier)
        with pytest.raises(SecretError):
            carrier.read("fetch-service", "proxy.twilio.com", f"/v1/Services/{SERVICE}")

    @pytest.mark.parametrize(
        ("declaration", "said"),
        [
            ({}, "deploy it again"),
            ({"version": 2, "resources": [{}]}, "another version"),
            ({"version": 1, "resources": [{"system": "s3", "name": "b", "expected": {}}]}, "no resource of twilio"),
        ],
    )
    def test_declaration_of_another_form(self, declaration: dict[str, Any], said: str) -> None:
        """A declaration that does not say what must hold ends as one message with the way out."""
        with pytest.raises(UserError, match=said) as caught:
            verify.carrier(declaration, {}, None)
        assert caught.value.exit_code == CANNOT_TELL


class TestCommand:
    """`parley verify` without a running cloud."""

    def test_nothing_runs(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """Without a local cloud nothing can be told, and the message says how to start one."""
        monkeypatch.setenv("PARLEY_HOME", str(tmp_path))
        monkeypatch.setattr("sys.argv", ["parley", "verify"])
        with pytest.raises(SystemExit) as caught:
            command.main()
        said = " ".join(capsys.readouterr().err.split())
        assert (caught.value.code, "parley local up" in said, "Traceback" in said) == (CANNOT_TELL, True, False)
