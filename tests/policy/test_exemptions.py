"""Exemptions: what somebody answers for is not reported, stays listable, and has an end."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from policy import exemptions
from policy.checks import CHECKS
from policy.exemptions import Exemption, Exemptions
from policy.review import lines, main
from policy.rules import Finding, judged
from tests.policy.recorded import deployment, put

TODAY = dt.date(2026, 11, 25)
IDS = [check.id for check in CHECKS]
QUEUE = "aws:sqs/queue:Queue"
UNTAGGED = put(QUEUE, "intercept", "tags", {})
ENTRY = """
- check: resource-tagged
  resource: aws:sqs/queue:Queue/inter*
  reason: "the team's own tags come in January"
  owner: platform@example.com
  expires: 2027-01-31
"""


def entry(**changed: str | None) -> str:
    """Return a list of one entry with these keys changed; None takes one away."""
    kept = [line for line in ENTRY.strip().splitlines() if line[2:].partition(":")[0] not in changed]
    made = [f"  {key}: {value}" for key, value in changed.items() if value is not None]
    return "-\n" + "\n".join([f"  {line[2:]}" for line in kept] + made)


def parsed(text: str) -> Exemptions:
    """Read exemptions as of today."""
    return exemptions.parse(text, IDS, TODAY)


class TestParse:
    """What the file may hold."""

    def test_shipped_file_is_sound_and_empty(self) -> None:
        """Every stack of this repository passes without any exemption."""
        text = Path(exemptions.__file__).with_name("exemptions.yaml").read_text()
        assert parsed(text) == Exemptions()

    def test_entry_is_read(self) -> None:
        """An entry has its place, and says what, where, why, who and until when."""
        assert parsed(ENTRY).listed == (
            Exemption(
                "exemptions[0]",
                "resource-tagged",
                "aws:sqs/queue:Queue/inter*",
                "the team's own tags come in January",
                "platform@example.com",
                dt.date(2027, 1, 31),
            ),
        )

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            (entry(check="no-such"), "exemptions[0].check: is 'no-such', which is no check"),
            (entry(check=None), "exemptions[0].check: is missing or no text"),
            (entry(reason=None), "exemptions[0].reason: is missing or no text"),
            (entry(reason="' '"), "exemptions[0].reason: is missing or no text"),
            (entry(owner=None), "exemptions[0].owner: is missing or no text"),
            (entry(resource="[a]"), "exemptions[0].resource: is missing or no text"),
            (entry(expires=None), "exemptions[0].expires: is missing or no date"),
            (entry(expires="soon"), "exemptions[0].expires: is missing or no date"),
            (entry(expires="2027-01-31T00:00:00Z"), "exemptions[0].expires: is missing or no date"),
            (entry(expires="2027-12-31"), "exemptions[0].expires: is 2027-12-31, more than 400 days away"),
            (entry(until="2027-01-31"), "exemptions[0].until: is not a key"),
            ("- 1", "exemptions[0]: is not a mapping"),
            ("{}", "exemptions.yaml: is not a list"),
            ("", "exemptions.yaml: is not a list"),
            ("- [", "exemptions.yaml line 1: is not YAML"),
        ],
        ids=[f"entry-{number}" for number in range(15)],
    )
    def test_wrong_entry_is_named_and_exempts_nothing(self, text: str, says: str) -> None:
        """A problem names the place, what is wrong and the way out, in one line, and the entry does not count."""
        found = parsed(text)
        assert found.listed == ()
        assert [str(problem) for problem in found.problems if str(problem).startswith(says)]
        assert all("; " in str(problem) and "\n" not in str(problem) for problem in found.problems)

    def test_farthest_end_is_accepted(self) -> None:
        """An end in exactly 400 days is near enough."""
        assert parsed(entry(expires=str(TODAY + dt.timedelta(days=400)))).problems == ()


class TestJudge:
    """Findings against exemptions."""

    @property
    def findings(self) -> list[Finding]:
        """What is found in a stack with a queue that has no tags."""
        return judged(UNTAGGED(deployment("prod")), CHECKS)

    def test_exempted_finding_is_listed_and_not_reported(self) -> None:
        """What an exemption covers is left out of the findings, and stays with the exemption that covers it."""
        judgement = exemptions.judge(self.findings, parsed(ENTRY).listed, TODAY)
        assert judgement.findings == ()
        assert {finding.name for finding, _ in judgement.exempted} == {"intercept"}
        assert (judgement.unused, judgement.expired) == ((), ())

    @pytest.mark.parametrize(
        "changed", [{"resource": "aws:sqs/queue:Queue/other"}, {"check": "queue-retention"}], ids=["resource", "check"]
    )
    def test_other_finding_is_reported(self, changed: dict[str, str]) -> None:
        """An exemption of another check or resource covers nothing, and is told to be unused."""
        judgement = exemptions.judge(self.findings, parsed(entry(**changed)).listed, TODAY)
        assert len(judgement.findings) == 3
        assert len(judgement.unused) == 1

    def test_last_day_counts(self) -> None:
        """An exemption holds on its last day; the day after, it exempts nothing and is itself told."""
        listed = parsed(ENTRY).listed
        last = dt.date(2027, 1, 31)
        assert exemptions.judge(self.findings, listed, last).findings == ()
        after = exemptions.judge(self.findings, listed, last + dt.timedelta(days=1))
        assert len(after.findings) == 3
        assert after.expired == listed
        assert after.unused == ()


class TestReview:
    """The reviewer's list."""

    def told(self, text: str, today: dt.date = TODAY) -> dict[str, bool]:
        """Return the first words of the lines for a stack with a finding, and whether each stops an update."""
        found = lines(UNTAGGED(deployment("prod")), exemptions.parse(text, IDS, TODAY), today)
        return {line.split()[0]: stops for stops, line in found if not line.startswith(str(len(CHECKS)))}

    def test_finding_stops_an_update(self) -> None:
        """A mandatory finding that nobody answers for stops it."""
        assert self.told("[]") == {"found": True}

    def test_exempted_finding_is_shown_with_its_owner(self) -> None:
        """What is exempted is shown and stops nothing."""
        assert self.told(ENTRY) == {"exempted": False}
        shown = [line for _, line in lines(UNTAGGED(deployment("prod")), parsed(ENTRY), TODAY)]
        assert "until 2027-01-31, for platform@example.com" in shown[0]

    def test_expired_and_wrong_exemptions_stop_an_update(self) -> None:
        """An exemption that is over, or that cannot be read, is as bad as a finding."""
        assert self.told(ENTRY, dt.date(2027, 2, 1)) == {"found": True, "expired": True}
        assert self.told(entry(owner=None)) == {"found": True, "wrong": True}

    def test_unused_exemption_is_shown(self) -> None:
        """An exemption without a finding is shown, so that somebody takes it away."""
        assert self.told(entry(check="queue-retention")) == {"found": True, "unused": False}

    def test_export_is_reviewed(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """The command reads an export, prints what it finds and ends with 1; an empty stack passes with 0."""
        empty, bad = tmp_path / "empty.json", tmp_path / "bad.json"
        empty.write_text(json.dumps({"deployment": {"resources": []}}))
        bucket = {"urn": "urn:pulumi:a::b::aws:s3/bucket:Bucket::c", "type": "aws:s3/bucket:Bucket"}
        bad.write_text(json.dumps({"deployment": {"resources": [bucket]}}))
        assert main([str(empty)]) == 0
        assert main([str(bad)]) == 1
        assert "found     bucket-versioned: aws:s3/bucket:Bucket c: versioning is not set" in capsys.readouterr().out

    @pytest.mark.parametrize("content", [None, "no JSON", "{}"], ids=["missing", "text", "other"])
    def test_other_file_is_refused(
        self, content: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A file that is no export is named in one line, and nothing is claimed of it."""
        file = tmp_path / "file.json"
        if content is not None:
            file.write_text(content)
        assert main([str(file)]) == 2
        said = capsys.readouterr()
        assert said.err.startswith(str(file))
        assert (said.out, said.err.count("\n")) == ("", 1)

    def test_wrong_use_is_told(self, capsys: pytest.CaptureFixture[str]) -> None:
        """Without a file the command says how it is used."""
        assert main([]) == 2
        assert capsys.readouterr().err == "usage: python -m policy.review EXPORT.json\n"
