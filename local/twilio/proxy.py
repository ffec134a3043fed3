"""Proxy's state machine: services, pools, number assignment, sessions, participants, interactions.

Pure: no HTTP, no threads, no waiting; the clock is a function. Rules and codes follow
https://www.twilio.com/docs/proxy/understanding-phone-number-management and the pages of the error codes.
The invariant that everything here serves: one pair (identifier, proxy identifier) is active in one session at most.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from local.twilio import numbers as phone_numbers
from local.twilio.errors import TwilioError
from local.twilio.moments import parse_moment
from local.twilio.state import Interaction, Participant, PoolNumber, Service, Session, new_sid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from local.twilio.state import OwnedNumber, State

GEO_MATCH_LEVELS: Final = frozenset({"country", "area-code", "extended-area-code"})
SELECTION_BEHAVIORS: Final = frozenset({"prefer-sticky", "avoid-sticky"})
MODES: Final = {
    "voice-and-message": ("voice", "sms"),
    "voice-only": ("voice",),
    "message-only": ("sms",),
}
"""What a proxy number must be capable of in each session mode."""
UNREPORTED_TTL: Final = 90 * 86400
"""TTL of a session where neither it nor its Service names one, in seconds (error page 80904)."""
POOL_LIMITS: Final = {False: 500, True: 5000}
"""The most numbers in one Service, unreserved and reserved (https://www.twilio.com/docs/proxy/proxy-limits)."""
PROXY_INTAKE: Final = "https://webhooks.twilio.com/v1"
"""Where the numbers of a pool send calls and texts: Proxy's own webhooks, which have no life of their own here."""
MAX_PARTICIPANTS: Final = 2
MAX_NAME: Final = 191
MAX_FRIENDLY_NAME: Final = 255
MAX_URL: Final = 4000
MAX_TTL: Final = 2147483647

_CAPABILITY_CODES: Final = {"voice": 80201, "sms": 80202}


class Wish(NamedTuple):
    """A participant that a caller asks for."""

    identifier: str
    friendly_name: str | None = None
    proxy_identifier: str | None = None
    proxy_identifier_sid: str | None = None


class Seat(NamedTuple):
    """A wish with the pool number it was given."""

    wish: Wish
    number: PoolNumber


class Proxy:
    """The Proxy product over a `State`. Not thread-safe: the caller holds the carrier's lock.

    `alert(code, account_sid, service_sid, resource_sid)` records a debugger notification.
    """

    def __init__(
        self, state: State, now: Callable[[], float], alert: Callable[[int, str, str | None, str | None], object]
    ) -> None:
        self._state = state
        self._now = now
        self._alert = alert
        self._active: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self._deadlines: list[tuple[float, str]] = []
        self._members: defaultdict[str, list[str]] = defaultdict(list)
        self._logs: defaultdict[str, list[str]] = defaultdict(list)
        for interaction in state.interactions.values():
            self._logs[interaction.session_sid].append(interaction.sid)
        for participant in state.participants.values():
            self._members[participant.session_sid].append(participant.sid)
            if state.sessions[participant.session_sid].active:
                self._active[participant.proxy_identifier][participant.identifier] = participant.sid
        for session in state.sessions.values():
            self._watch(session)

    # Services -------------------------------------------------------------------------------------------------

    def service(self, account_sid: str, sid: str) -> Service:
        """Return an account's Service. Raises TwilioError 20404."""
        service = self._state.services.get(sid)
        if service is None or service.account_sid != account_sid:
            raise TwilioError(20404, f"/Services/{sid}")
        return service

    def services(self, account_sid: str) -> list[Service]:
        """Return an account's Services."""
        return [service for service in self._state.services.values() if service.account_sid == account_sid]

    def create_service(self, account_sid: str, form: Mapping[str, str]) -> Service:
        """Create a Service. Raises TwilioError 20001 (a parameter) or 80602 (the name is taken)."""
        now = self._now()
        service = Service(new_sid("KS"), account_sid, "", now, now, self._state.next_seq())
        if not form.get("UniqueName"):
            raise TwilioError(20001, "UniqueName is required")
        self._apply_to_service(service, form)
        self._state.services[service.sid] = service
        return service

    def update_service(self, account_sid: str, sid: str, form: Mapping[str, str]) -> Service:
        """Change a Service; an empty string clears a URL; parameters that are not sent stay."""
        service = self.service(account_sid, sid)
        self._apply_to_service(service, form)
        service.updated = self._now()
        return service

    def delete_service(self, account_sid: str, sid: str) -> None:
        """Delete a Service with its pool, sessions, participants and interactions."""
        service = self.service(account_sid, sid)
        for session in self.sessions(service):
            self.delete_session(session)
        for number in [number for number in self._state.pool.values() if number.service_sid == sid]:
            del self._state.pool[number.sid]
        del self._state.services[sid]

    def _apply_to_service(self, service: Service, form: Mapping[str, str]) -> None:
        name = _text(form, "UniqueName", MAX_NAME) or service.unique_name
        if any(other.unique_name == name and other.sid != service.sid for other in self.services(service.account_sid)):
            raise TwilioError(80602)
        urls = {
            key: _url(form, key)
            for key in ("CallbackUrl", "InterceptCallbackUrl", "OutOfSessionCallbackUrl")
            if key in form
        }
        level = _choice(form, "GeoMatchLevel", GEO_MATCH_LEVELS, service.geo_match_level)
        behavior = _choice(form, "NumberSelectionBehavior", SELECTION_BEHAVIORS, service.number_selection_behavior)
        default_ttl = _integer(form, "DefaultTtl", 0) if "DefaultTtl" in form else service.default_ttl
        service.unique_name, service.default_ttl = name, default_ttl
        service.geo_match_level, service.number_selection_behavior = level, behavior
        service.callback_url = urls.get("CallbackUrl", service.callback_url)
        service.intercept_callback_url = urls.get("InterceptCallbackUrl", service.intercept_callback_url)
        service.out_of_session_callback_url = urls.get("OutOfSessionCallbackUrl", service.out_of_session_callback_url)
        if "ChatInstanceSid" in form:
            service.chat_instance_sid = form["ChatInstanceSid"] or None

    # Pool -----------------------------------------------------------------------------------------------------

    def pool(self, service: Service) -> list[PoolNumber]:
        """Return the numbers of a Service's pool, without those that only drain."""
        return [n for n in self._state.pool.values() if n.service_sid == service.sid and not n.draining]

    def pool_number(self, service: Service, sid: str) -> PoolNumber:
        """Return a number of the pool. Raises TwilioError 20404."""
        number = self._state.pool.get(sid)
        if number is None or number.service_sid != service.sid or number.draining:
            raise TwilioError(20404, f"/Services/{service.sid}/PhoneNumbers/{sid}")
        return number

    def in_use(self, number: PoolNumber) -> int:
        """Return how many active sessions a number is in; both parties of one session count once."""
        holders = self._active.get(number.phone_number, {}).values()
        return len({self._state.participants[sid].session_sid for sid in holders})

    def add_number(self, service: Service, owned: OwnedNumber, *, reserved: bool) -> PoolNumber:
        """Put an owned number into a Service's pool and take over its inbound webhooks.

        Raises TwilioError 80601 (in a pool already, or still draining from one) or 80624 (the pool is full).
        """
        if owned.sid in self._state.pool:
            raise TwilioError(80601, "it belongs to a Proxy Service already, or still drains from one")
        self._check_room(service, reserved=reserved)
        now = self._now()
        number = PoolNumber(
            owned.sid, service.sid, service.account_sid, owned.phone_number, now, now, self._state.next_seq(), reserved
        )
        self._state.pool[number.sid] = number
        hooks = f"{PROXY_INTAKE}/Accounts/{service.account_sid}/Proxy/{service.sid}/Webhooks"
        owned.settings.update(VoiceUrl=f"{hooks}/Call", VoiceMethod="POST", SmsUrl=f"{hooks}/Message", SmsMethod="POST")
        owned.updated = now
        return number

    def reserve(self, number: PoolNumber, *, reserved: bool) -> PoolNumber:
        """Set whether a number is kept out of automatic assignment."""
        if reserved != number.is_reserved:
            self._check_room(self._state.services[number.service_sid], reserved=reserved)
        number.is_reserved, number.updated = reserved, self._now()
        return number

    def _check_room(self, service: Service, *, reserved: bool) -> None:
        taken = sum(number.is_reserved == reserved for number in self.pool(service))
        if taken >= POOL_LIMITS[reserved]:
            raise TwilioError(80624, f"{taken} numbers with IsReserved={str(reserved).lower()}")
        if taken + 1 >= POOL_LIMITS[reserved] * 0.9:
            self._alert(80624, service.account_sid, service.sid, service.sid)

    def remove_number(self, number: PoolNumber) -> None:
        """Take a number out of the pool; while sessions hold it, it drains: it still connects them, and no others."""
        if self.in_use(number):
            number.draining = True
        else:
            del self._state.pool[number.sid]

    def forget_number(self, sid: str) -> None:
        """Drop a number that the account no longer owns."""
        self._state.pool.pop(sid, None)

    # Assignment -----------------------------------------------------------------------------------------------

    def _seat(self, service: Service, mode: str, wish: Wish) -> Seat:
        """Find the number for a participant. Raises TwilioError 80201..80206, 80402, 80601 or 80604."""
        if not phone_numbers.is_e164(wish.identifier):
            raise TwilioError(80402, "Identifier must be a phone number in E.164 form")
        if wish.proxy_identifier or wish.proxy_identifier_sid:
            return Seat(wish, self._wished_number(service, mode, wish))
        pool = [number for number in self.pool(service) if not number.is_reserved]
        if not pool:
            raise TwilioError(80205)
        country = phone_numbers.calling_code(wish.identifier)
        pool = [number for number in pool if phone_numbers.calling_code(number.phone_number) == country]
        if not pool:
            raise TwilioError(80203, f"calling code {country}")
        for capability in MODES[mode]:
            if not any(self._capabilities(number)[capability] for number in pool):
                raise TwilioError(_CAPABILITY_CODES[capability], f"Mode {mode}")
        free = [
            number
            for number in pool
            if all(self._capabilities(number)[capability] for capability in MODES[mode])
            and phone_numbers.matches_area(service.geo_match_level, wish.identifier, number.phone_number)
            and wish.identifier not in self._active.get(number.phone_number, {})
        ]
        if not free:
            raise TwilioError(80206)
        return Seat(wish, self._pick(service, wish.identifier, free))

    def _pick(self, service: Service, identifier: str, free: list[PoolNumber]) -> PoolNumber:
        history = {number: rank for rank, number in enumerate(service.history.get(identifier, []), 1)}
        sticky = service.number_selection_behavior == "prefer-sticky"

        def preference(number: PoolNumber) -> tuple[int, int, int]:
            rank = history.get(number.phone_number, 0)
            return (-rank if sticky else rank, self.in_use(number), number.seq)

        return min(free, key=preference)

    def _wished_number(self, service: Service, mode: str, wish: Wish) -> PoolNumber:
        for number in self.pool(service):
            if number.sid == wish.proxy_identifier_sid or number.phone_number == wish.proxy_identifier:
                break
        else:
            raise TwilioError(80601, "the wished ProxyIdentifier is not in this Service's pool")
        if wish.proxy_identifier and wish.proxy_identifier_sid and number.phone_number != wish.proxy_identifier:
            raise TwilioError(80402, "ProxyIdentifier and ProxyIdentifierSid name different numbers")
        for capability in MODES[mode]:
            if not self._capabilities(number)[capability]:
                raise TwilioError(_CAPABILITY_CODES[capability], f"Mode {mode}")
        if wish.identifier in self._active.get(number.phone_number, {}):
            raise TwilioError(80604)
        return number

    def _capabilities(self, number: PoolNumber) -> Mapping[str, bool]:
        return self._state.numbers[number.sid].capabilities

    # Sessions -------------------------------------------------------------------------------------------------

    def session(self, service: Service, key: str) -> Session:
        """Return a session by SID or UniqueName. Raises TwilioError 20404."""
        session = self._state.sessions.get(key)
        if session is None:
            session = next((s for s in self.sessions(service) if s.unique_name == key), None)
        if session is None or session.service_sid != service.sid:
            raise TwilioError(20404, f"/Services/{service.sid}/Sessions/{key}")
        return session

    def sessions(self, service: Service) -> list[Session]:
        """Return a Service's sessions in every state."""
        return [session for session in self._state.sessions.values() if session.service_sid == service.sid]

    def create_session(self, service: Service, form: Mapping[str, str], wishes: Iterable[Wish] = ()) -> Session:
        """Create a session with its participants, all or nothing.

        Raises TwilioError 20001 (a parameter), 80603 (the name is taken) or whatever the assignment raises.
        """
        wishes = list(wishes)
        mode = _choice(form, "Mode", MODES, "voice-and-message")
        name = _text(form, "UniqueName", MAX_NAME)
        if name and any(other.unique_name == name for other in self.sessions(service)):
            raise TwilioError(80603)
        ttl = _integer(form, "Ttl", 1) if form.get("Ttl") else None
        expiry = parse_moment("DateExpiry", form["DateExpiry"]) if form.get("DateExpiry") else None
        if len(wishes) > MAX_PARTICIPANTS:
            raise TwilioError(80609)
        if len({wish.identifier for wish in wishes}) < len(wishes):
            raise TwilioError(80103)
        seats = [self._seat(service, mode, wish) for wish in wishes]
        now = self._now()
        session = Session(
            new_sid("KC"),
            service.sid,
            service.account_sid,
            created=now,
            updated=now,
            idle_since=now,
            seq=self._state.next_seq(),
            unique_name=name,
            mode=mode,
            ttl=ttl,
            date_expiry=expiry,
        )
        self._state.sessions[session.sid] = session
        for seat in seats:
            self._sit(session, seat)
        self._watch(session)
        return session

    def update_session(self, session: Session, form: Mapping[str, str]) -> Session:
        """Change a session's Status, Ttl or DateExpiry.

        Raises TwilioError 80607 (it is closed), 80608 (no such transition), 80604 or 80601 (re-opening would
        activate a pair twice, or its number has left the pool).
        """
        status = form.get("Status")
        ttl = _integer(form, "Ttl", 1) if form.get("Ttl") else session.ttl
        expiry = parse_moment("DateExpiry", form["DateExpiry"]) if form.get("DateExpiry") else session.date_expiry
        if not session.active:
            if status is None or status == "closed":
                raise TwilioError(80607)
            if status != "in-progress":
                raise TwilioError(80608, f"closed to {status}")
            self._reopen(session)
        elif status not in {None, "closed"}:
            raise TwilioError(80608, f"{session.status} to {status}")
        session.ttl, session.date_expiry, session.updated = ttl, expiry, self._now()
        if status == "closed":
            self._close(session, "api", self._now())
        self._watch(session)
        return session

    def delete_session(self, session: Session) -> None:
        """Delete a session with its participants and interactions; its numbers are free again."""
        self._close(session, "deleted", self._now())
        for sid in self._members.pop(session.sid, ()):
            del self._state.participants[sid]
        for sid in self._logs.pop(session.sid, ()):
            del self._state.interactions[sid]
        del self._state.sessions[session.sid]

    def ttl(self, session: Session) -> int:
        """Return the seconds without interaction after which a session ends; 0 = never.

        The spec says that a Service's default of 0 is unlimited, the page of 80904 says 90 days where neither is
        set; so an explicit 0 means unlimited here and an absent one 90 days.
        """
        if session.ttl is not None:
            return session.ttl
        default = self._state.services[session.service_sid].default_ttl
        return UNREPORTED_TTL if default is None else default

    def expires_at(self, session: Session) -> float | None:
        """Return when a session ends: DateExpiry if set, else its TTL after the last interaction; None = never."""
        if session.date_expiry is not None:
            return session.date_expiry
        ttl = self.ttl(session)
        return session.idle_since + ttl if ttl else None

    def expire(self) -> list[Session]:
        """Close every session whose time has come and return them; each leaves alert 80904."""
        ended = []
        while self._deadlines and self._deadlines[0][0] <= self._now():
            _, sid = heapq.heappop(self._deadlines)
            session = self._state.sessions.get(sid)
            if session is None or not session.active:
                continue
            moment = self.expires_at(session)
            if moment is None or moment > self._now():
                self._watch(session)
                continue
            self._close(session, "ttl" if session.date_expiry is None else "date-expiry", moment)
            self._alert(80904, session.account_sid, session.service_sid, session.sid)
            ended.append(session)
        return ended

    def rewatch(self, service: Service) -> None:
        """Recalculate the deadlines of a Service's sessions, after its DefaultTtl changed."""
        for session in self.sessions(service):
            self._watch(session)

    def _watch(self, session: Session) -> None:
        moment = self.expires_at(session) if session.active else None
        if moment is not None:
            heapq.heappush(self._deadlines, (moment, session.sid))

    def _reopen(self, session: Session) -> None:
        participants = self.participants(session)
        for participant in participants:
            number = self._state.pool.get(participant.proxy_identifier_sid)
            if number is None or number.draining or number.service_sid != session.service_sid:
                raise TwilioError(80601, "a participant's number is no longer in the pool")
            if participant.identifier in self._active.get(participant.proxy_identifier, {}):
                raise TwilioError(80604, "another active session has one of the pairs")
        for participant in participants:
            self._active[participant.proxy_identifier][participant.identifier] = participant.sid
        session.status, session.ended, session.closed_reason = "in-progress", None, None
        session.idle_since = self._now()

    def _close(self, session: Session, reason: str, moment: float) -> None:
        if not session.active:
            return
        session.status, session.closed_reason = "closed", reason
        session.ended, session.updated = moment, self._now()
        for participant in self.participants(session):
            self._leave(participant)

    def touch(self, session: Session) -> None:
        """Note an interaction: the session is in progress and its TTL starts anew."""
        now = self._now()
        session.last_interaction = session.idle_since = session.updated = now
        if session.status == "open":
            session.status, session.started = "in-progress", now
        self._watch(session)

    # Participants ---------------------------------------------------------------------------------------------

    def participants(self, session: Session) -> list[Participant]:
        """Return the participants of a session."""
        return [self._state.participants[sid] for sid in self._members.get(session.sid, ())]

    def participant(self, session: Session, sid: str) -> Participant:
        """Return a participant of a session. Raises TwilioError 20404."""
        participant = self._state.participants.get(sid)
        if participant is None or participant.session_sid != session.sid:
            raise TwilioError(20404, f"/Sessions/{session.sid}/Participants/{sid}")
        return participant

    def add_participant(self, session: Session, wish: Wish) -> Participant:
        """Add a participant. Raises TwilioError 80607, 80609, 80103 or whatever the assignment raises."""
        if not session.active:
            raise TwilioError(80607)
        present = self.participants(session)
        if len(present) >= MAX_PARTICIPANTS:
            raise TwilioError(80609)
        if any(participant.identifier == wish.identifier for participant in present):
            raise TwilioError(80103)
        return self._sit(session, self._seat(self._state.services[session.service_sid], session.mode, wish))

    def remove_participant(self, participant: Participant) -> None:
        """Delete a participant; the pair is free again."""
        self._leave(participant)
        self._members[participant.session_sid].remove(participant.sid)
        del self._state.participants[participant.sid]

    def _sit(self, session: Session, seat: Seat) -> Participant:
        now = self._now()
        wish, number = seat
        participant = Participant(
            new_sid("KP"),
            session.sid,
            session.service_sid,
            session.account_sid,
            wish.identifier,
            number.phone_number,
            number.sid,
            now,
            now,
            self._state.next_seq(),
            wish.friendly_name,
        )
        self._state.participants[participant.sid] = participant
        self._members[session.sid].append(participant.sid)
        self._active[number.phone_number][wish.identifier] = participant.sid
        history = self._state.services[session.service_sid].history.setdefault(wish.identifier, [])
        if number.phone_number in history:
            history.remove(number.phone_number)
        history.append(number.phone_number)
        return participant

    def _leave(self, participant: Participant) -> None:
        holders = self._active.get(participant.proxy_identifier, {})
        if holders.get(participant.identifier) == participant.sid:
            del holders[participant.identifier]
        number = self._state.pool.get(participant.proxy_identifier_sid)
        if number is not None and number.draining and not self.in_use(number):
            del self._state.pool[number.sid]

    # Traffic --------------------------------------------------------------------------------------------------

    def route(self, caller: str, called: str, capability: str) -> tuple[Session, Participant] | None:
        """Return the active session and sender that (From, To) belongs to, if its Mode allows this channel."""
        sid = self._active.get(called, {}).get(caller)
        if sid is None:
            return None
        participant = self._state.participants[sid]
        session = self._state.sessions[participant.session_sid]
        return (session, participant) if capability in MODES[session.mode] else None

    def last_session(self, caller: str, called: str) -> tuple[Session, Participant] | None:
        """Return the latest session, in whatever state, in which the caller used this number."""
        found = [p for p in self._state.participants.values() if (p.identifier, p.proxy_identifier) == (caller, called)]
        if not found:
            return None
        latest = max(found, key=lambda p: p.seq)
        return self._state.sessions[latest.session_sid], latest

    def peer(self, participant: Participant) -> Participant | None:
        """Return the other participant of the session, if there is one."""
        session = self._state.sessions[participant.session_sid]
        return next((p for p in self.participants(session) if p.sid != participant.sid), None)

    def interactions(self, session: Session) -> list[Interaction]:
        """Return the interactions of a session."""
        return [self._state.interactions[sid] for sid in self._logs.get(session.sid, ())]

    def interaction(self, session: Session, sid: str) -> Interaction:
        """Return an interaction of a session. Raises TwilioError 20404."""
        interaction = self._state.interactions.get(sid)
        if interaction is None or interaction.session_sid != session.sid:
            raise TwilioError(20404, f"/Sessions/{session.sid}/Interactions/{sid}")
        return interaction

    def log(self, session: Session, kind: str, data: str | None) -> Interaction:
        """Add an interaction of `kind` (`message` or `voice`) to a session."""
        now = self._now()
        interaction = Interaction(
            new_sid("KI"),
            session.sid,
            session.service_sid,
            session.account_sid,
            kind,
            now,
            now,
            self._state.next_seq(),
            data,
        )
        self._state.interactions[interaction.sid] = interaction
        self._logs[session.sid].append(interaction.sid)
        return interaction

    def delete_interaction(self, interaction: Interaction) -> None:
        """Delete an interaction from its session's log."""
        self._logs[interaction.session_sid].remove(interaction.sid)
        del self._state.interactions[interaction.sid]

    def pool_service(self, number_sid: str) -> Service | None:
        """Return the Service whose pool a number is in (or drains from)."""
        number = self._state.pool.get(number_sid)
        return None if number is None else self._state.services[number.service_sid]


def _text(form: Mapping[str, str], name: str, longest: int) -> str | None:
    value = form.get(name) or None
    if value is not None and len(value) > longest:
        raise TwilioError(20001, f"{name} must be at most {longest} characters long")
    return value


def friendly_name(value: str | None) -> str | None:
    """Return a participant's FriendlyName. Raises TwilioError 20001 if it is too long."""
    return _text({"FriendlyName": value or ""}, "FriendlyName", MAX_FRIENDLY_NAME)


def _url(form: Mapping[str, str], name: str) -> str | None:
    url = _text(form, name, MAX_URL)
    if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname):
        raise TwilioError(20001, f"{name} must be an http or https URL")
    return url


def _choice(form: Mapping[str, str], name: str, allowed: Iterable[str], default: str) -> str:
    value = form.get(name) or default
    choices = sorted(allowed)
    if value not in choices:
        raise TwilioError(20001, f"{name} must be one of {', '.join(choices)}")
    return value


def _integer(form: Mapping[str, str], name: str, least: int) -> int:
    try:
        value = int(form[name])
    except ValueError:
        raise TwilioError(20001, f"{name} must be a whole number of seconds") from None
    if not least <= value <= MAX_TTL:
        raise TwilioError(20001, f"{name} must be between {least} and {MAX_TTL}")
    return value
