"""Everything the emulator remembers, as plain records that go to JSON and back.

Times are epoch seconds (float) of the movable clock. `seq` is a counter over all records: it orders lists and
makes page tokens stable while records come and go.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Final

FORMAT: Final = 1
ACTIVE: Final = frozenset({"open", "in-progress"})
"""The session states in which a pair (identifier, proxy identifier) is taken."""


class SnapshotError(ValueError):
    """A snapshot that cannot be loaded: not ours, damaged, or of another account."""


def new_sid(prefix: str) -> str:
    """Return a fresh SID: two letters and 32 hexadecimal digits."""
    return prefix + secrets.token_hex(16)


@dataclass(slots=True)
class Account:
    """An account or subaccount with its API keys (SK SID to secret)."""

    sid: str
    auth_token: str
    owner_sid: str
    friendly_name: str
    created: float
    updated: float
    seq: int
    secondary_token: str | None = None
    secondary_created: float | None = None
    keys: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class OwnedNumber:
    """An IncomingPhoneNumber. `settings` holds the webhook and registration fields by their REST names."""

    sid: str
    account_sid: str
    phone_number: str
    iso_country: str
    number_type: str
    capabilities: dict[str, bool]
    friendly_name: str
    settings: dict[str, str | None]
    created: float
    updated: float
    seq: int


@dataclass(slots=True)
class Service:
    """A Proxy Service. `history` maps an identifier to the proxy numbers it has had, the latest last."""

    sid: str
    account_sid: str
    unique_name: str
    created: float
    updated: float
    seq: int
    default_ttl: int | None = None
    callback_url: str | None = None
    intercept_callback_url: str | None = None
    out_of_session_callback_url: str | None = None
    geo_match_level: str = "country"
    number_selection_behavior: str = "prefer-sticky"
    chat_instance_sid: str | None = None
    history: dict[str, list[str]] = field(default_factory=dict)


@dataclass(slots=True)
class PoolNumber:
    """A number in a Service's pool; `draining` when it was removed while sessions still hold it."""

    sid: str
    service_sid: str
    account_sid: str
    phone_number: str
    created: float
    updated: float
    seq: int
    is_reserved: bool = False
    draining: bool = False


@dataclass(slots=True)
class Session:
    """A Proxy Session. `idle_since` is the moment its TTL counts from."""

    sid: str
    service_sid: str
    account_sid: str
    created: float
    updated: float
    idle_since: float
    seq: int
    unique_name: str | None = None
    mode: str = "voice-and-message"
    status: str = "open"
    ttl: int | None = None
    date_expiry: float | None = None
    started: float | None = None
    ended: float | None = None
    last_interaction: float | None = None
    closed_reason: str | None = None

    @property
    def active(self) -> bool:
        """Whether the session connects people."""
        return self.status in ACTIVE


@dataclass(slots=True)
class Participant:
    """One side of a session: who (`identifier`) and the masked number that side sees (`proxy_identifier`)."""

    sid: str
    session_sid: str
    service_sid: str
    account_sid: str
    identifier: str
    proxy_identifier: str
    proxy_identifier_sid: str
    created: float
    updated: float
    seq: int
    friendly_name: str | None = None


@dataclass(slots=True)
class Interaction:
    """One message or call through a session; one-sided if the API sent it."""

    sid: str
    session_sid: str
    service_sid: str
    account_sid: str
    type: str
    created: float
    updated: float
    seq: int
    data: str | None = None
    participant_sid: str | None = None
    inbound_participant_sid: str | None = None
    inbound_resource_sid: str | None = None
    inbound_resource_status: str | None = None
    outbound_participant_sid: str | None = None
    outbound_resource_sid: str | None = None
    outbound_resource_status: str | None = None


@dataclass(slots=True)
class Message:
    """An SMS or MMS. `final_at` is the moment from which it may be deleted."""

    sid: str
    account_sid: str
    from_: str
    to: str
    body: str
    direction: str
    status: str
    created: float
    updated: float
    final_at: float
    seq: int
    error_code: int | None = None
    media: list[dict[str, str]] = field(default_factory=list)
    """Each has `sid`, `url`, `content_type`, its `place` among them and, if it was given, its `content` in base64."""


@dataclass(slots=True)
class Call:
    """A leg of a call."""

    sid: str
    account_sid: str
    from_: str
    to: str
    direction: str
    status: str
    created: float
    updated: float
    seq: int
    parent_call_sid: str | None = None
    phone_number_sid: str | None = None
    started: float | None = None
    ended: float | None = None
    interaction_sid: str | None = None
    status_callback: str = ""
    status_events: list[str] = field(default_factory=list)
    url: str = ""
    """The document that whoever is called by REST hears, or with which a live call is to go on."""
    fallback: str = ""


@dataclass(slots=True)
class MessagingService:
    """A Messaging Service. `numbers` are SIDs, `campaigns` its A2P campaigns as the API shows them."""

    sid: str
    account_sid: str
    friendly_name: str
    created: float
    updated: float
    seq: int
    usecase: str = "undeclared"
    use_inbound_webhook_on_number: bool = False
    inbound_request_url: str = ""
    numbers: list[str] = field(default_factory=list)
    campaigns: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class EventSink:
    """Where events go. `kind` is webhook, kinesis, segment or email."""

    sid: str
    account_sid: str
    description: str
    kind: str
    configuration: dict[str, Any]
    created: float
    seq: int


@dataclass(slots=True)
class EventSubscription:
    """Which types of events a sink is told of."""

    sid: str
    account_sid: str
    sink_sid: str
    description: str
    types: list[str]
    created: float
    seq: int


@dataclass(slots=True)
class Conference:
    """A conference. `present` are the SIDs of the calls in it, `hosts` those with whose end it ends."""

    sid: str
    account_sid: str
    friendly_name: str
    status: str
    created: float
    updated: float
    seq: int
    status_callback: str = ""
    status_events: list[str] = field(default_factory=list)
    present: list[str] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)
    told: int = 0


@dataclass(slots=True)
class Recording:
    """A recording of a call, under its parent leg.

    `parts` are its pieces so far, (`sound` or `silence`, frames), of 8000 frames a second; `since` is the moment from
    which the piece under way counts. Both end with it: a finished recording has `frames`, a deleted one no parts.
    """

    sid: str
    account_sid: str
    call_sid: str
    status: str
    channels: int
    source: str
    track: str
    started: float
    created: float
    updated: float
    since: float
    seq: int
    trim: str = "do-not-trim"
    pause_behavior: str = "silence"
    parts: list[tuple[str, int]] = field(default_factory=list)
    frames: int | None = None
    error_code: int | None = None
    callback_url: str | None = None
    callback_events: list[str] = field(default_factory=list)
    deleted: float | None = None


@dataclass(slots=True)
class Transcription:
    """The transcription of a recording."""

    sid: str
    account_sid: str
    recording_sid: str
    text: str
    seconds: int
    created: float
    updated: float
    seq: int
    status: str = "completed"


@dataclass(slots=True)
class AccountDefault:
    """An account's default of one `kind` (`Recording`) for every call; `configuration` is as the client wrote it."""

    account_sid: str
    kind: str
    configuration: dict[str, Any]
    created: float
    updated: float
    description: str | None = None


@dataclass(slots=True)
class ArchivedCall:
    """The copy of a finished call in the bulk export of a UTC day (`2026-11-23`): an object of its own."""

    sid: str
    account_sid: str
    day: str


@dataclass(slots=True)
class Room:
    """A video Room. `idle_since` is the moment from which nobody is in it."""

    sid: str
    account_sid: str
    unique_name: str
    created: float
    updated: float
    idle_since: float
    seq: int
    status: str = "in-progress"
    ended: float | None = None
    status_callback: str | None = None
    rules: list[dict[str, Any]] = field(default_factory=list)
    rules_updated: float | None = None
    record_on_connect: bool = False
    max_participants: int = 50
    empty_minutes: int = 5
    unused_minutes: int = 5
    events: int = 0


@dataclass(slots=True)
class RoomParticipant:
    """Somebody in a Room. Each of `tracks` has `sid`, `kind` (`audio`, `video`) and `name`."""

    sid: str
    room_sid: str
    account_sid: str
    identity: str
    created: float
    updated: float
    seq: int
    status: str = "connected"
    ended: float | None = None
    tracks: list[dict[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class TrackRecording:
    """A recording of one track of one participant of a Room."""

    sid: str
    room_sid: str
    participant_sid: str
    account_sid: str
    track_sid: str
    track_name: str
    kind: str
    created: float
    seq: int
    status: str = "processing"
    seconds: float = 0.0


@dataclass(slots=True)
class Composition:
    """One file that was mixed from a Room's recordings."""

    sid: str
    room_sid: str
    account_sid: str
    created: float
    seq: int
    seconds: float
    status: str = "enqueued"
    resolution: str = "640x480"
    status_callback: str | None = None
    completed: float | None = None
    deleted: float | None = None


@dataclass(slots=True)
class VideoSettings:
    """Where an account's video `recordings` or `compositions` go, by the names of the REST fields."""

    account_sid: str
    kind: str
    values: dict[str, Any]


@dataclass(slots=True)
class Conversation:
    """A conversation of the account's default chat service. `next_index` is that of its next message."""

    sid: str
    account_sid: str
    created: float
    updated: float
    seq: int
    friendly_name: str | None = None
    unique_name: str | None = None
    attributes: str = "{}"
    state: str = "active"
    next_index: int = 0


@dataclass(slots=True)
class ChatParticipant:
    """Somebody in a conversation: by `identity` in an app, or by `address` on a phone that sees `proxy_address`."""

    sid: str
    conversation_sid: str
    account_sid: str
    created: float
    updated: float
    seq: int
    identity: str | None = None
    address: str | None = None
    proxy_address: str | None = None
    attributes: str = "{}"


@dataclass(slots=True)
class ChatMessage:
    """A message in a conversation."""

    sid: str
    conversation_sid: str
    account_sid: str
    index: int
    author: str
    body: str
    created: float
    updated: float
    seq: int
    participant_sid: str | None = None
    attributes: str = "{}"


@dataclass(slots=True)
class ChatHooks:
    """Where an account's conversations ask before they do something, and tell afterwards."""

    account_sid: str
    pre_url: str | None = None
    post_url: str | None = None
    filters: list[str] = field(default_factory=list)


@dataclass(slots=True)
class SharedKey:
    """A key that signs webhooks in place of the auth token."""

    id: str
    account_sid: str
    friendly_name: str
    kind: str | None
    secret: str
    created: float
    updated: float
    seq: int


@dataclass(slots=True)
class AuthProfile:
    """What Twilio proves itself with to a webhook's handler; `credentials` are by their REST names."""

    id: str
    account_sid: str
    friendly_name: str
    kind: str
    credentials: dict[str, str]
    created: float
    updated: float
    seq: int


@dataclass(slots=True)
class WebhookSetting:
    """How webhooks are authenticated, signed and repeated; its objects are as the REST API takes them."""

    id: str
    account_sid: str
    friendly_name: str
    description: str
    auth: dict[str, Any]
    signature: dict[str, str] | None
    connection: dict[str, Any] | None
    edge_zones: dict[str, Any] | None
    created: float
    updated: float
    seq: int


@dataclass(slots=True)
class WebhookRule:
    """Which Setting applies to which URL. `match` is the value or the prefix, by `match_type`."""

    id: str
    account_sid: str
    friendly_name: str
    description: str
    match_type: str
    match: str
    settings: list[dict[str, Any]]
    """Each has a `settingId` and a `percentage`."""
    created: float
    updated: float
    seq: int


@dataclass(slots=True)
class WebhookOperation:
    """A change of a Rule on its way. `before` is the Rule as it was, `failure` the code of one that changes nothing."""

    id: str
    account_sid: str
    resource_id: str
    before: dict[str, Any] | None
    failure: int | None
    created: float
    seq: int
    looks: int = 0
    completed: float | None = None


@dataclass(slots=True)
class WebhookAnswer:
    """What a request with an idempotency key was answered, without a secret."""

    account_sid: str
    request: str
    status: int
    body: dict[str, Any] | None
    headers: dict[str, str]


@dataclass(slots=True)
class Alert:
    """A debugger notification as Monitor lists it."""

    sid: str
    account_sid: str
    error_code: int
    log_level: str
    generated: float
    seq: int
    resource_sid: str | None = None
    service_sid: str | None = None
    text: str = ""
    request_method: str | None = None
    request_url: str | None = None
    request_variables: str = ""
    response_body: str | None = None


@dataclass(slots=True)
class Handset:
    """What one phone saw: dictionaries as `GET /_sim/phones/{number}` shows them."""

    messages: list[dict[str, Any]] = field(default_factory=list)
    calls: list[dict[str, Any]] = field(default_factory=list)


@dataclass(slots=True)
class State:
    """All tables, keyed by SID (handsets by number)."""

    accounts: dict[str, Account] = field(default_factory=dict)
    numbers: dict[str, OwnedNumber] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    pool: dict[str, PoolNumber] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    participants: dict[str, Participant] = field(default_factory=dict)
    interactions: dict[str, Interaction] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    calls: dict[str, Call] = field(default_factory=dict)
    conferences: dict[str, Conference] = field(default_factory=dict)
    messaging_services: dict[str, MessagingService] = field(default_factory=dict)
    event_sinks: dict[str, EventSink] = field(default_factory=dict)
    event_subscriptions: dict[str, EventSubscription] = field(default_factory=dict)
    recordings: dict[str, Recording] = field(default_factory=dict)
    transcriptions: dict[str, Transcription] = field(default_factory=dict)
    defaults: dict[str, AccountDefault] = field(default_factory=dict)
    """Keyed by account SID and kind, `AC…/Recording`."""
    archives: dict[str, ArchivedCall] = field(default_factory=dict)
    rooms: dict[str, Room] = field(default_factory=dict)
    room_participants: dict[str, RoomParticipant] = field(default_factory=dict)
    track_recordings: dict[str, TrackRecording] = field(default_factory=dict)
    compositions: dict[str, Composition] = field(default_factory=dict)
    video_settings: dict[str, VideoSettings] = field(default_factory=dict)
    """Keyed by account SID and kind, `AC…/recordings`."""
    conversations: dict[str, Conversation] = field(default_factory=dict)
    chat_participants: dict[str, ChatParticipant] = field(default_factory=dict)
    chat_messages: dict[str, ChatMessage] = field(default_factory=dict)
    chat_hooks: dict[str, ChatHooks] = field(default_factory=dict)
    """Keyed by account SID."""
    shared_keys: dict[str, SharedKey] = field(default_factory=dict)
    auth_profiles: dict[str, AuthProfile] = field(default_factory=dict)
    webhook_settings: dict[str, WebhookSetting] = field(default_factory=dict)
    webhook_rules: dict[str, WebhookRule] = field(default_factory=dict)
    webhook_operations: dict[str, WebhookOperation] = field(default_factory=dict)
    webhook_answers: dict[str, WebhookAnswer] = field(default_factory=dict)
    """Keyed by account SID and idempotency key."""
    alerts: dict[str, Alert] = field(default_factory=dict)
    handsets: dict[str, Handset] = field(default_factory=dict)
    opt_outs: set[tuple[str, str]] = field(default_factory=set)
    """Blocked pairs (Twilio number, user)."""
    seq: int = 0

    RECORDS: ClassVar[dict[str, type[Any]]] = {
        "accounts": Account,
        "numbers": OwnedNumber,
        "services": Service,
        "pool": PoolNumber,
        "sessions": Session,
        "participants": Participant,
        "interactions": Interaction,
        "messages": Message,
        "calls": Call,
        "conferences": Conference,
        "messaging_services": MessagingService,
        "event_sinks": EventSink,
        "event_subscriptions": EventSubscription,
        "recordings": Recording,
        "transcriptions": Transcription,
        "defaults": AccountDefault,
        "archives": ArchivedCall,
        "rooms": Room,
        "room_participants": RoomParticipant,
        "track_recordings": TrackRecording,
        "compositions": Composition,
        "video_settings": VideoSettings,
        "conversations": Conversation,
        "chat_participants": ChatParticipant,
        "chat_messages": ChatMessage,
        "chat_hooks": ChatHooks,
        "shared_keys": SharedKey,
        "auth_profiles": AuthProfile,
        "webhook_settings": WebhookSetting,
        "webhook_rules": WebhookRule,
        "webhook_operations": WebhookOperation,
        "webhook_answers": WebhookAnswer,
        "alerts": Alert,
        "handsets": Handset,
    }
    YOUNGER: ClassVar[frozenset[str]] = frozenset(
        {
            "conferences",
            "messaging_services",
            "event_sinks",
            "event_subscriptions",
            "recordings",
            "transcriptions",
            "defaults",
            "archives",
            "rooms",
            "room_participants",
            "track_recordings",
            "compositions",
            "video_settings",
            "conversations",
            "chat_participants",
            "chat_messages",
            "chat_hooks",
            "shared_keys",
            "auth_profiles",
            "webhook_settings",
            "webhook_rules",
            "webhook_operations",
            "webhook_answers",
        }
    )
    """Tables that snapshots of before may lack."""

    def next_seq(self) -> int:
        """Return the next value of the record counter."""
        self.seq += 1
        return self.seq

    def handset(self, number: str) -> Handset:
        """Return the phone with this number; every number is somebody's phone."""
        return self.handsets.setdefault(number, Handset())

    def to_json(self) -> bytes:
        """Return the whole state as JSON bytes."""
        document: dict[str, Any] = {"format": FORMAT, "seq": self.seq, "opt_outs": sorted(self.opt_outs)}
        for table in self.RECORDS:
            document[table] = {key: asdict(record) for key, record in getattr(self, table).items()}
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, raw: bytes) -> State:
        """Return the state that `to_json` wrote. Raises SnapshotError if it cannot be read."""
        try:
            document = json.loads(raw)
            found = document["format"]
            state = cls(seq=document["seq"], opt_outs={(number, user) for number, user in document["opt_outs"]})
            for table, record in cls.RECORDS.items():
                rows = document.get(table, {}) if table in cls.YOUNGER else document[table]
                setattr(state, table, {key: record(**values) for key, values in rows.items()})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SnapshotError(f"not a snapshot of the Twilio emulator ({type(error).__name__})") from error
        if found != FORMAT:
            raise SnapshotError(f"the snapshot has format {found!r}, this emulator reads {FORMAT}")
        return state
