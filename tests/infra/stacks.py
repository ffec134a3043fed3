"""The four committed stacks as test data, and a recorder that stands in for the engine."""

from __future__ import annotations

import functools
import gc
import json
import warnings
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pulumi
import pulumi_aws
import yaml
from pulumi.runtime import config as pulumi_config
from pulumi.runtime.proto.source_pb2 import StackTrace
from pulumi.runtime.settings import get_root_resource, set_root_resource
from pulumi.runtime.stack import Stack

from infra.__main__ import main
from infra.settings import SECRET_KEYS, Settings, load

with warnings.catch_warnings():
    # pulumi_aws loads its deprecated twins, which warn, together with the classes that replaced them.
    warnings.simplefilter("ignore", DeprecationWarning)
    LOADED = (pulumi_aws.s3.Bucket, pulumi_aws.lambda_.Function)

PROJECT = Path(__file__).resolve().parents[2]
ACCOUNT = "123456789012"
REGION = "us-east-1"

SECRETS = {
    "twilioApiSecret": "api-secret-of-the-test-stack",
    "twilioAuthToken": "auth-token-of-the-test-stack",
    "twilioAuthTokenSecondary": "second-token-of-the-test-stack",
}


def sid(kind: str, number: int = 1) -> str:
    """Return a SID that is nobody's."""
    return f"{kind}{number:032x}"


def committed(environment: str) -> dict[str, Any]:
    """Return what the committed file of an environment declares, key by key without the namespace."""
    config = yaml.safe_load((PROJECT / f"Pulumi.{environment}.yaml").read_text())["config"]
    return {key.removeprefix("parley:"): value for key, value in config.items() if key.startswith("parley:")}


def filled(environment: str) -> dict[str, Any]:
    """Return the same with every placeholder filled in and every decision taken, as a user would have it."""
    config = committed(environment) | {"twilioAccountSid": sid("AC"), "twilioApiKey": sid("SK")} | SECRETS
    if environment == "local":
        config["twilioEndpoint"] = "http://127.0.0.1:4010"
    else:
        config["numbers"] = {"adopt": [sid("PN", i) for i, _ in enumerate(config["numbers"]["adopt"], 1)]}
    if environment in ("staging", "prod"):
        config["controller"] = {
            "name": "Acme Rides Ltd",
            "contact": "privacy@example.com",
            "privacyPolicyUrl": "https://example.com/privacy",
            "privacyPolicyVersion": "2026-11",
        }
    if environment == "prod":
        config["protection"] = config["protection"] | {"complianceLockCannotBeUndone": True}
    return config


def settings(environment: str, **changed: Any) -> Settings:
    """Return the settings of a filled-in stack with these keys changed."""
    return load(filled(environment) | changed)


@dataclass
class Recorder(pulumi.runtime.Mocks):
    """Stands in for the engine: notes what is declared, and answers with names and ARNs as the services would."""

    resources: list[Declared] = field(default_factory=list)
    options: dict[tuple[str, str], pulumi.ResourceOptions] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Note one resource, and return its id and outputs."""
        self.resources.append(Declared(args.typ, args.name, args.inputs, bool(args.custom)))
        kind = args.typ.rpartition(":")[2]
        name = args.inputs.get("name") or f"parley-test-{args.name}-0a1b2c"
        answer = {
            "name": name,
            "arn": f"arn:aws:{args.typ.split(':')[1].split('/')[0]}:{REGION}:{ACCOUNT}:{kind}/{name}",
        }
        match kind:
            case "Bucket":
                answer |= {"bucket": name, "arn": f"arn:aws:s3:::{name}"}
            case "Key":
                answer |= {"keyId": f"key-{args.name}", "arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{args.name}"}
            case "Api":
                answer |= {
                    "apiEndpoint": f"https://abc123.execute-api.{REGION}.amazonaws.com",
                    "executionArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:abc123",
                }
            case "Table":
                stream = f"{answer['arn']}/stream/2026-05-04T12:00:00.000"
                answer |= {"streamArn": stream}
            case "Queue":
                answer |= {"url": f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"}
            case "Function":
                answer |= {"version": "1", "arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{name}"}
            case "Alias" if "lambda" in args.typ:
                answer |= {"arn": f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{args.inputs['functionName']}:live"}
            case "LogGroup":
                answer |= {"arn": f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:{name}"}
            case "ProxyService":
                which = int(args.name.rpartition("-")[2]) if "-" in args.name else 1
                answer |= {
                    "sid": sid("KS", which),
                    "accountSid": sid("AC"),
                    "url": "https://proxy.twilio.com/v1/Services/x",
                }
            case "NumberPool" | "NumberWebhooks":
                numbers = [
                    {"sid": each, "isoCountry": "US", "capabilities": ["sms", "voice"], "reserved": False}
                    for each in args.inputs.get("adopt", [])
                ]
                answer |= {"numbers": numbers, "size": len(numbers), "spares": []}
        return f"id-of-{args.name}", {**args.inputs, **answer}

    def call(self, args: pulumi.runtime.MockCallArgs) -> dict[str, Any]:  # type: ignore[override]
        """Answer a function call."""
        answers = {
            "getCallerIdentity": {
                "accountId": ACCOUNT,
                "arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/deploy/somebody",
                "userId": "AROA:somebody",
                "id": ACCOUNT,
            },
            "getRegion": {"region": REGION, "name": REGION, "id": REGION, "description": "", "endpoint": ""},
            "getPartition": {
                "partition": "aws",
                "dnsSuffix": "amazonaws.com",
                "reverseDnsPrefix": "com.amazonaws",
                "id": "aws",
            },
        }
        return answers[args.token.rpartition(":")[2]]

    def of(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the inputs of every resource of a type (`s3/bucket:Bucket`, `Bucket`), by logical name."""
        return {
            each.name: each.inputs
            for each in self.resources
            if each.type.endswith(f":{kind}") or each.type == f"aws:{kind}"
        }


@dataclass(frozen=True)
class Declared:
    """One declared resource: its type token, logical name and inputs, named as on the wire."""

    type: str
    name: str
    inputs: dict[str, Any]
    custom: bool


def run(
    program: Callable[[], object],
    config: Mapping[str, Any],
    *,
    stack: str,
    project: str = "parley",
    preview: bool = False,
    encrypted: Collection[str] = SECRET_KEYS,
) -> Recorder:
    """Run a Pulumi program against a recorder, with `config` as the stack's config."""
    recorder = Recorder()
    set_root_resource(None)  # type: ignore[arg-type]  # each run has a root, outputs and transformations of its own
    pulumi.runtime.set_mocks(recorder, project=project, stack=stack, preview=preview)
    texts = {f"parley:{key}": value if isinstance(value, str) else json.dumps(value) for key, value in config.items()}
    pulumi_config.set_all_config(texts, [f"parley:{key}" for key in encrypted])

    def observed() -> pulumi.Output[None]:
        pulumi.runtime.register_stack_transformation(note)
        program()
        root = get_root_resource()
        return pulumi.Output.from_input(root.outputs if isinstance(root, Stack) else {}).apply(recorder.outputs.update)

    def note(args: pulumi.ResourceTransformationArgs) -> None:
        recorder.options[args.type_, args.name] = args.opts

    gc.disable()  # looking for garbage among what a run keeps is half of its time
    try:
        # Where in the program each resource is declared, which the SDK reads two files for, is told to no engine here.
        with patch("pulumi.runtime.resource._get_stack_trace", StackTrace):
            pulumi.runtime.test(observed)()  # type: ignore[no-untyped-call]
    finally:
        gc.enable()
    return recorder


@functools.cache
def deployed(environment: str, masking: str = "proxy") -> Recorder:
    """Return what the program of a committed stack declares: run once in a process, and to be read only."""
    return run(main, filled(environment) | {"masking": masking}, stack=environment)
