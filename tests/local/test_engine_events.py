"""Reading the engine's event log."""

from __future__ import annotations

from typing import Any

from local.engine.events import Recorder, Step, clean_output

STACK = "urn:pulumi:dev::shop::pulumi:pulumi:Stack::shop-dev"
BUCKET = "urn:pulumi:dev::shop::shop:Store$aws:s3/bucket:Bucket::content"


def metadata(op: str, urn: str = BUCKET, **more: Any) -> dict[str, Any]:
    """Describe one step as the engine does."""
    return {"op": op, "urn": urn, "type": urn.split("::")[2].rpartition("$")[2], **more}


def diagnostic(severity: str, message: str, urn: str = "", **more: Any) -> dict[str, Any]:
    """Make one diagnostic event."""
    return {"diagnosticEvent": {"severity": severity, "message": message, "urn": urn, **more}}


def test_counts_and_steps_are_the_engines() -> None:
    """Counts come from the summary; steps are what was not left as it was, with the paths that differ."""
    heard: list[tuple[str, bool]] = []
    recorder = Recorder(lambda step, ended: heard.append((step.op, ended)))
    diff = {"rules[0].days": {"diffKind": "update", "inputDiff": True}}
    recorder.take({"resourcePreEvent": {"metadata": metadata("same", STACK)}})
    recorder.take({"resourcePreEvent": {"metadata": metadata("update", detailedDiff=diff)}})
    recorder.take({"resOutputsEvent": {"metadata": metadata("update", detailedDiff=diff)}})
    recorder.take({"summaryEvent": {"resourceChanges": {"same": 1, "update": 1}}})
    result = recorder.result(1.5)
    assert result.steps == (Step("update", BUCKET, "aws:s3/bucket:Bucket", {"rules[0].days": "update"}),)
    assert str(result.steps[0]) == "update aws:s3/bucket:Bucket content (rules[0].days)"
    assert (result.count("update"), result.count("delete"), result.changed, result.duration) == (1, 0, True, 1.5)
    assert heard == [("same", False), ("update", False), ("update", True)]


def test_steps_are_counted_where_there_is_no_summary() -> None:
    """An operation that ended before its summary still tells what it had done."""
    recorder = Recorder()
    recorder.take({"resourcePreEvent": {"metadata": metadata("create")}})
    assert recorder.result(0).changes == {"create": 1}


def test_nothing_changed() -> None:
    """Resources left as they are, read or refreshed are no change."""
    recorder = Recorder()
    recorder.take({"summaryEvent": {"resourceChanges": {"same": 3, "read": 1, "refresh": 1}}})
    assert not recorder.result(0).changed


def test_outputs_hide_secrets() -> None:
    """The stack's outputs are kept as seen, a secret as a word."""
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "[secret]"}
    recorder = Recorder()
    new = {"outputs": {"url": "http://x", "key": secret, "all": [{"k": secret}]}}
    recorder.take({"resOutputsEvent": {"metadata": metadata("same", STACK, new=new)}})
    assert recorder.result(0).outputs == {"url": "http://x", "key": "[secret]", "all": [{"k": "[secret]"}]}


def test_errors_name_the_resource_once_and_without_closing_words() -> None:
    """Each error is told once, with its resource; that the update failed is only told if nothing else is."""
    recorder = Recorder()
    recorder.take(diagnostic("error", "<{%reset%}>bucket is taken<{%reset%}>\n", BUCKET))
    recorder.take(diagnostic("error", "bucket is taken\n", BUCKET))
    recorder.take(diagnostic("error", "set shop:size", STACK))
    recorder.take(diagnostic("error", "update failed"))
    assert recorder.told() == ["aws:s3/bucket:Bucket content: bucket is taken", "set shop:size"]
    alone = Recorder()
    alone.take(diagnostic("error", "update failed"))
    assert alone.told() == ["update failed"]


def test_warnings_are_kept_and_noise_is_not() -> None:
    """Warnings are the program's and the engine's; remarks on plugins on PATH, debug and passing ones are not kept."""
    recorder = Recorder()
    recorder.take(diagnostic("warning", "using pulumi-resource-aws from $PATH at /x/pulumi-resource-aws"))
    recorder.take(diagnostic("warning", "using pulumi-language-python from $PATH at /x/pulumi-language-python"))
    recorder.take(diagnostic("warning", "installing", ephemeral=True))
    recorder.take(diagnostic("debug", "registering"))
    recorder.take(diagnostic("info", "hello"))
    recorder.take(diagnostic("warning", "mind this", STACK))
    assert recorder.result(0).warnings == ("mind this",)


def test_policies() -> None:
    """A mandatory violation is an error, an advisory one a warning; both name pack, policy and resource."""
    recorder = Recorder()
    for level in ("mandatory", "advisory"):
        violation = {
            "enforcementLevel": level,
            "policyPackName": "kit",
            "policyName": "days",
            "message": f"{level}: 400 days",
            "resourceUrn": BUCKET,
        }
        recorder.take({"policyEvent": violation})
    assert recorder.told() == ["aws:s3/bucket:Bucket content: kit: days: mandatory: 400 days"]
    assert recorder.result(0).warnings == ("aws:s3/bucket:Bucket content: kit: days: advisory: 400 days",)


def test_output_before_the_log_is_cleaned() -> None:
    """What the command prints before there are events loses its prefix, colours and remarks."""
    text = (
        "warning: using pulumi-language-python from $PATH at /x\n"
        "\x1b[31merror: \x1b[0mno stack named 'dev' found\n\nerror: no stack named 'dev' found\n"
    )
    assert clean_output(text) == ["no stack named 'dev' found"]
    assert clean_output("something else\n") == ["something else"]
    assert clean_output("") == []
