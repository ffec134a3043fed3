"""The carrier without its HTTP surface: the state, the products over it, and the one lock around both."""

from __future__ import annotations

import hmac
import secrets
import threading
from typing import TYPE_CHECKING

from local.twilio.account_defaults import AccountDefaults
from local.twilio.alerts import Alerts
from local.twilio.compositions import Compositions
from local.twilio.conversations import Conversations
from local.twilio.errors import TwilioError
from local.twilio.events import EventStreams
from local.twilio.messaging import Messaging
from local.twilio.messaging_services import MessagingServices
from local.twilio.numbers import Numbers
from local.twilio.proxy import Proxy
from local.twilio.recordings import Recordings
from local.twilio.signing import sign_link
from local.twilio.state import Account, SnapshotError, State, new_sid
from local.twilio.video import Video
from local.twilio.voice import Voice
from local.twilio.webhook_rules import WebhookRules

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from local.clock import Clock
    from local.twilio.callbacks import Notice
    from local.twilio.state import Alert, Call


class Carrier:
    """One emulated Twilio with one main account. Whoever reads or writes a product holds `lock`."""

    state: State
    alerts: Alerts
    compositions: Compositions
    conversations: Conversations
    defaults: AccountDefaults
    numbers: Numbers
    proxy: Proxy
    messaging: Messaging
    messaging_services: MessagingServices
    events: EventStreams
    recordings: Recordings
    video: Video
    voice: Voice
    webhook_rules: WebhookRules

    def __init__(self, *, account_sid: str, auth_token: str, api_key: str, api_secret: str, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.account_sid = account_sid
        self._credentials = (auth_token, {api_key: api_secret})
        self._notices: list[Notice] = []
        self.on_alert: Callable[[Alert], None] = lambda _: None
        """Is told each alert, with the lock held."""
        self._claims: set[tuple[str, str]] = set()
        self.reset()
        clock.subscribe(self._on_clock)

    def reset(self) -> None:
        """Start anew: the main account with its first credentials and numbers, nothing else."""
        auth_token, keys = self._credentials
        with self.lock:
            state = State()
            now = self.clock.now()
            state.accounts[self.account_sid] = Account(
                self.account_sid, auth_token, self.account_sid, "local", now, now, state.next_seq(), keys=dict(keys)
            )
            self._use(state)
            self.numbers.seed(self.account_sid)

    def load(self, raw: bytes) -> None:
        """Go on from a snapshot. Raises SnapshotError if it is not one of this account; nothing has changed then."""
        state = State.from_json(raw)
        if self.account_sid not in state.accounts:
            raise SnapshotError("the snapshot belongs to another account")
        with self.lock:
            self._use(state)

    def save(self) -> bytes:
        """Return a snapshot of everything, credentials included."""
        with self.lock:
            return self.state.to_json()

    def _use(self, state: State) -> None:
        now = self.clock.now
        self._notices.clear()
        self.state = state
        self.alerts = Alerts(state, now, self._alerted)
        self.events = EventStreams(state, now)
        self.numbers = Numbers(state, now)
        self.proxy = Proxy(state, now, self.alerts.record)
        self.messaging = Messaging(state, now)
        self.messaging_services = MessagingServices(state, now, self.numbers)
        self.defaults = AccountDefaults(state, now)
        self.recordings = Recordings(state, now, self._notices.append)
        self.video = Video(state, now, self._notices.append)
        self.conversations = Conversations(state, now)
        self.compositions = Compositions(state, now, self.video, self._notices.append)
        self.voice = Voice(state, now, self._call_began, self.recordings.call_ended)
        self.webhook_rules = WebhookRules(state, now)

    def _alerted(self, alert: Alert) -> None:
        self.on_alert(alert)

    def settle(self, processing_seconds: float) -> list[Notice]:
        """Let the products act on the time, and return, once, what there is to tell. The caller holds the lock."""
        self.recordings.settle(processing_seconds)
        self.video.settle()
        self.compositions.settle()
        notices = list(self._notices)
        self._notices.clear()
        return notices

    def _call_began(self, call: Call) -> None:
        """Record a call that the account's default has recorded."""
        wish = self.defaults.recording(call.account_sid)
        if wish is not None and call.parent_call_sid is None:
            self.recordings.start(self.voice.legs(call), wish)

    def _on_clock(self, _now: float) -> None:
        with self.lock:
            self.proxy.expire()

    # Accounts -------------------------------------------------------------------------------------------------

    def authenticate(self, user: str, password: str) -> Account:
        """Return the account of an AC SID and one of its auth tokens, or of an API key. Raises TwilioError 20003."""
        for account in self.state.accounts.values():
            tokens = [account.auth_token, account.secondary_token]
            known = tokens if account.sid == user else [account.keys.get(user)]
            if any(
                secret is not None and secrets.compare_digest(secret.encode(), password.encode()) for secret in known
            ):
                return account
        raise TwilioError(20003)

    def scope(self, account: Account, sid: str) -> Account:
        """Return the account in a path: the caller's own or its subaccount. Raises TwilioError 20003 for any other."""
        target = self.state.accounts.get(sid)
        if target is None or account.sid not in {target.sid, target.owner_sid}:
            raise TwilioError(20003, "the credentials are not those of the account in the path")
        return target

    def create_subaccount(self, owner: Account, friendly_name: str) -> Account:
        """Open a subaccount with its own auth token."""
        now = self.clock.now()
        account = Account(
            new_sid("AC"), secrets.token_hex(16), owner.sid, friendly_name, now, now, self.state.next_seq()
        )
        self.state.accounts[account.sid] = account
        return account

    def authenticate_link(self, path: str, query: Mapping[str, str]) -> Account:
        """Return the account whose media a signed link reaches. Raises TwilioError 20003 with status 403."""
        for account in self.state.accounts.values():
            expected = sign_link(account.auth_token, path, query.get("Expires", ""))
            if hmac.compare_digest(expected, query["Signature"]) and self.clock.now() < int(query["Expires"]):
                return account
        raise TwilioError(20003, "the link is not signed, or has run out", status=403)

    def create_secondary_token(self, account: Account) -> str:
        """Give an account a second auth token that logs in but does not sign yet."""
        account.secondary_token, account.secondary_created = secrets.token_hex(16), self.clock.now()
        return account.secondary_token

    def delete_secondary_token(self, account: Account) -> None:
        """Take the second auth token away. Raises TwilioError 20404 if there is none."""
        if account.secondary_token is None:
            raise TwilioError(20404, "/AuthTokens/Secondary")
        account.secondary_token = account.secondary_created = None

    def promote_secondary_token(self, account: Account) -> str:
        """Make the second token the only one: it signs from now on, and the old one is refused at once.

        Source: https://www.twilio.com/docs/iam/api/authtoken. Raises TwilioError 20404 if there is none.
        """
        if account.secondary_token is None:
            raise TwilioError(20404, "/AuthTokens/Secondary")
        account.auth_token, account.updated = account.secondary_token, self.clock.now()
        account.secondary_token = account.secondary_created = None
        return account.auth_token

    def create_key(self, account: Account) -> tuple[str, str]:
        """Give an account another API key and return its SID and secret."""
        sid, secret = new_sid("SK"), secrets.token_urlsafe(24)
        account.keys[sid] = secret
        return sid, secret

    def delete_key(self, account: Account, sid: str) -> None:
        """Take an API key away: it is refused at once. Raises TwilioError 20404 if the account has no such key."""
        if account.keys.pop(sid, None) is None:
            raise TwilioError(20404, f"/Keys/{sid}")

    def take_back_rotations(self) -> None:
        """Give the main account the auth token and the API keys again that it began with, and no other ones."""
        with self.lock:
            account = self.state.accounts[self.account_sid]
            account.auth_token, keys = self._credentials
            account.keys = dict(keys)
            account.secondary_token = account.secondary_created = None

    # Concurrent creates ---------------------------------------------------------------------------------------

    def claim(self, service_sid: str, identifiers: set[str]) -> frozenset[tuple[str, str]]:
        """Note that a session with these identifiers is being created; release the result with `unclaim`.

        Raises TwilioError 80623 if another create in flight has one of them: the real Proxy answers 409 then.
        """
        wanted = frozenset((service_sid, identifier) for identifier in identifiers)
        with self.lock:
            if self._claims & wanted:
                raise TwilioError(80623)
            self._claims |= wanted
        return wanted

    def unclaim(self, claimed: frozenset[tuple[str, str]]) -> None:
        """End a claim."""
        with self.lock:
            self._claims -= claimed
