"""The schema that the plugin serves, the typed classes, and the plugin's own configuration."""

from __future__ import annotations

import inspect
import json
import subprocess
import typing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import struct_pb2
from pulumi import _types
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from infra.provider import ProviderError
from infra.twilio import resources, rules
from infra.twilio.number_pool import NumberPool
from infra.twilio.plugin import ENDPOINT_VARIABLE, Parley
from infra.twilio.proxy_service import ProxyService

CONFIG = {"accountSid": "AC" + "a" * 32, "apiKey": "SK" + "d" * 32, "apiSecret": "hush-hush"}
CLASSES = {
    "parley:index:ProxyService": resources.ProxyService,
    "parley:index:NumberPool": resources.NumberPool,
    "parley:index:NumberWebhooks": resources.NumberWebhooks,
    "parley:index:MessagingService": resources.MessagingService,
    "parley:index:EventSink": resources.EventSink,
    "parley:index:WebhookSettings": resources.WebhookSettings,
}


def camel(name: str) -> str:
    """Spell a Python name as the schema does."""
    first, *rest = name.split("_")
    return first + "".join(part.title() for part in rest)


def arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Return the properties that a typed class takes, by their names in the schema."""
    return {
        camel(name): parameter
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "opts"
    }


def test_the_engine_gets_the_schema() -> None:
    """GetSchema answers a package schema with the provider and both resources."""
    schema = json.loads(Parley().GetSchema(provider_pb2.GetSchemaRequest(), None).schema)
    assert (schema["name"], schema["version"]) == (Parley.name, Parley.version)
    assert set(schema["resources"]) == set(Parley.resources)
    assert schema["provider"]["inputProperties"]["apiSecret"]["secret"] is True


def test_every_reference_of_the_schema_leads_somewhere_and_everything_is_described() -> None:
    """Each $ref names a type of the schema, each property has a description, each required one exists."""

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if "$ref" in node:
                assert node["$ref"].removeprefix("#/types/") in rules.package()["types"]
            for kind, required in (("properties", "required"), ("inputProperties", "requiredInputs")):
                assert set(node.get(required, [])) <= set(node.get(kind, {}))
                assert all(each["description"].endswith(".") for each in node.get(kind, {}).values())
        for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
            walk(child)

    walk(rules.package())


@pytest.mark.parametrize("token", CLASSES)
def test_the_typed_classes_take_what_the_schema_says(token: str) -> None:
    """A typed class has the schema's inputs, requires the same ones, and has the same defaults."""
    declared, taken = rules.package()["resources"][token], arguments(CLASSES[token])
    assert set(taken) == set(declared["inputProperties"])
    assert {name for name, each in taken.items() if each.default is each.empty} == set(declared["requiredInputs"])
    given = {name: each.default for name, each in taken.items() if each.default not in {each.empty, None, ()}}
    assert given == {name: value for name, value in rules.defaults(token).items() if value is not False} | {
        name: False for name, value in rules.defaults(token).items() if value is False
    }


@pytest.mark.parametrize("token", CLASSES)
def test_the_typed_classes_give_what_the_schema_says(token: str) -> None:
    """A typed class has the schema's outputs with their types, under Python's names."""
    kinds = {"string": str, "integer": int, "boolean": bool}
    types = _types.resource_types(CLASSES[token])
    declared = rules.package()["resources"][token]["properties"]
    assert set(types) - {"id", "urn"} == set(declared)
    for name, each in declared.items():
        kind = each.get("type") or rules.package()["types"][each["$ref"].removeprefix("#/types/")]["type"]
        assert kind in {"array", "object"} or types[name] is kinds[kind], name


def test_the_typed_members_are_those_of_the_schema() -> None:
    """The types of what is given and of what is told have the schema's members."""
    types = rules.package()["types"]
    for name in ("PoolNumber", "SpareNumber", "AccountNumber", "Finding"):
        assert set(_types.output_type_types(getattr(resources, name))) == set(
            types[f"parley:index:{name}"]["properties"]
        )
    for given in (resources.NumberOrder, resources.WebhookConnection, resources.WebhookSignature):
        declared = types[f"parley:index:{given.__name__}"]
        assert {camel(name) for name in given.__annotations__} == set(declared["properties"])
        assert {camel(name) for name in given.__required_keys__} == set(declared.get("required", []))
    for name, values in (
        ("GeoMatchLevel", resources.GeoMatchLevel),
        ("NumberSelectionBehavior", resources.NumberSelectionBehavior),
        ("Capability", resources.Capability),
        ("Channel", resources.Channel),
        ("RetryOn", resources.RetryOn),
        ("SignatureAlgorithm", resources.SignatureAlgorithm),
    ):
        assert set(typing.get_args(values)) == {each["value"] for each in types[f"parley:index:{name}"]["enum"]}


def test_the_provider_class_takes_what_the_schema_says() -> None:
    """The typed provider has the schema's inputs and requires the same ones."""
    declared, taken = rules.package()["provider"], arguments(resources.Provider)
    assert set(taken) == set(declared["inputProperties"])
    assert {name for name, each in taken.items() if each.default is each.empty} == set(declared["requiredInputs"])


@pytest.mark.parametrize("resource", [ProxyService(), NumberPool()])
def test_the_plugin_knows_the_inputs_of_the_schema(resource: ProxyService | NumberPool) -> None:
    """The plugin's own table of inputs is the schema's."""
    assert resource.inputs == set(rules.package()["resources"][resource.token]["inputProperties"])


def test_a_missing_secret_is_one_message_with_the_command() -> None:
    """Without the API secret there is one failure, which names the key of the stack and the command to set it."""
    _, failures = Parley().check_config({**CONFIG, "apiSecret": None}, {})
    assert [each.path for each in failures] == ["apiSecret"]
    assert "parley:twilioApiSecret" in failures[0].reason
    assert "pulumi config set --secret parley:twilioApiSecret" in failures[0].reason


def test_the_default_provider_takes_the_stacks_own_keys_and_nothing_else() -> None:
    """A default provider, which gets the whole `parley:` configuration, finds its four keys and drops the rest."""
    config = {f"twilio{name[0].upper()}{name[1:]}": value for name, value in CONFIG.items()}
    taken, failures = Parley().check_config({**config, "environment": "local", "twilioAuthToken": "t"}, {})
    assert (taken, failures) == (CONFIG, [])


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("accountSid", "hello", "parley:twilioAccountSid"),
        ("apiKey", "AC" + "a" * 32, "parley:twilioApiKey"),
        ("endpoint", "https://twilio.example.com", "parley:twilioEndpoint"),
    ],
)
def test_a_wrong_configuration_is_told_by_the_stacks_key(name: str, value: str, says: str) -> None:
    """A SID of the wrong kind and an endpoint on another machine are refused, by the key that the user has to set."""
    _, failures = Parley().check_config({**CONFIG, name: value}, {})
    assert [each.path for each in failures] == [name]
    assert says in failures[0].reason


def test_another_account_replaces_everything_and_another_key_nothing() -> None:
    """Resources live in one account: only a new account replaces them."""
    old = {**CONFIG}
    assert Parley().diff_config(old, {**CONFIG, "accountSid": "AC" + "b" * 32}).replaces == {"accountSid"}
    rotated = Parley().diff_config(old, {**CONFIG, "apiSecret": "new", "endpoint": "http://127.0.0.1:1"})
    assert rotated
    assert not rotated.replaces


def test_the_environment_can_give_the_endpoint_for_this_machine_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The endpoint variable counts where the configuration gives none, and never leads to another machine."""
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:8081/")
    assert Parley().configure(dict(CONFIG)).endpoint == "http://127.0.0.1:8081"
    monkeypatch.setenv(ENDPOINT_VARIABLE, "http://twilio.example.com")
    with pytest.raises(ProviderError, match=ENDPOINT_VARIABLE):
        Parley().configure(dict(CONFIG))


def test_the_executable_starts_where_the_engine_starts_it() -> None:
    """The plugin starts in the program's folder, whose `twilio` is not the official package, and ends when told."""
    folder = Path(resources.__file__).parent
    plugin = subprocess.Popen(
        [folder / "pulumi-resource-parley", "127.0.0.1:1"], cwd=folder.parent, stdout=subprocess.PIPE, text=True
    )
    with plugin:
        assert plugin.stdout is not None
        with grpc.insecure_channel(f"127.0.0.1:{plugin.stdout.readline().strip()}") as channel:
            stub = provider_pb2_grpc.ResourceProviderStub(channel)
            schema = json.loads(stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=20).schema)
        plugin.terminate()
        assert plugin.wait(timeout=20) == 0
    assert schema == rules.package()


def test_the_secret_stays_a_secret_on_the_wire() -> None:
    """CheckConfig hands the API secret back wrapped as a secret when it came as one."""
    news = struct_pb2.Struct()
    news.update(
        {
            **CONFIG,
            "apiSecret": {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "value": "hush-hush"},
        }
    )
    answer = Parley().CheckConfig(provider_pb2.CheckRequest(news=news), typing.cast("grpc.ServicerContext", None))
    assert answer.inputs.fields["apiSecret"].struct_value.fields["value"].string_value == "hush-hush"


RESULTS: dict[str, tuple[Any, Any]] = {
    "parley:index:getAccount": (resources.get_account, resources.GetAccountResult),
    "parley:index:getNumbers": (resources.get_numbers, resources.GetNumbersResult),
}


@pytest.mark.parametrize("token", RESULTS)
def test_the_typed_functions_take_and_give_what_the_schema_says(token: str) -> None:
    """A typed function has the schema's arguments, and its result the schema's properties."""
    declared, (function, result) = rules.package()["functions"][token], RESULTS[token]
    taken = {
        camel(name)
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name != "opts"
    }
    assert taken == set(declared.get("inputs", {}).get("properties", {}))
    assert set(_types.output_type_types(result)) == set(declared["outputs"]["properties"])


def test_the_typed_number_has_what_the_schema_says() -> None:
    """A number of an account has the schema's properties."""
    declared = rules.package()["types"]["parley:index:AccountNumber"]["properties"]
    assert set(_types.output_type_types(resources.AccountNumber)) == set(declared)
