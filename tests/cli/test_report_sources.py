"""Where the report reads from: an exported state and a stack file, without a cloud, and how each mistake is told."""

from __future__ import annotations

import datetime as dt
import functools
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from cli import report, report_forms, report_sources
from cli.errors import CANNOT_TELL, UserError
from cli.planned import filled, planned
from cli.requirements import requirements
from infra.settings import SettingsError, load
from tests.cli.declarations import TIME, declaration

ROOT = Path(__file__).resolve().parents[2]
NOW = dt.datetime(2026, 12, 1, tzinfo=dt.UTC)


def export(outputs: dict[str, Any] | None, *, project: str = "parley", stack: str = "prod") -> dict[str, Any]:
    """Return an exported state; without outputs nothing is deployed in it."""
    root = {
        "urn": f"urn:pulumi:{stack}::{project}::pulumi:pulumi:Stack::{project}-{stack}",
        "type": "pulumi:pulumi:Stack",
        "outputs": outputs,
    }
    manifest = {"time": "2026-11-20T12:30:00.123456789Z", "magic": "", "version": ""}
    return {"version": 3, "deployment": {"manifest": manifest, "resources": None if outputs is None else [root]}}


def told(call: Any, *arguments: Any) -> str:
    """Return the one message of a mistake, which must leave the exit code for "cannot be told"."""
    with pytest.raises(UserError) as caught:
        call(*arguments)
    assert caught.value.exit_code == CANNOT_TELL
    return str(caught.value)


class TestExport:
    """A file of `pulumi stack export`."""

    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        """Give a path for the file."""
        return tmp_path / "export.json"

    def test_time_and_commit_are_those_of_the_file(self, file: Path) -> None:
        """The report of an export is as of the moment it was taken, and names the commit that was deployed."""
        file.write_text(json.dumps(export({"declaration": declaration(), "commit": "45d85f2"})))
        declared, origin = report_sources.from_export(file, NOW)
        assert declared == declaration()
        assert (origin.source, origin.commit) == (report.Source.EXPORT, "45d85f2")
        assert origin.time.replace(microsecond=0) == TIME

    def test_without_a_commit_it_is_unknown(self, file: Path) -> None:
        """An export of a stack whose deployment told no commit still reports."""
        file.write_text(json.dumps(export({"declaration": declaration()})))
        assert report_sources.from_export(file, NOW)[1].commit == report.UNKNOWN

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"deployment": {"resources": 5}}', "no JSON", '{"deployment": 1}']
    )
    def test_no_export(self, file: Path, text: str) -> None:
        """A file that is no exported state is named with the command that makes one."""
        file.write_text(text)
        said = told(report_sources.from_export, file, NOW)
        assert str(file) in said
        assert "pulumi stack export" in said

    def test_no_file(self, file: Path) -> None:
        """A file that is not there is told as that."""
        assert "No such file" in told(report_sources.from_export, file, NOW)

    def test_nothing_is_deployed(self, file: Path) -> None:
        """The export of a stack that was never deployed says so."""
        file.write_text(json.dumps(export(None)))
        assert "nothing is deployed" in told(report_sources.from_export, file, NOW)

    def test_of_another_project(self, file: Path) -> None:
        """The export of another project is told with both names."""
        file.write_text(json.dumps(export({"url": "x"}, project="shop")))
        assert "of the project 'shop', not of 'parley'" in told(report_sources.from_export, file, NOW)

    def test_of_another_stack_than_was_named(self, file: Path) -> None:
        """A stack that is named beside an export must be the exported one."""
        file.write_text(json.dumps(export({"declaration": declaration()})))
        assert report_sources.from_export(file, NOW, "prod")[0] == declaration()
        assert "of the stack 'prod', not of 'dev'" in told(report_sources.from_export, file, NOW, "dev")

    def test_without_a_declaration(self, file: Path) -> None:
        """A stack that declares nothing is told apart from one that keeps nothing."""
        file.write_text(json.dumps(export({"url": "x"})))
        assert "no output 'declaration'" in told(report_sources.from_export, file, NOW)

    @pytest.mark.parametrize(
        ("declared", "message"),
        [
            ([{"class": "messages"}], "older Parley"),
            ({"classes": []}, "older Parley"),
            ({"version": 2}, "newer Parley"),
        ],
    )
    def test_of_another_form(self, file: Path, declared: Any, message: str) -> None:
        """A declaration of another form is refused with the way out, not half read."""
        file.write_text(json.dumps(export({"declaration": declared})))
        assert message in told(report_sources.from_export, file, NOW)


class TestTime:
    """The moment of a report."""

    def test_is_now_unless_told(self) -> None:
        """Without SOURCE_DATE_EPOCH the report is of now, with it of that second."""
        assert report_sources.moment({}, NOW) == NOW
        assert report_sources.moment({"SOURCE_DATE_EPOCH": "1795869000"}, NOW) == dt.datetime.fromtimestamp(
            1795869000, dt.UTC
        )

    @pytest.mark.parametrize("text", ["yesterday", "1e99", "9" * 30])
    def test_that_is_none(self, text: str) -> None:
        """A SOURCE_DATE_EPOCH that is no second is told with the way out."""
        assert "whole seconds since 1970" in told(report_sources.moment, {"SOURCE_DATE_EPOCH": text}, NOW)


class TestExemptions:
    """The policy pack's exemptions, as the report reads them."""

    def test_those_of_the_repository_are_sound(self) -> None:
        """The committed exemptions can be read today."""
        assert isinstance(report_sources.exempted(dt.datetime.now(dt.UTC).date()), tuple)

    def test_unsound_one_is_told(self, tmp_path: Path) -> None:
        """An exemption without a reason is one message that names the file and the key."""
        file = tmp_path / "exemptions.yaml"
        file.write_text("- {check: x, resource: y, owner: z, expires: 2026-12-02}\n")
        said = told(report_sources.exempted, NOW.date(), file)
        assert str(file) in said
        assert "exemptions[0].reason" in said


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """Give a copy of the committed project and stack files, for a test to edit."""
    for file in ROOT.glob("Pulumi*.yaml"):
        shutil.copy(file, tmp_path)
    return tmp_path


def change(project: Path, stack: str, **values: Any) -> None:
    """Set keys of a stack file."""
    file = project / f"Pulumi.{stack}.yaml"
    content = yaml.safe_load(file.read_text())
    content["config"] |= {f"parley:{key}": value for key, value in values.items()}
    file.write_text(yaml.safe_dump(content))


@functools.cache
def previewed(stack: str) -> report_sources.Read:
    """Preview a committed stack file once."""
    return planned(stack, NOW)


class TestPreview:
    """What a stack file would declare, before anything is deployed."""

    @pytest.mark.parametrize("stack", ["local", "dev", "staging"])
    def test_committed_stacks_can_be_previewed(self, stack: str) -> None:
        """A committed stack file with placeholders declares every class with its places, without an engine."""
        declared, origin = previewed(stack)
        assert (declared["stack"], origin.source) == (stack, report.Source.PREVIEW)
        made = report.build(declared, origin)
        assert len(made.classes) >= 11
        assert all(each.places for each in made.classes)

    def test_twice_is_the_same(self) -> None:
        """A second preview in one process declares exactly the same."""
        assert planned("dev", NOW) == previewed("dev")

    def test_names_that_only_a_deployment_makes_are_marked(self) -> None:
        """A made-up name is never shown as a real one; names that the program itself gives are."""
        declared, _ = previewed("dev")
        names = {store["name"] for each in declared["classes"] for store in each["stores"]}
        assert "made by the deployment (content)" in names
        assert "/aws/lambda/parley-dev-intercept" in names
        assert not any(name.startswith(("arn:", "KS")) for name in names)

    def test_placeholders_are_told_as_gaps(self) -> None:
        """Each key that still holds a placeholder is listed, and the text shows what belongs there."""
        declared, origin = previewed("staging")
        assert {"parley:controller.name", "parley:twilioApiKey", "parley:numbers.adopt[1]"} <= set(origin.gaps)
        assert declared["controller"]["name"] == "YOUR-COMPANY"
        assert "REPLACE-" not in json.dumps(declared)

    def test_undecided_lock_is_told_as_the_preview_tells_it(self) -> None:
        """The committed production file waits for a decision, and the report says which."""
        said = told(planned, "prod", NOW)
        assert "parley:records.consent-evidence.lock: is compliance" in said
        assert "parley:protection.complianceLockCannotBeUndone: true" in said

    def test_mistakes_in_the_records_are_the_settings_own_message(self, project: Path) -> None:
        """A mistake in `parley:records` is told word for word as the program tells it."""
        records = yaml.safe_load((project / "Pulumi.dev.yaml").read_text())["config"]["parley:records"]
        del records["messages"]["keepDays"]
        records["nonsense"] = {}
        change(project, "dev", records=records)
        raw, _ = filled({"records": records} | _config(project, "dev"))
        with pytest.raises(SettingsError) as caught:
            load(raw, stack="dev")
        assert told(planned, "dev", NOW, project) == f"Pulumi.dev.yaml: {caught.value}"
        assert "parley:records.messages.keepDays" in str(caught.value)

    def test_placeholder_that_decides_what_is_declared_is_no_gap(self, project: Path) -> None:
        """A placeholder anywhere else than in a name stops the report, as it stops the preview."""
        change(project, "dev", session={"ttl": "REPLACE-WITH-SECONDS", "mode": "voice-and-message"})
        assert "parley:session.ttl" in told(planned, "dev", NOW, project)

    def test_decided_production_is_previewed(self, project: Path) -> None:
        """Once the lock is decided, the production file declares it."""
        protection = yaml.safe_load((project / "Pulumi.prod.yaml").read_text())["config"]["parley:protection"]
        change(project, "prod", protection=protection | {"complianceLockCannotBeUndone": True})
        made = report.build(*planned("prod", NOW, project))
        assert {each.lock for each in made.classes} == {"none", "compliance"}

    def test_encrypted_secrets_need_no_key(self, project: Path) -> None:
        """A stack file whose secrets are set, and encrypted, is read without the key."""
        change(project, "dev", twilioApiSecret={"secure": "v1:abc"}, twilioAuthToken={"secure": "v1:def"})
        assert planned("dev", NOW, project)[0]["stack"] == "dev"

    def test_secret_in_clear_is_told_and_not_shown(self, project: Path) -> None:
        """A secret that lies in the file in clear is a mistake here too, and no message shows it."""
        change(project, "dev", twilioAuthToken="in-clear-by-mistake")
        said = told(planned, "dev", NOW, project)
        assert "parley:twilioAuthToken: is stored in clear text" in said
        assert "in-clear-by-mistake" not in said

    @pytest.mark.parametrize("keys", [{"secure": "v1:abc"}, {f"webhooks_sharedkey_{'0' * 26}": {"secure": "v1:abc"}}])
    def test_shared_key_that_signs_is_taken_for_known(self, project: Path, keys: Mapping[str, Any]) -> None:
        """The secrets of SharedKeys are made up as other secrets are, however they were set."""
        key, profile = (f"webhooks_{kind}_{'0' * 26}" for kind in ("sharedkey", "authprofile"))
        signature = {"type": "SHARED_KEY", "sharedKeyId": key}
        change(project, "dev", webhooks={"authProfileId": profile, "signature": signature}, twilioSharedKeys=keys)
        assert planned("dev", NOW, project)[0]["stack"] == "dev"

    def test_reserved_number_stays_an_adopted_one(self) -> None:
        """Equal placeholders become the same number, different ones different numbers."""
        one, two = "REPLACE-WITH-A", "REPLACE-WITH-B"
        raw, gaps = filled({"numbers": {"adopt": [one, two], "reserved": [two]}})
        assert raw["numbers"]["reserved"] == raw["numbers"]["adopt"][1:]
        assert len(set(raw["numbers"]["adopt"])) == 2
        assert gaps == ["parley:numbers.adopt[0]", "parley:numbers.adopt[1]", "parley:numbers.reserved[0]"]

    def test_no_such_stack(self, project: Path) -> None:
        """A stack without a file is told with the files that there are."""
        assert "Pulumi.staging.yaml" in told(planned, "live", NOW, project)

    @pytest.mark.parametrize("text", ["config: [", "- a", "config: 5", ""])
    def test_broken_stack_file(self, project: Path, text: str) -> None:
        """A stack file that is no mapping of keys is one message with its name."""
        (project / "Pulumi.dev.yaml").write_text(text)
        assert "Pulumi.dev.yaml" in told(planned, "dev", NOW, project)


def _config(project: Path, stack: str) -> dict[str, Any]:
    config = yaml.safe_load((project / f"Pulumi.{stack}.yaml").read_text())["config"]
    return {key.removeprefix("parley:"): value for key, value in config.items() if key.startswith("parley:")}


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own, which tells at its end what heavy modules it loaded."""
    code = (
        "import sys\nfrom cli import main\nsys.argv = ['parley', *sys.argv[1:]]\n"
        "try:\n    main.main()\nfinally:\n"
        "    print([m for m in ('pulumi', 'boto3', 'moto', 'grpc') if m in sys.modules], file=sys.stderr)"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


class TestCommand:
    """`parley report` from a file, in a process of its own."""

    @pytest.fixture
    def exported(self, tmp_path: Path) -> Path:
        """Give an exported state."""
        file = tmp_path / "export.json"
        file.write_text(json.dumps(export({"declaration": declaration()})))
        return file

    def test_export_loads_no_cloud_library(self, exported: Path) -> None:
        """A report of an export starts without Pulumi's and AWS's libraries."""
        ended = run("report", "--export", str(exported))
        assert (ended.returncode, ended.stderr.strip()) == (0, "[]")

    def test_same_input_gives_the_same_bytes(self, exported: Path) -> None:
        """Another process prints the same of an export, and of a stack file, too, with SOURCE_DATE_EPOCH."""
        assert run("report", "--export", str(exported)).stdout == run("report", "--export", str(exported)).stdout
        epoch = str(int(NOW.timestamp()))
        told = run("report", "--preview", "--stack", "dev", "--format", "json", SOURCE_DATE_EPOCH=epoch).stdout
        here = report.build(*previewed("dev"), requirements=requirements())
        assert told == report_forms.to_json(replace(here, commit=json.loads(told)["commit"]))

    def test_writes_a_file(self, exported: Path, tmp_path: Path) -> None:
        """With --out the form is written there whole, and nothing is printed but where it is."""
        file = tmp_path / "report.html"
        ended = run("report", "--export", str(exported), "--format", "html", "--out", str(file))
        assert (ended.returncode, ended.stdout) == (0, "")
        assert f"written: {file}" in ended.stderr
        assert file.read_text().endswith("</html>\n")

    def test_file_that_cannot_be_written(self, exported: Path, tmp_path: Path) -> None:
        """A place where nothing can be written is told in one message."""
        ended = run("report", "--export", str(exported), "--out", str(tmp_path / "no" / "report.md"))
        assert ended.returncode == 1
        assert "No such file or directory" in ended.stderr
        assert "Traceback" not in ended.stderr

    def test_two_sources_are_refused(self, exported: Path) -> None:
        """An export and a preview at once are wrong usage."""
        ended = run("report", "--preview", "--export", str(exported))
        assert ended.returncode == CANNOT_TELL
        assert "two sources" in ended.stderr
