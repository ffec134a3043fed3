"""What a stack file would declare, before anything is deployed: no cloud, no login, no engine.

The program itself runs in this process, against a stand-in that answers every resource with a marker where only a
deployment makes a name. Secrets are encrypted in the stack file or not set yet, so each is a made-up text here; a
placeholder (`REPLACE-…`) for a name is filled in and told as a gap. Every other mistake is told as a preview tells it.
"""

from __future__ import annotations

import datetime as dt
import gc
import json
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import yaml
from pulumi.runtime.settings import get_root_resource, set_root_resource
from pulumi.runtime.stack import Stack

from cli.errors import CANNOT_TELL, UserError
from cli.report import UNKNOWN, Origin, Source
from cli.report_sources import PROJECT, Read, project_name
from infra.package import PackageError
from infra.section import PLACEHOLDER
from infra.settings import NAMESPACE, SECRET_KEYS, Settings, SettingsError, load
from infra.webhooks import KEYS as SHARED_KEYS

# Names of one kind each, so that a placeholder becomes something that the settings take for a name.
_SIDS: Mapping[str, str] = {
    "twilioAccountSid": "AC",
    "twilioApiKey": "SK",
    "adopt": "PN",
    "reserved": "PN",
    "addressSid": "AD",
    "bundleSid": "BU",
}
_NAMING = ("controller", "twilioAccountSid", "twilioApiKey", "numbers")
_MADE_UP = "made up for a report"
# What `parley local up` adds to the committed file.
_LOCAL: Mapping[str, str] = {
    "twilioEndpoint": "http://127.0.0.1:4010",
    "twilioAccountSid": f"AC{1:032x}",
    "twilioApiKey": f"SK{1:032x}",
}
_WORD = re.compile(rf"{PLACEHOLDER}(?:WITH-)?([A-Z0-9-]*[A-Z0-9])?")
_ACCOUNT, _REGION = "000000000000", "us-east-1"


def planned(stack: str, time: dt.datetime, project: Path = PROJECT) -> Read:
    """Return what the stack file of `stack` would declare.

    Raises UserError: no such file, one that is no mapping, or mistakes in it, all of them in one message.
    """
    file = project / f"Pulumi.{stack}.yaml"
    raw, clear = _config(file, project)
    raw, gaps = filled(raw)
    if raw.get("environment") == "local":
        raw = {**_LOCAL, **raw}
    try:
        settings = load(raw, project=project_name(project), stack=stack, stored_in_clear=clear)
        outputs = _run(settings)
    except (SettingsError, PackageError) as error:
        raise UserError(f"{file.name}: {error}", CANNOT_TELL) from None
    commit = str(outputs.get("commit") or UNKNOWN)
    return outputs["declaration"], Origin(Source.PREVIEW, time, commit, tuple(gaps))


def filled(config: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return a stack's config with placeholders filled in and secrets made up, and the keys that held a placeholder.

    Only what names accounts, numbers and the controller is filled in: anything else decides what is declared. The same
    placeholder becomes the same SID wherever it stands, so that a reserved number stays an adopted one.
    """
    gaps: list[str] = []
    seen: dict[str, int] = {}

    def fill(value: Any, path: str, name: str) -> Any:
        if isinstance(value, Mapping):
            return {key: fill(each, f"{path}.{key}", str(key)) for key, each in value.items()}
        if isinstance(value, list):
            return [fill(each, f"{path}[{index}]", name) for index, each in enumerate(value)]
        if not isinstance(value, str) or PLACEHOLDER not in value:
            return value
        gaps.append(path)
        if name in _SIDS:
            return f"{_SIDS[name]}{seen.setdefault(value, len(seen) + 1):032x}"
        return _WORD.sub(lambda match: match[1] or "TO-BE-DECIDED", value)

    names = {key: fill(config[key], f"{NAMESPACE}:{key}", key) for key in _NAMING if key in config}
    needed = SECRET_KEYS - {"twilioAuthTokenSecondary", SHARED_KEYS}
    secrets = dict.fromkeys(sorted(needed | SECRET_KEYS & config.keys()), _MADE_UP)
    if SHARED_KEYS in config:
        secrets[SHARED_KEYS] = json.dumps(dict.fromkeys(_shared_keys(config), _MADE_UP))
    return {**config, **names, **secrets}, gaps


def _shared_keys(config: Mapping[str, Any]) -> list[str]:
    """Return the ids of SharedKeys: as they were set one by one, or the one that signs where all are one secret."""
    held, webhooks = config[SHARED_KEYS], config.get("webhooks")
    signature = webhooks.get("signature") if isinstance(webhooks, Mapping) else None
    named = [signature.get("sharedKeyId")] if isinstance(signature, Mapping) else []
    return [str(key) for key in [*(held if isinstance(held, Mapping) else ()), *named] if key and key != "secure"]


def _config(file: Path, project: Path) -> tuple[dict[str, Any], set[str]]:
    """Return the stack's config without its namespace, over the project's defaults, and its secrets stored in clear."""
    try:
        stack = yaml.safe_load(file.read_text())
    except FileNotFoundError:
        known = ", ".join(sorted(each.name for each in project.glob("Pulumi.*.yaml")))
        raise UserError(f"{file}: no such stack file; there are {known}", CANNOT_TELL) from None
    except yaml.YAMLError as error:
        mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
        where = f", line {mark.line + 1}" if mark else ""
        raise UserError(f"{file}{where}: this is not YAML: mend it", CANNOT_TELL) from None
    config = stack.get("config") if isinstance(stack, Mapping) else None
    if not isinstance(config, Mapping):
        raise UserError(f"{file}: a stack file is a mapping with `config:`; mend it", CANNOT_TELL)
    declared = yaml.safe_load((project / "Pulumi.yaml").read_text())["config"]
    defaults = {key: each["default"] for key, each in declared.items() if each.get("default")}
    prefix = f"{NAMESPACE}:"
    own = {key.removeprefix(prefix): value for key, value in config.items() if str(key).startswith(prefix)}
    clear = {key for key in SECRET_KEYS & own.keys() if not isinstance(own[key], Mapping)}
    return defaults | own, clear


class _NothingMade(pulumi.runtime.Mocks):
    """Stands in for the engine: every resource has the properties that were asked for, and markers for the others."""

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        made = f"made by the deployment ({args.name})"
        markers = {
            **dict.fromkeys(("name", "bucket", "url", "sid", "accountSid", "keyId", "version"), made),
            **dict.fromkeys(("arn", "executionArn", "invokeArn"), made),
            "apiEndpoint": "https://made-by-the-deployment.example",
            "numbers": [],
            "spares": [],
            "size": 0,
        }
        return made, {**markers, **args.inputs}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:  # type: ignore[override]  # failures: none here
        answers: Mapping[str, dict[str, Any]] = {
            "getCallerIdentity": {
                "accountId": _ACCOUNT,
                "arn": f"arn:aws:iam::{_ACCOUNT}:role/whoever-deploys",
                "userId": "nobody",
                "id": _ACCOUNT,
            },
            "getRegion": {"region": _REGION, "name": _REGION, "id": _REGION, "description": "", "endpoint": ""},
            "getPartition": {
                "partition": "aws",
                "dnsSuffix": "amazonaws.com",
                "reverseDnsPrefix": "com.amazonaws",
                "id": "aws",
            },
        }
        return answers[args.token.rpartition(":")[2]]


def _run(settings: Settings) -> dict[str, Any]:
    """Run the program with these settings against the stand-in and return its outputs. Raises PackageError."""
    # pulumi_aws loads its deprecated twins, which warn, together with the classes that replaced them.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from infra.__main__ import deploy  # noqa: PLC0415 - pulumi_aws is slow to import, and a mistake is told before

        outputs: dict[str, Any] = {}
        set_root_resource(None)  # type: ignore[arg-type]  # an earlier run's root would keep its outputs
        pulumi.runtime.set_mocks(_NothingMade(), project=settings.project, stack=settings.stack, preview=False)

        def program() -> pulumi.Output[None]:
            deploy(settings)
            root = get_root_resource()
            return pulumi.Output.from_input(root.outputs if isinstance(root, Stack) else {}).apply(outputs.update)

        # What is made meanwhile is kept to the end: looking through it again and again is half of the time.
        collected = gc.isenabled()
        gc.disable()
        try:
            pulumi.runtime.test(program)()  # type: ignore[no-untyped-call]  # pulumi leaves it untyped
        finally:
            if collected:
                gc.enable()
    return outputs
