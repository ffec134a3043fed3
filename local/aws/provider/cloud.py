"""The endpoints that the stand-in is configured for: loopback ones, never the real AWS."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from botocore.client import BaseClient
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from infra.provider import Properties, ProviderError
from local.aws.provider.shapes import session

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_GONE = re.compile(r"NotFound|NoSuch|DoesNotExist|NonExistent")


class Client:
    """One AWS service in one region; `region`, `account` go into ARNs that AWS does not answer."""

    def __init__(self, client: BaseClient, cloud: Cloud) -> None:
        self._client, self._cloud = client, cloud
        self.region: str = client.meta.region_name

    @property
    def account(self) -> str:
        """The account id of the credentials in use."""
        return self._cloud.account

    @property
    def gateway(self) -> str | None:
        """The local gateway under which HTTP APIs are reached, without a slash at the end."""
        return os.environ.get("PARLEY_GATEWAY_URL", "").rstrip("/") or None

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call an operation; raises botocore's `ClientError`."""
        answer: dict[str, Any] = getattr(self._client, method)(**parameters)
        answer.pop("ResponseMetadata", None)
        return answer

    def wait(self, waiter: str, **parameters: Any) -> None:
        """Wait until AWS says that it is so."""
        self._client.get_waiter(waiter).wait(**parameters)

    def pages(self, method: str, member: str, **parameters: Any) -> Iterator[Any]:
        """Yield the elements of `member` from all pages of an answer."""
        for page in self._client.get_paginator(method).paginate(**parameters):
            yield from page.get(member, [])


class Cloud:
    """What a provider instance is configured for. Nested values of `config` are objects or JSON text.

    Raises `ProviderError` for any endpoint that is not on this machine.
    """

    def __init__(self, config: Properties) -> None:
        self._config = {name: structured(value) for name, value in config.items()}
        environment = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
        self.region: str = self._config.get("region") or environment or "us-east-1"
        tags = (self._config.get("defaultTags") or {}).get("tags") or {}
        self.default_tags = {key: str(value) for key, value in tags.items()}
        endpoints = self._config.get("endpoints") or []
        self._endpoints = {name: url for entry in endpoints for name, url in entry.items()}
        self._clients: dict[tuple[str, str], Client] = {}
        self._lock = threading.Lock()
        self._account = ""
        for name in {"sts", *self._endpoints}:
            self.endpoint(name)

    @property
    def account(self) -> str:
        """The account id of the credentials in use."""
        self._account = self._account or self.client("sts").call("get_caller_identity")["Account"]
        return self._account

    def endpoint(self, service: str) -> str:
        """Return the URL of `service`; `ProviderError` unless it is on this machine."""
        url = self._endpoints.get(service) or os.environ.get("AWS_ENDPOINT_URL") or ""
        if urlsplit(url).hostname not in LOOPBACK:
            raise ProviderError(
                f"this is the local stand-in for the AWS provider, which talks to this machine only: the endpoint of "
                f"{service} is {url or 'not given'}. Set AWS_ENDPOINT_URL (or aws:endpoints) to http://127.0.0.1:PORT, "
                f"or take local/bin off PATH to deploy to AWS with the official provider"
            )
        return url

    def client(self, service: str, region: str | None = None) -> Client:
        """Return the client of `service` in `region`, by default the provider's."""
        key = service, region or self.region
        with self._lock:
            if key not in self._clients:
                self._clients[key] = Client(self._new_client(*key), self)
            return self._clients[key]

    def _new_client(self, service: str, region: str) -> BaseClient:
        access_key = self._config.get("accessKey") or os.environ.get("AWS_ACCESS_KEY_ID") or "test"
        secret_key = self._config.get("secretKey") or os.environ.get("AWS_SECRET_ACCESS_KEY") or "test"
        client: BaseClient = session().create_client(
            service,
            region_name=region,
            endpoint_url=self.endpoint(service),
            config=Config(retries={"total_max_attempts": 2}, max_pool_connections=32, s3={"addressing_style": "path"}),
            aws_access_key_id=access_key,
            aws_secret_access_key=secret_key,
        )
        return client


def structured(value: Any) -> Any:
    """`value`, read as JSON where it is text of an object or a list: so the engine hands over configuration."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def code(error: ClientError) -> str:
    """Return AWS's error code."""
    return str(error.response.get("Error", {}).get("Code", ""))


def gone(error: Exception) -> bool:
    """Tell whether AWS says that the object is not there: by its code; a mere 404 may be a call that moto lacks."""
    if not isinstance(error, ClientError):
        return False
    heads = {"HeadBucket", "HeadObject"}  # a HEAD has no body that could hold a code
    return bool(_GONE.search(code(error))) or (code(error) == "404" and error.operation_name in heads)


def told(error: Exception) -> str:
    """Return what a botocore error says, for the user."""
    if isinstance(error, ClientError):
        message = str(error.response.get("Error", {}).get("Message", ""))
        if message.lstrip().startswith("<"):
            return (
                f"the local AWS has no answer to {error.operation_name} (HTTP {code(error)}): see the log of the cloud"
            )
        return f"AWS refused {error.operation_name}: {code(error)}: {message}"
    return f"the local AWS could not be reached: {error}. Is it running? `parley local status` tells"


def tags_of(config: Mapping[str, Any]) -> dict[str, str]:
    """Return declared tags as text."""
    return {key: str(value) for key, value in (config.get("tags") or {}).items()}


AWS_ERRORS = (ClientError, BotoCoreError)
