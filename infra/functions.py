"""The functions of the stack, as a table: what starts each one, and all that it may touch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from parley.env import DIRECT, PROXY

from infra.masking import CALL, CALLBACK, FALLBACK, INTERCEPT, MESSAGE, OUT_OF_SESSION
from infra.settings import Settings

RECORDING = "/twilio/recording"
"""Where Twilio tells that a recording is finished (its `RecordingStatusCallback`)."""

# A transaction needs the permission of each of its parts. Nothing may delete: rows leave by their time to live.
_LOOK_UP, _LIST, _WRITE, _CHANGE = (
    "dynamodb:GetItem",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
)
_WITHDRAW = (_LOOK_UP, _LIST, _WRITE, _CHANGE)

OPTOUT = "/optout/"
"""What the path of the page begins with that refuses all contact."""

READS = frozenset({_LOOK_UP, _LIST})
"""The actions that let a function read the ledger."""


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the API: `POST /v1/sessions`. First-party callers sign with IAM, Twilio with its auth token."""

    method: str
    path: str

    @property
    def key(self) -> str:
        """The route key of API Gateway."""
        return f"{self.method} {self.path}"

    @property
    def authorization(self) -> str:
        """How API Gateway checks the caller.

        Twilio signs the body with its auth token, which no authorizer of an HTTP API gets to see; so these routes are
        open here, and the handler checks X-Twilio-Signature before it does anything else. The page that refuses all
        contact is for people, whose link is their proof: the handler checks its MAC first.
        """
        return "NONE" if self.path.startswith(("/twilio/", OPTOUT)) else "AWS_IAM"

    @property
    def source(self) -> str:
        """The end of the ARN that API Gateway calls a function as: any stage, this method, this path."""
        segments = ["*" if segment.startswith("{") else segment for segment in self.path.split("/")]
        return f"/*/{self.method}{'/'.join(segments)}"


Objects = Literal["", "archives", "reads", "holds", "erases"]
"""What a function does with recordings, messages and evidence in the buckets."""


@dataclass(frozen=True, slots=True)
class Work:
    """A queue that feeds a function.

    `visibility` is after how many seconds a message that was not done comes again, at least as long as the function may
    take; `receives` how often it comes before it is set aside; `batch` how many messages come at once; `concurrency`
    how many executions the queue may start at the same time (0: as many as Lambda likes).
    """

    visibility: int
    receives: int
    batch: int = 1
    concurrency: int = 0


SESSIONS = "sessions"
"""The function that opens sessions."""


@dataclass(frozen=True, slots=True)
class Handler:
    """A function of the gate: what starts it, how long it may take (seconds), and what it needs to do its work.

    `table` and `index` are the actions on the ledger and on its index of open sessions; `identifies` says that it is
    given phone numbers, and so has to make party keys. `every` is the schedule expression of one that the clock
    starts.
    `inspects` lets it read the settings of the whole stack, `seals` lets it encrypt plain identifiers for the ledger.
    `memory` is the least that it needs, in megabytes. One that `carries` is given the credentials of Twilio; one that
    `follows` is fed by the ledger's stream and makes the copies of consent records, one that `audits` reads them. One
    with `work` is fed by a queue of its own; `sends` names the functions whose queues it puts work on. `stores` is what
    it does with the objects of the buckets. One that `gates` decides before Twilio connects anybody, so that its cold
    start counts. One with a `channel` is deployed only where the stack has that channel, one
    with a `masking` only where people are masked that way.
    """

    name: str
    entry: str
    timeout: int
    table: tuple[str, ...]
    routes: tuple[Route, ...] = ()
    index: tuple[str, ...] = ()
    identifies: bool = True
    every: str = ""
    inspects: bool = False
    memory: int = 0
    seals: bool = False
    carries: bool = True
    follows: bool = False
    audits: bool = False
    work: Work | None = None
    sends: tuple[str, ...] = ()
    stores: Objects = ""
    gates: bool = False
    channel: str = ""
    masking: str = ""

    @property
    def reaches(self) -> bool:
        """Whether it may have to reach people in a session: whoever ends one tells the others."""
        return self.carries and self.masking != PROXY and _CHANGE in self.table


HANDLERS = (
    # Twilio waits 15 s for a webhook and then connects: a function must have failed by then. Any of the three may meet
    # a stop word, which is written down and closes the sender's sessions.
    Handler(
        "intercept",
        "parley.handlers.intercept.handle",
        8,
        _WITHDRAW,
        (Route("POST", INTERCEPT),),
        identifies=False,
        gates=True,
        masking=PROXY,
    ),
    Handler(
        "interaction",
        "parley.handlers.interaction.handle",
        8,
        _WITHDRAW,
        (Route("POST", CALLBACK),),
        identifies=False,
        sends=("recorder", "archive"),
        masking=PROXY,
    ),
    Handler(
        "out-of-session",
        "parley.handlers.out_of_session.handle",
        8,
        _WITHDRAW,
        (Route("POST", OUT_OF_SESSION),),
        masking=PROXY,
    ),
    # Twilio waits 15 s, and then asks the fallback. A text has to be on its way by then.
    Handler(
        "inbound-call",
        "parley.handlers.inbound_call.handle",
        10,
        _WITHDRAW,
        (Route("POST", CALL), Route("POST", f"{CALL}/{{step}}")),
        sends=("recorder",),
        gates=True,
        masking=DIRECT,
    ),
    Handler(
        "inbound-message",
        "parley.handlers.inbound_message.handle",
        14,
        _WITHDRAW,
        (Route("POST", MESSAGE), Route("POST", f"{MESSAGE}/{{step}}")),
        sends=("archive",),
        gates=True,
        masking=DIRECT,
    ),
    # It answers when the others do not, so it reads nothing but the secret that proves who asks.
    Handler(
        "fallback",
        "parley.handlers.fallback.handle",
        8,
        (),
        (Route("POST", FALLBACK),),
        identifies=False,
        masking=DIRECT,
    ),
    # Twilio fetches the files of a text while it sends it; the longest takes seconds.
    Handler(
        "media",
        "parley.handlers.media.handle",
        14,
        (),
        # It asks for the type of a file first.
        (Route("GET", "/twilio/media/{token}"), Route("HEAD", "/twilio/media/{token}")),
        memory=512,
        masking=DIRECT,
    ),
    # The key that a caller pressed; nobody is connected by it, so Twilio only says that something failed.
    Handler("voice", "parley.handlers.voice.handle", 8, _WITHDRAW, (Route("POST", "/twilio/voice"),)),
    # A sink of Event Streams waits 5 s.
    Handler("events", "parley.handlers.events.handle", 8, _WITHDRAW, (Route("POST", "/twilio/events"),)),
    Handler("sms", "parley.handlers.sms.handle", 8, _WITHDRAW, (Route("POST", "/twilio/sms"),)),
    # API Gateway waits 30 s.
    Handler(
        "consents",
        "parley.handlers.consents.handle",
        29,
        _WITHDRAW,
        (
            Route("POST", "/v1/consents"),
            Route("GET", "/v1/consents/{party}"),
            Route("GET", "/v1/consents/{party}/receipts/{id}"),
        ),
        seals=True,
    ),
    Handler(
        "optout",
        "parley.handlers.optout.handle",
        29,
        _WITHDRAW,
        (Route("GET", f"{OPTOUT}{{token}}"), Route("POST", f"{OPTOUT}{{token}}")),
    ),
    Handler(
        "optout-links",
        "parley.handlers.optout_links.handle",
        10,
        # A link is kept nowhere.
        (),
        (Route("POST", "/v1/optout-links"),),
        carries=False,
    ),
    Handler(
        "questions",
        "parley.handlers.questions.handle",
        29,
        # It appends to a chain, as `consents` does.
        _WITHDRAW,
        (Route("POST", "/v1/questions"),),
        seals=True,
    ),
    Handler(
        "sessions",
        "parley.handlers.sessions.handle",
        29,
        # A session is written on condition that its consents have not changed.
        (*_WITHDRAW, "dynamodb:ConditionCheckItem"),
        (
            Route("POST", "/v1/sessions"),
            Route("GET", "/v1/sessions/{id}"),
            Route("DELETE", "/v1/sessions/{id}"),
            Route("POST", "/v1/sessions/{id}/renewals"),
            Route("GET", "/v1/decisions/{id}"),
        ),
    ),
    # Started every minute, or as often as parley:session.reconcileSeconds says: one run is over when the next begins.
    Handler("reconcile", "parley.handlers.reconcile.handle", 55, _WITHDRAW, index=(_LIST,), every="rate(1 minute)"),
    # Lists every version in every bucket, all prefixes at once; its reads stop well before its time is over.
    Handler(
        "verify",
        "parley.handlers.verify.handle",
        300,
        (),
        identifies=False,
        # A little under a day, so that the alarm on its silence finds a run in every window of a day.
        every="rate(23 hours)",
        inspects=True,
        memory=1024,
    ),
    # A batch of a hundred copies takes seconds. The list of a person's rows is for copying one person again.
    Handler(
        "evidence",
        "parley.handlers.evidence.handle",
        60,
        (_LIST,),
        identifies=False,
        carries=False,
        follows=True,
    ),
    # As long as Lambda lets a function run, with a whole processor; what is left goes on an hour later.
    Handler(
        "chain",
        "parley.handlers.chains.handle",
        900,
        (_LOOK_UP, _LIST, "dynamodb:Scan"),
        identifies=False,
        carries=False,
        every="rate(1 hour)",
        audits=True,
        memory=1769,
    ),
    # A call is in progress a few seconds after it rings, and cannot be recorded before. Each minute it looks after what
    # is being recorded: a consent may run out meanwhile.
    Handler(
        "recorder",
        "parley.handlers.recorder.handle",
        29,
        (*_WITHDRAW, "dynamodb:ConditionCheckItem"),
        (
            Route("POST", "/v1/calls/{sid}/pause"),
            Route("POST", "/v1/calls/{sid}/resume"),
            Route("POST", "/v1/calls/{sid}/stop"),
        ),
        index=(_LIST,),
        identifies=False,
        every="rate(1 minute)",
        work=Work(visibility=60, receives=10),
        sends=("recorder",),
    ),
    Handler(
        "recording",
        "parley.handlers.recording.handle",
        8,
        (_LOOK_UP, _WRITE),
        (Route("POST", RECORDING),),
        identifies=False,
        sends=("archive",),
    ),
    # Four hours in two channels take minutes; what Twilio will not give yet comes again in a quarter of an hour.
    Handler(
        "archive",
        "parley.handlers.archive.handle",
        840,
        _WITHDRAW,
        work=Work(visibility=900, receives=20),
        sends=("archive",),
        stores="archives",
    ),
    # A hundred deletions at once for each hour's worth of records, and so many hours at once as Twilio stands.
    Handler(
        "sweep",
        "parley.handlers.sweep.handle",
        840,
        _WITHDRAW,
        every="rate(1 hour)",
        work=Work(visibility=900, receives=20, batch=10, concurrency=5),
        sends=("sweep", "archive", "holds"),
        memory=1769,
    ),
    Handler(
        "access",
        "parley.handlers.access.handle",
        10,
        (_LOOK_UP, _LIST, _WRITE),
        (Route("POST", "/v1/recordings/{sid}/access"), Route("GET", "/v1/recordings/{sid}")),
        identifies=False,
        carries=False,
        stores="reads",
    ),
    Handler(
        "holds",
        "parley.handlers.holds.handle",
        840,
        _WITHDRAW,
        (
            Route("GET", "/v1/holds"),
            Route("GET", "/v1/holds/{id}"),
            Route("PUT", "/v1/holds/{id}"),
            Route("DELETE", "/v1/holds/{id}"),
        ),
        carries=False,
        work=Work(visibility=900, receives=20),
        sends=("holds", "erasures"),
        stores="holds",
    ),
    Handler(
        "erasures",
        "parley.handlers.erasures.handle",
        840,
        (*_WITHDRAW, "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"),
        (Route("POST", "/v1/erasures"), Route("GET", "/v1/erasures/{id}")),
        work=Work(visibility=900, receives=20),
        sends=("erasures",),
        stores="erases",
    ),
    # Twilio Video tells what happens in a room, and asks nobody: recording is off until everybody in it consents.
    Handler(
        "rooms",
        "parley.handlers.rooms.handle",
        14,
        (*_WITHDRAW, "dynamodb:ConditionCheckItem"),
        (Route("POST", "/twilio/room"),),
        index=(_LIST,),
        every="rate(1 minute)",
        work=Work(visibility=60, receives=10),
        sends=("archive", "rooms"),
        channel="video",
    ),
    # Conversations asks before it takes a message, and waits 5 s.
    Handler(
        "chat",
        "parley.handlers.chat.handle",
        4,
        _WITHDRAW,
        (Route("POST", "/twilio/conversation"),),
        sends=("archive",),
        channel="chat",
    ),
)


def handlers(settings: Settings) -> tuple[Handler, ...]:
    """Return the functions of a stack: those of its channels; it says how often the reconciler runs."""
    minutes = settings.session.reconcile_seconds // 60
    every = "rate(1 minute)" if minutes == 1 else f"rate({minutes} minutes)"
    return tuple(
        replace(each, every=every) if each.name == "reconcile" else each
        for each in HANDLERS
        if (not each.channel or each.channel in settings.channels) and each.masking in {"", settings.masking}
    )


def deployed_name(settings: Settings, handler: str) -> str:
    """Return the name of a function and of its role: key policies name the role before it exists."""
    return f"{settings.prefix}-{handler}"


def role_names(settings: Settings, *, identifying: bool = False) -> list[str]:
    """Return the names of the roles that functions run under: all, or those of functions that make party keys."""
    return [deployed_name(settings, each.name) for each in handlers(settings) if each.identifies or not identifying]


def carrying_roles(settings: Settings) -> list[str]:
    """Return the names of the roles of the functions that may read the Twilio secret."""
    return [deployed_name(settings, each.name) for each in handlers(settings) if each.carries]


def sealing_roles(settings: Settings) -> list[str]:
    """Return the names of the roles of the functions that seal plain identifiers."""
    return [deployed_name(settings, each.name) for each in handlers(settings) if each.seals]


def reaching_roles(settings: Settings) -> list[str]:
    """Return the names of the roles of the functions that call, text or tell the people in a session of our own."""
    return [deployed_name(settings, each.name) for each in handlers(settings) if each.reaches]


def storing_roles(settings: Settings, *what: Objects) -> list[str]:
    """Return the names of the roles of the functions that do one of these with the objects of the buckets."""
    return [deployed_name(settings, each.name) for each in handlers(settings) if each.stores in what]
