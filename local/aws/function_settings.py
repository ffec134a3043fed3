"""Lambda settings that moto takes and forgets: LoggingConfig and DeadLetterConfig are kept, answered for and used."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from moto.awslambda.models import LambdaBackend, LambdaFunction
from moto.core.exceptions import JsonRESTError

if TYPE_CHECKING:
    from local.aws.mends import Mends

_KEPT = {"LoggingConfig": "logging_config", "DeadLetterConfig": "dead_letter_config"}


def install(mends: Mends, deleted: Callable[[str], None]) -> None:
    """Keep the settings; call `deleted(function name)` when a function goes."""

    def initialize(
        original: Any, function: LambdaFunction, account_id: str, spec: dict[str, Any], *args: Any, **kw: Any
    ) -> None:
        _keep(function, spec)
        original(function, account_id, spec, *args, **kw)

    def update(original: Any, function: LambdaFunction, updates: dict[str, Any]) -> Any:
        _keep(function, updates)
        original(function, updates)
        return function.get_configuration()

    def configuration(original: Any, function: LambdaFunction, *args: Any, **kwargs: Any) -> dict[str, Any]:
        config: dict[str, Any] = original(function, *args, **kwargs)
        for key, attribute in _KEPT.items():
            if value := getattr(function, attribute, None):
                config[key] = value
        group = f"/aws/lambda/{function.function_name}"
        config["LoggingConfig"] = {"LogFormat": "Text", "LogGroup": group, **config.get("LoggingConfig", {})}
        return config

    def delete(original: Any, backend: LambdaBackend, function_name: str, qualifier: str | None = None) -> Any:
        result = original(backend, function_name, qualifier)
        if qualifier is None:
            deleted(function_name.rpartition(":")[2])
        return result

    def create_mapping(original: Any, backend: LambdaBackend, spec: dict[str, Any]) -> Any:
        if not re.match("arn:aws:(sqs|dynamodb):", str(spec.get("EventSourceArn", ""))):
            raise JsonRESTError(
                "InvalidParameterValueException",
                f"The local cloud carries out event sources of SQS and DynamoDB, not {spec.get('EventSourceArn')}.",
            )
        return original(backend, spec)

    mends.wrap(LambdaFunction, "__init__", initialize)
    mends.wrap(LambdaFunction, "update_configuration", update)
    mends.wrap(LambdaFunction, "get_configuration", configuration)
    mends.wrap(LambdaBackend, "delete_function", delete)
    mends.wrap(LambdaBackend, "create_event_source_mapping", create_mapping)


def _keep(function: LambdaFunction, settings: dict[str, Any]) -> None:
    for key, attribute in _KEPT.items():
        if key in settings:
            setattr(function, attribute, settings[key])
