"""A pool as one resource against one resource for each number, over the real engine and the Twilio emulator.

There are two peers. `DYNAMIC` is what one writes in a Python program where no provider has the resource, as none of
Pulumi's own has Proxy: a dynamic resource for each number, by Twilio's package. `ONE_EACH` is the same plugin, client
and emulator as ours with a resource for each number. Nobody keeps Twilio's pace of 30 requests a second, so that what
is compared is the engine's part. `python -m tests.bench.pool 1000` makes pools of so many numbers.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from local.clock import Clock
from local.engine.find import Engine, ensure_engine
from local.engine.workspace import Workspace
from local.serving import Server
from local.twilio import Emulator
from local.twilio.numbers import describe, number_sid

ROOT: Final = Path(__file__).resolve().parents[2]
PLUGIN: Final = Path(__file__).with_name("unpaced_plugin")
DYNAMIC_PLUGIN: Final = Path(__file__).with_name("dynamic_plugin")
ACCOUNT, KEY, SECRET = "AC" + "1" * 32, "SK" + "2" * 32, "s" * 32
COUNT: Final = 1000

_PROGRAM: Final = """
import pulumi
from infra.twilio import resources

config = pulumi.Config()
provider = resources.Provider(
    "twilio",
    account_sid=config.require("accountSid"),
    api_key=config.require("apiKey"),
    api_secret=config.require_secret("apiSecret"),
    endpoint=config.require("endpoint"),
)
here = pulumi.ResourceOptions(provider=provider)
sids = config.require_object("sids")
line = resources.ProxyService("line", unique_name="line", default_ttl=3600, opts=here)
"""
ONE_RESOURCE: Final = (
    _PROGRAM + 'resources.NumberPool("numbers", service_sid=line.id, adopt=sids, reserved=sids[500:], opts=here)\n'
)
ONE_EACH: Final = (
    _PROGRAM
    + """
for place, sid in enumerate(sids):
    inputs = {"serviceSid": line.id, "sid": sid, "reserved": place >= 500}
    pulumi.CustomResource("parley:index:Number", f"number-{place}", inputs, here)
"""
)
DYNAMIC: Final = (
    _PROGRAM
    + """
import sys
from pulumi import dynamic

# The SDK wraps Python's pickler once more for each resource, and from some 300 of them on Python gives up.
sys.setrecursionlimit(100_000)

class Numbers(dynamic.ResourceProvider):
    def configure(self, req):
        self.endpoint, self.account = req.config.require("endpoint"), req.config.require("accountSid")
        self.key, self.secret = req.config.require("apiKey"), req.config.require("apiSecret")

    def create(self, props):
        from local.twilio.client import connect

        client = connect(self.endpoint, self.key, self.secret, self.account)
        numbers = client.proxy.v1.services(props["service"]).phone_numbers
        made = numbers.create(sid=props["sid"], is_reserved=props["reserved"])
        client.http_client.close()
        return dynamic.CreateResult(made.sid, props)

class Number(dynamic.Resource):
    pass

for place, sid in enumerate(sids):
    Number(Numbers(), f"number-{place}", {"service": line.id, "sid": sid, "reserved": place >= 500})
"""
)


@dataclass(frozen=True, slots=True)
class Life:
    """What one side took, in seconds, and how large its state was, in bytes."""

    up: float
    again: float
    state: int


def live(engine: Engine, program: str, count: int = COUNT) -> Life:
    """Make a pool of `count` numbers with a program, deploy it once more without a change, and tell what that took."""
    with account(count) as endpoint, tempfile.TemporaryDirectory() as folder:
        project = Path(folder, "project")
        project.mkdir()
        (project / "Pulumi.yaml").write_text(
            f"name: pool\nruntime: python\nplugins:\n  providers:\n    - name: parley\n      path: {PLUGIN}\n"
        )
        (project / "__main__.py").write_text(program)
        where = {"PYTHONPATH": str(ROOT)}
        file = Path(folder, "Pulumi.bench.yaml")
        home, plugins = Path(folder, "home"), [DYNAMIC_PLUGIN]
        workspace = Workspace(engine, home, project, "bench", where, file, plugins=plugins)
        workspace.init()
        sids = [number_sid(number) for number in numbers(count)]
        plain = {
            "pool:accountSid": ACCOUNT,
            "pool:apiKey": KEY,
            "pool:endpoint": endpoint,
            "pool:sids": json.dumps(sids),
        }
        workspace.set_all_config(plain, {"pool:apiSecret": SECRET})
        up, again = timed(workspace.up), timed(workspace.up)
        return Life(up, again, len(json.dumps(workspace.export())))


def timed(action: Callable[[], object]) -> float:
    """Return what an action took, in seconds."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def numbers(count: int) -> list[str]:
    """Return fictional numbers."""
    return [f"+1212555{place:04}" for place in range(count)]


@contextmanager
def account(count: int) -> Iterator[str]:
    """Serve an account with so many numbers that answers as fast as it can; give its address."""
    emulator = Emulator(
        account_sid=ACCOUNT,
        auth_token="t" * 32,
        api_key=KEY,
        api_secret=SECRET,
        clock=Clock(),
        requests_per_second=None,
    )
    for number in numbers(count):
        emulator.carrier.numbers.own(ACCOUNT, describe(number, sms=True, voice=True, mms=True), {})
    server = Server(emulator.wsgi_app, port=0, purpose="twilio")
    server.start()
    try:
        yield server.url
    finally:
        server.close()
        emulator.close()


def main(count: int = COUNT) -> None:
    """Let each live and print what it took, as JSON."""
    engine = ensure_engine()
    lives = {
        name: live(engine, program, count)
        for name, program in (("pool", ONE_RESOURCE), ("one each", ONE_EACH), ("one dynamic each", DYNAMIC))
    }
    for what in ("up", "again", "state"):
        took = {name: round(getattr(each, what), 2) for name, each in lives.items()}
        ratios = {name: round(value / took["pool"], 1) for name, value in took.items() if name != "pool"}
        print(json.dumps({"what": what, "numbers": count, **took, "ratios": ratios}))  # noqa: T201 - this is its output


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
