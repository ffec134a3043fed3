"""What an account does to every call by itself: the defaults of voice.twilio.com/v2.

https://www.twilio.com/docs/configurations/recording-account-default-configuration-resource: one for each account, and
in force for every call without TwiML or a request. The page does not say how such a recording's `source` reads; it is
that of a recording that was asked for here, so that nobody is safe by telling them apart.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from local.twilio.errors import TwilioError
from local.twilio.recordings import Order, order
from local.twilio.state import AccountDefault

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.twilio.state import State

RECORDING: Final = "Recording"
_POLICY: Final = {"channels": "RecordingChannels", "track": "RecordingTrack", "trim": "Trim"}
_CALLBACK: Final = {"url": "RecordingStatusCallback", "method": "RecordingStatusCallbackMethod"}


class AccountDefaults:
    """The account's defaults. Not thread-safe: the caller holds the carrier's lock."""

    def __init__(self, state: State, now: Callable[[], float]) -> None:
        self._state = state
        self._now = now

    def fetch(self, account_sid: str, kind: str) -> AccountDefault:
        """Return a default. Raises TwilioError 20404 if the account has none of this kind."""
        found = self._state.defaults.get(f"{account_sid}/{kind}")
        if found is None:
            raise TwilioError(20404, f"/AccountDefaultConfiguration/{kind}")
        return found

    def put(self, account_sid: str, kind: str, wanted: Mapping[str, Any]) -> AccountDefault:
        """Set a default from its `description` and `configuration`. Raises TwilioError 20001."""
        configuration, description = wanted.get("configuration") or {}, wanted.get("description")
        if not isinstance(configuration, dict) or not isinstance(description, str | None):
            raise TwilioError(20001, "configuration must be an object and description a text")
        if kind != RECORDING:
            raise TwilioError(20001, f"only the kind {RECORDING} is emulated")
        _order(configuration)
        now = self._now()
        key = f"{account_sid}/{kind}"
        before = self._state.defaults.get(key)
        made = AccountDefault(account_sid, kind, configuration, before.created if before else now, now, description)
        self._state.defaults[key] = made
        return made

    def delete(self, account_sid: str, kind: str) -> None:
        """Take a default away. Raises TwilioError 20404 if there is none."""
        self.fetch(account_sid, kind)
        del self._state.defaults[f"{account_sid}/{kind}"]

    def recording(self, account_sid: str) -> Order | None:
        """Return how every call of the account is recorded, None if it is not."""
        found = self._state.defaults.get(f"{account_sid}/{RECORDING}")
        return None if found is None else _order(found.configuration)


def _order(configuration: Mapping[str, Any]) -> Order:
    policy = configuration.get("compositionPolicy") or {}
    callback = configuration.get("callRecordingStatusCallback") or {}
    if not isinstance(policy, dict) or not isinstance(callback, dict):
        raise TwilioError(20001, "compositionPolicy and callRecordingStatusCallback must be objects")
    form = {name: str(policy[key]) for key, name in _POLICY.items() if policy.get(key)}
    form |= {name: str(callback[key]) for key, name in _CALLBACK.items() if callback.get(key)}
    return order(form, [str(event) for event in callback.get("events") or ()])
