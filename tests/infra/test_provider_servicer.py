"""The protocol as the engine speaks it, against a resource type that keeps its objects in a dict."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from infra import provider
from infra.provider import UNKNOWN, CheckFailure, Live, Naming, PartialFailure, Properties, ProviderError
from infra.provider.testing import Call, CheckFailed, Refused, Stack, secret

Cloud = dict[str, Properties]
BOX = "demo:index:Box"


class Box(provider.Resource[Cloud]):
    """A thing with a size."""

    token = BOX
    inputs = frozenset({"label", "size", "tags", "code"})
    outputs = frozenset({"sid"})
    replaces = frozenset({"label"})
    secrets = frozenset({"key"})

    def check(self, inputs: Properties, old_inputs: Properties, /) -> tuple[Properties, list[CheckFailure]]:
        """Refuse sizes that are no positive number."""
        size = inputs.get("size", 1)
        wrong = size is not UNKNOWN and not (isinstance(size, int) and size > 0)
        return {"size": 1, **inputs}, [CheckFailure("size", f"must be at least 1, got {size}")] if wrong else []

    def create(self, ctx: Cloud, inputs: Properties, /) -> tuple[str, Properties]:
        """Store the box; some labels fail."""
        id_ = f"B{len(ctx) + 1}"
        if inputs["label"] == "refused":
            raise ProviderError(f"20404: no such account for {inputs.get('tags')}\nask support")
        if inputs["label"] == "bug":
            raise KeyError(inputs["tags"]["token"])
        ctx[id_] = {**inputs, "sid": id_, "colour": "brown"}
        if inputs["label"] == "half":
            raise PartialFailure(id_, ctx[id_], ["the lid does not fit: token hush-hush"])
        return id_, {**ctx[id_], "key": "k-1"}

    def read(self, ctx: Cloud, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Return the stored box."""
        return Live(None, dict(ctx[id_])) if id_ in ctx else None

    def update(
        self, ctx: Cloud, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Store the new inputs."""
        ctx[id_].update(inputs)
        return ctx[id_]

    def delete(self, ctx: Cloud, id_: str, state: Properties, /) -> None:
        """Forget the box."""
        ctx.pop(id_, None)


def echo(_ctx: Cloud, args: Properties) -> Properties:
    """Repeat what was said."""
    return {"said": args["say"], "again": f"you said: {args['say']}"}


class Demo(provider.Provider):
    """A provider with one resource type and one function."""

    name = "demo"
    version = "1.2.3"
    resources = provider.table(Box())
    invokes: ClassVar[dict[str, Any]] = {"demo:index:echo": echo}
    seen: Naming | None = None

    def configure(self, config: Properties) -> Cloud:
        """Start with an empty cloud."""
        if "apiSecret" not in config:
            raise ProviderError("demo:apiSecret is missing: set it with `pulumi config set --secret demo:apiSecret`")
        return {}

    def check(
        self, resource: provider.Resource[Any], inputs: Properties, old_inputs: Properties, naming: Naming
    ) -> tuple[Properties, list[CheckFailure]]:
        """Remember what the engine says about names."""
        self.seen = naming
        return super().check(resource, inputs, old_inputs, naming)


@pytest.fixture
def stack() -> Stack:
    """Return a configured stack."""
    stack = Stack(Demo())
    stack.configure({"apiSecret": secret("top-secret-value")})
    return stack


def test_a_resource_lives_through_its_whole_life(stack: Stack) -> None:
    """Create, an empty diff, an update, a refresh without drift and a delete all go through."""
    box = stack.up(BOX, "box", {"label": "a", "size": 2})
    assert (box.id, box.state["sid"]) == ("B1", "B1")
    assert stack.diff(box, {"label": "a", "size": 2}).changes == {}
    assert stack.diff(box, {"label": "a"}).changes == {"size": "UPDATE"}
    box = stack.update(box, {"label": "a", "size": 3})
    again = stack.refresh(box)
    assert again is not None
    assert again.inputs == box.inputs
    stack.down(box)
    assert stack.refresh(box) is None
    stack.down(box)


def test_a_replacing_change_says_so(stack: Stack) -> None:
    """A changed label asks for a new box, at its path."""
    box = stack.up(BOX, "box", {"label": "a"})
    plan = stack.diff(box, {"label": "b", "size": 5})
    assert plan.changes == {"label": "UPDATE_REPLACE", "size": "UPDATE"}
    assert plan.replaces == ["label"]


def test_drift_comes_back_as_inputs(stack: Stack) -> None:
    """What changed behind our back is in the refreshed inputs, and the next diff undoes it."""
    box = stack.up(BOX, "box", {"label": "a"})
    stack.provider.ctx["B1"].update(size=9, tags={"by": "hand"})
    again = stack.refresh(box)
    assert again is not None
    assert stack.diff(again, {"label": "a"}).changes == {"size": "UPDATE", "tags": "DELETE"}


def test_an_import_takes_the_inputs_from_what_is_there(stack: Stack) -> None:
    """Read without a state gives the object's inputs and leaves outputs out of them; an unknown id gives nothing."""
    stack.up(BOX, "box", {"label": "a"})
    box = stack.adopt(BOX, "adopted", "B1")
    assert box is not None
    assert stack.diff(box, {"label": "a"}).changes == {}
    assert stack.adopt(BOX, "adopted", "B9") is None


def test_a_preview_makes_nothing_and_shows_what_is_not_known_yet(stack: Stack) -> None:
    """Outputs are unknown before a create and kept before an update; unknown inputs pass through."""
    shown = stack.preview(BOX, "box", {"label": UNKNOWN, "size": 2})
    assert shown == {"label": UNKNOWN, "size": 2, "sid": UNKNOWN}
    assert stack.provider.ctx == {}
    box = stack.up(BOX, "box", {"label": "a"})
    assert stack.update(box, {"label": "a", "size": UNKNOWN}, preview=True).state == {
        "label": "a",
        "size": UNKNOWN,
        "sid": "B1",
    }
    assert stack.provider.ctx["B1"]["size"] == 1


def test_secrets_are_marked_in_every_answer(stack: Stack) -> None:
    """A secret input is secret in inputs and outputs, a declared one always, also after an update and a read."""
    inputs = {"label": "a", "tags": {"token": secret("hush-hush"), "team": "x"}}
    box = stack.up(BOX, "box", inputs)
    expected = {"token": secret("hush-hush"), "team": "x"}
    assert box.raw["tags"] == expected
    assert box.raw["key"] == secret("k-1")
    assert stack.update(box, inputs).raw["tags"] == expected
    refreshed = stack.refresh(box)
    assert refreshed is not None
    assert refreshed.raw["tags"] == expected
    assert "hush-hush" in str(refreshed.inputs)


def test_a_value_that_is_secret_no_more_is_shown_again(stack: Stack) -> None:
    """An update with a plain value unmarks it."""
    box = stack.up(BOX, "box", {"label": "a", "tags": {"token": secret("hush-hush")}})
    assert stack.update(box, {"label": "a", "tags": {"token": "open"}}).raw["tags"] == {"token": "open"}


def test_a_rejected_input_is_named_by_path_and_never_printed_by_the_engine(stack: Stack) -> None:
    """A check failure carries its path in the reason, because with `property` the engine prints the value as well."""
    with pytest.raises(CheckFailed) as rejected:
        stack.check(BOX, "box", {"label": "a", "size": 0})
    assert rejected.value.failures == ["size: must be at least 1, got 0"]
    request = provider_pb2.CheckRequest(type=BOX, news=provider.wire.struct({"size": 0}))
    assert [failure.property for failure in stack.provider.Check(request, Call()).failures] == [""]


def test_a_secret_in_a_rejected_input_is_not_told(stack: Stack) -> None:
    """The reason of a check failure shows no secret."""
    with pytest.raises(CheckFailed) as rejected:
        stack.check(BOX, "box", {"size": secret("hush-hush")})
    assert rejected.value.failures == ["size: must be at least 1, got [secret]"]


def test_a_half_made_object_stays_in_the_state(stack: Stack) -> None:
    """A partial failure hands id, outputs (secrets marked) and reasons to the engine, to go on from there."""
    with pytest.raises(Refused, match="lid") as refused:
        stack.up(BOX, "box", {"label": "half", "tags": {"token": secret("hush-hush")}})
    kept = refused.value.half_done
    assert kept is not None
    assert kept.id == "B1"
    assert provider.wire.plain(kept.properties)["colour"] == "brown"
    assert list(kept.reasons) == ["the lid does not fit: token [secret]"]
    assert provider.wire.SECRET in str(kept.properties)


def test_an_expected_error_is_one_line_without_secrets(stack: Stack) -> None:
    """A refusal of the cloud reaches the user on one line, and leaves no pending operation behind."""
    with pytest.raises(Refused) as refused:
        stack.up(BOX, "box", {"label": "refused", "tags": {"token": secret("hush-hush")}})
    assert str(refused.value) == "20404: no such account for {'token': '[secret]'} ask support"
    assert refused.value.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.half_done is None


def test_a_bug_is_one_line_and_its_traceback_goes_to_the_log(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unexpected exception is told in one line; the traceback goes to the file that the variable names, redacted."""
    inputs = {"label": "bug", "tags": {"token": secret("hush-hush")}}
    with pytest.raises(Refused) as refused:
        stack.up(BOX, "box", inputs)
    assert str(refused.value).startswith("the demo provider failed in Create: KeyError: '[secret]' (set PARLEY_")
    assert refused.value.code is grpc.StatusCode.UNKNOWN
    monkeypatch.setenv("PARLEY_PROVIDER_LOG", str(tmp_path / "log"))
    with pytest.raises(Refused):
        stack.up(BOX, "box", inputs)
    log = (tmp_path / "log").read_text()
    assert "Traceback" in log
    assert "hush-hush" not in log


def test_the_configuration_s_secrets_are_not_told_either(stack: Stack) -> None:
    """An error that quotes a secret of the configuration is redacted as well."""
    with pytest.raises(CheckFailed, match=r"got \[secret\]"):
        stack.check(BOX, "box", {"size": secret("top-secret-value")})
    with pytest.raises(Refused) as refused:
        stack.up(BOX, "box", {"label": "refused", "tags": "top-secret-value"})
    assert "top-secret-value" not in str(refused.value)


def test_a_missing_setting_is_told_with_the_way_out() -> None:
    """Configure refuses on one line that names the key."""
    with pytest.raises(Refused, match="pulumi config set --secret demo:apiSecret"):
        Stack(Demo()).configure({})


def test_unknown_types_and_functions_are_refused_by_name(stack: Stack) -> None:
    """What the provider does not have is refused with what it has."""
    with pytest.raises(Refused, match="no resource type demo:index:Crate; it has demo:index:Box"):
        stack.up("demo:index:Crate", "c", {})
    with pytest.raises(Refused, match="no function demo:index:shout; it has demo:index:echo"):
        stack.provider.Invoke(provider_pb2.InvokeRequest(tok="demo:index:shout"), Call())


def test_a_function_answers_and_keeps_secrets(stack: Stack) -> None:
    """The result of a function is secret where it repeats a secret argument."""
    request = provider_pb2.InvokeRequest(tok="demo:index:echo", args=provider.wire.struct({"say": secret("hush-hush")}))
    result = getattr(stack.provider.Invoke(request, Call()), "return")
    assert provider.wire.plain(result)["again"] == "you said: hush-hush"
    assert str(result).count(provider.wire.SECRET) == 2


def test_what_is_not_offered_is_declined_cleanly(stack: Stack) -> None:
    """Parameterize, Construct, Call, List and GetMapping end as unimplemented, with a sentence."""
    for method in ("Parameterize", "Construct", "Call", "List", "GetMapping"):
        with pytest.raises(Refused, match="demo provider does not support") as refused:
            getattr(stack.provider, method)(empty_pb2.Empty(), Call())
        assert refused.value.code is grpc.StatusCode.UNIMPLEMENTED


def test_the_provider_introduces_itself(stack: Stack) -> None:
    """Handshake accepts secrets and autonaming; version, schema, mappings and Attach answer."""
    demo = stack.provider
    hello = demo.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address="x"), Call())
    assert (hello.accept_secrets, hello.supports_autonaming_configuration) == (True, True)
    assert demo.GetPluginInfo(empty_pb2.Empty(), Call()).version == "1.2.3"
    schema = json.loads(demo.GetSchema(provider_pb2.GetSchemaRequest(), Call()).schema)
    assert schema == {"name": "demo", "version": "1.2.3"}
    assert list(demo.GetMappings(provider_pb2.GetMappingsRequest(), Call()).providers) == []
    demo.Attach(plugin_pb2.PluginAttach(address="x"), Call())
    assert not demo.cancelled.is_set()
    demo.Cancel(empty_pb2.Empty(), Call())
    assert demo.cancelled.is_set()


def test_a_changed_configuration_is_a_diff(stack: Stack) -> None:
    """DiffConfig compares the provider's own inputs."""
    old, new = provider.wire.struct({"region": "a"}), provider.wire.struct({"region": "b"})
    answer = stack.provider.DiffConfig(provider_pb2.DiffRequest(old_inputs=old, news=new), Call())
    assert list(answer.diffs) == ["region"]


def test_the_autonaming_options_reach_the_provider(stack: Stack) -> None:
    """Name, seed, proposed name and mode come with Check."""
    options = provider_pb2.CheckRequest.AutonamingOptions
    stack.check(BOX, "box", {}, autonaming=options(proposed_name="p-box", mode=options.ENFORCE))
    assert isinstance(stack.provider, Demo)
    assert stack.provider.seen == Naming("box", stack.seed, "p-box", enforced=True)
    stack.check(BOX, "box", {}, autonaming=options(mode=options.DISABLE))
    assert stack.provider.seen == Naming("box", stack.seed, disabled=True)


PLUGIN = """
from infra import provider
class Tiny(provider.Provider):
    name = "tiny"
provider.serve(Tiny())
"""


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_a_plugin_prints_its_port_answers_and_ends_cleanly(ending: signal.Signals) -> None:
    """The first line is the port, calls are answered there, and either signal ends it with 0 and a silent stderr."""
    root = Path(__file__).parents[2]
    plugin = subprocess.Popen(
        [sys.executable, "-c", PLUGIN],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert plugin.stdout is not None
    port = int(plugin.stdout.readline())
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        assert stub.GetPluginInfo(empty_pb2.Empty()).version == "0.0.0"
        with pytest.raises(grpc.RpcError, match="tiny provider does not support components"):
            stub.Construct(provider_pb2.ConstructRequest())
    plugin.send_signal(ending)
    out, errors = plugin.communicate(timeout=10)
    assert (plugin.returncode, out, errors) == (0, "", "")


def test_a_plugin_does_not_outlive_the_engine() -> None:
    """A plugin whose engine was killed ends by itself: nothing of it is left to hold the pipe open."""
    root = Path(__file__).parents[2]
    engine = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {PLUGIN!r}])"
    started = subprocess.Popen(
        [sys.executable, "-c", engine],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert started.stdout is not None
    assert int(started.stdout.readline())
    started.kill()
    out, _ = started.communicate(timeout=20)
    assert out == ""
