"""Chat: nobody is connected without everybody's consent, nothing is kept without it, and all of it leaves Twilio."""

from __future__ import annotations

import json
from typing import Any

import pytest
from parley import chats, runtime
from parley.core.holds import Subject
from parley.core.records import Record, Stage
from parley.handlers import archive, sweep

from local.twilio.routes import sim_apps
from tests.handlers.archives import COPY_DAYS, Archives
from tests.handlers.archiving import calls_of, die_at, hand_over, hold
from tests.handlers.boundaries import count
from tests.handlers.world import ASK, BEN, DAY, GATE, World, lines, output, problem_of

EVENT = "conversation"
ANA, CLEO = "user:ana", "user:cleo"
HELLO = "I am downstairs"


class Chat:
    """A conversation between two people of the operator's app, and the queues and buckets around it."""

    def __init__(self, world: World, *, agreed: tuple[str, ...] = (ANA, CLEO), kept: tuple[str, ...] = ()) -> None:
        self.world = world
        world.patch.setenv("PARLEY_CHANNELS", json.dumps(["voice", "sms", "chat"]))
        self.archives = Archives(world)
        for who in agreed:
            world.consent(who)
        for who in kept:
            world.consent(who, scope="store_messages")
        self.api = world.twilio.conversations.v1
        hook = f"{GATE}/twilio/conversation"
        self.api.configuration.webhooks().update(
            pre_webhook_url=hook, post_webhook_url=hook, filters=["onMessageAdd", "onMessageAdded", "onMessageUpdate"]
        )
        self.sid: str = self.api.conversations.create().sid
        for who in (ANA, CLEO):
            self.api.conversations(self.sid).participants.create(identity=who)

    def say(self, words: str = HELLO, who: str = ANA) -> str | None:
        """Let somebody's app say something; return the message's SID, or None if it was refused."""
        order = {"conversation": self.sid, "identity": who, "body": words}
        told: str | None = sim_apps.say(self.world.emulator, order)["message_sid"]
        return told

    def archive(self) -> None:
        """Let the archive work off its queue."""
        self.archives.work("archive", archive.handle)

    def sweep(self) -> None:
        """Let the schedule of the sweeper fire once, and its queue be worked off."""
        sweep.handle({}, None)
        self.archives.work("sweep", sweep.handle, rounds=4000)

    def lose_gate(self) -> None:
        """Let Twilio get no answer from the gate."""
        self.world.emulator.faults.add({"on": "webhook", "match": "^chat-pre", "mode": "lost"})

    @property
    def at_twilio(self) -> list[str]:
        """What stands in the conversation at Twilio."""
        return [each.body for each in self.api.conversations(self.sid).messages.list()]

    def record(self, sid: str | None) -> Record:
        """Return the record of a message, which must be there."""
        found = self.world.ledger.record(sid or "")
        assert found is not None
        return found


@pytest.fixture
def talk(world: World) -> Chat:
    """Give a conversation of two people who agreed to be connected, and to nothing else."""
    return Chat(world)


class TestGate:
    """A message is taken only when everybody in the conversation agreed to be connected."""

    def test_everybody_agreed(self, talk: Chat, capsys: pytest.CaptureFixture[str]) -> None:
        """It is taken, the decision is logged with the records that it rests on, and no word of it is."""
        assert talk.say() is not None
        assert talk.at_twilio == [HELLO]
        said = lines(capsys)
        (decided, *_) = [each for each in said if each.get("handler") == "chat"]
        assert (decided["decision"], len(decided["records"])) == ("permit", 2)
        assert HELLO not in str(said)

    @pytest.mark.parametrize("agreed", [(), (ANA,), (CLEO,)])
    def test_somebody_did_not(self, world: World, agreed: tuple[str, ...]) -> None:
        """It is refused, whoever says it and whoever it is whose consent is missing."""
        talk = Chat(world, agreed=agreed)
        assert [talk.say(who=who) for who in (ANA, CLEO)] == [None, None]
        assert talk.at_twilio == []

    @pytest.mark.parametrize("state", ["withdrawn", "refused"])
    def test_a_no_counts_at_once(self, talk: Chat, state: str) -> None:
        """What somebody takes back is taken back for the very next message."""
        assert talk.say() is not None
        talk.world.consent(CLEO, state)
        assert talk.say() is None

    def test_third_one_who_did_not_agree(self, talk: Chat) -> None:
        """Who is added later has to agree as well before anybody says anything."""
        talk.api.conversations(talk.sid).participants.create(identity="user:dan")
        assert talk.say() is None
        talk.world.consent("user:dan")
        assert talk.say() is not None

    def test_stranger(self, talk: Chat) -> None:
        """An identity that names nobody lets nothing pass."""
        talk.api.conversations(talk.sid).participants.create(identity="Support bot")
        assert talk.say() is None

    def test_alone(self, talk: Chat, capsys: pytest.CaptureFixture[str]) -> None:
        """Somebody who is alone in a conversation is connected to nobody."""
        talk.api.conversations(talk.sid).participants(CLEO).delete()
        assert talk.say() is None
        assert ["alone"] in [each.get("reasons") for each in lines(capsys)]

    def test_phone_is_known_by_its_number(self, talk: Chat) -> None:
        """A phone in a conversation is the party behind its number."""
        people = talk.api.conversations(talk.sid).participants
        people.create(messaging_binding_address=BEN, messaging_binding_proxy_address=ASK)
        assert talk.say() is None
        talk.world.consent(BEN)
        assert talk.say() is not None
        assert talk.world.received(BEN) == [HELLO]

    def test_changed_words_are_asked_about(self, talk: Chat) -> None:
        """Saying something differently needs the same consents as saying it."""
        changed: dict[str, Any] = {"ConversationSid": talk.sid, "EventType": "onMessageUpdate"}
        assert talk.world.webhook(EVENT, **changed)["statusCode"] == 200
        talk.world.consent(CLEO, "withdrawn")
        assert problem_of(talk.world.webhook(EVENT, **changed)) == (403, "not-permitted")

    def test_ledger_that_is_down(self, talk: Chat) -> None:
        """Without the ledger there is no consent that could be proven."""
        talk.world.break_ledger()
        assert talk.say() is None

    def test_twilio_that_does_not_say_who_is_there(self, talk: Chat) -> None:
        """Who is in the conversation has to be known, so without an answer nothing passes."""
        talk.world.emulator.faults.add({"on": "rest", "mode": "error", "status": 503, "match": "Participants"})
        assert talk.say() is None

    def test_calls_are_few(self, talk: Chat) -> None:
        """The gate asks Twilio once and the ledger once: it has five seconds."""
        wanted = ["list-chat-participants", "transact_get_items"]
        assert count(lambda: talk.world.webhook(EVENT, ConversationSid=talk.sid)) == wanted

    def test_conversation_that_is_gone(self, talk: Chat) -> None:
        """A conversation that Twilio does not know has nobody in it."""
        assert problem_of(talk.world.webhook(EVENT)) == (403, "not-permitted")


class TestStop:
    """A stop word in a chat is a withdrawal like any other."""

    def test_it_is_not_passed_on_and_withdraws_everything(self, talk: Chat) -> None:
        """The other one does not get it, every scope is withdrawn, once, and the next message is refused."""
        assert talk.say("STOP") is None
        standings = talk.world.ledger.standings_of(talk.world.identities.party(ANA))
        assert {one.state for one in standings} == {"withdrawn"}
        assert len(standings) == 6
        before = len(talk.world.rows("EVENT#"))
        assert talk.say("stop") is None
        assert len(talk.world.rows("EVENT#")) == before
        assert talk.say(who=CLEO) is None

    def test_phrase_is_reviewed(self, talk: Chat, capsys: pytest.CaptureFixture[str]) -> None:
        """A phrase that may have been meant for the other one withdraws all the same, and is marked for review."""
        assert talk.say("please stop texting me") is None
        assert "opt-out-for-review" in {each["event"] for each in lines(capsys)}
        (record, *_) = [each for each in talk.world.ledger.records(talk.world.identities.party(ANA)) if each.seq > 1]
        assert record.event.evidence["review"] is True
        assert record.event.withdrawal is not None
        assert record.event.withdrawal["channel"] == "chat"

    def test_sessions_are_closed(self, talk: Chat) -> None:
        """Whatever else connected them is closed as well, before the text is refused."""
        opened = talk.world.conversation()
        people = talk.api.conversations(talk.sid).participants
        people.create(messaging_binding_address=BEN, messaging_binding_proxy_address=ASK)
        talk.world.text(BEN, ASK, "REVOKE")
        assert talk.world.status_at_twilio(opened["session"]) == "closed"

    def test_phone_is_told_once(self, talk: Chat) -> None:
        """Who stops by text from a phone in the conversation gets the one confirmation from the number they know."""
        talk.world.consent(BEN)
        people = talk.api.conversations(talk.sid).participants
        people.create(messaging_binding_address=BEN, messaging_binding_proxy_address=ASK)
        for words in ("arrêt", "stop it"):
            talk.world.text(BEN, ASK, words)
        assert len(talk.world.received(BEN)) == 1
        assert talk.at_twilio == []

    def test_stranger_who_stops_is_refused(self, talk: Chat) -> None:
        """A stop word of somebody whom nobody knows is not passed on, and withdraws nothing."""
        talk.api.conversations(talk.sid).participants.create(identity="Support bot")
        before = len(talk.world.rows("EVENT#"))
        assert talk.say("STOP", "Support bot") is None
        assert len(talk.world.rows("EVENT#")) == before


class TestArchive:
    """What is said is kept where everybody agreed to that, and leaves Twilio in either case."""

    def test_kept_with_everybodys_consent(self, world: World) -> None:
        """The document names the people by their keys, rests on their consents, and Twilio has the message no more."""
        talk = Chat(world, kept=(ANA, CLEO))
        sid = talk.say()
        assert talk.record(sid).stage is Stage.CAPTURED
        talk.archive()
        record = talk.record(sid)
        assert (record.stage, talk.at_twilio) == (Stage.DELETED, [])
        assert record.key == f"messages/{talk.sid}/{sid}.json"
        kept = json.loads(talk.archives.objects()[record.key])
        ana, cleo = (world.identities.party(who) for who in (ANA, CLEO))
        assert (kept["body"], kept["from"], kept["to"]) == (HELLO, ana, [cleo])
        assert sorted(kept["consents"]) == sorted(record.consents)
        assert len(record.consents) == 2
        assert ANA not in str(kept)
        assert talk.archives.set_aside["archive"] == []

    @pytest.mark.parametrize("kept", [(), (ANA,)])
    def test_never_kept_without(self, world: World, kept: tuple[str, ...]) -> None:
        """Where somebody has not agreed to that nothing is kept, and Twilio's copy goes all the same."""
        talk = Chat(world, kept=kept)
        sid = talk.say()
        assert world.ledger.record(sid or "") is None
        talk.archive()
        assert (talk.at_twilio, talk.archives.objects()) == ([], {})

    def test_no_in_between_drops_it(self, world: World) -> None:
        """Who takes it back before it is read has nothing kept."""
        talk = Chat(world, kept=(ANA, CLEO))
        sid = talk.say()
        world.consent(CLEO, "withdrawn", scope="store_messages")
        talk.archive()
        assert (talk.record(sid).stage, talk.at_twilio, talk.archives.objects()) == (Stage.DISCARDED, [], {})

    def test_message_that_somebody_deleted_is_lost(self, world: World) -> None:
        """What is gone at Twilio before it was read is written down as lost."""
        talk = Chat(world, kept=(ANA, CLEO))
        sid = talk.say()
        talk.api.conversations(talk.sid).messages(sid or "").delete()
        talk.archive()
        assert (talk.record(sid).stage, talk.record(sid).reason) == (Stage.DISCARDED, "gone-at-twilio")

    def test_killed_anywhere(self, world: World) -> None:
        """Whoever dies after any call leaves one document, and a message that goes once it is proven."""
        talk = Chat(world, kept=(ANA, CLEO))
        calls = 1
        for number in range(20):
            sid = talk.say()
            (message,) = [each["body"] for each in talk.archives.waiting("archive")]
            if number == 0:
                calls = len(calls_of(message))
            elif number <= calls:
                assert die_at(number - 1, after=False, message=message)
            assert hand_over(message)
            assert (talk.record(sid).stage, talk.at_twilio) == (Stage.DELETED, [])
        assert 12 < calls < 20
        assert len(talk.archives.objects()) == 20

    def test_days_are_kept(self, world: World) -> None:
        """With days declared Twilio's copy stays until the sweeper takes it, kept or not."""
        talk = Chat(world, kept=(ANA, CLEO))
        _days(talk, 2)
        kept = talk.say()
        world.consent(CLEO, "withdrawn", scope="store_messages")
        talk.say("and now?")
        talk.archive()
        assert len(talk.at_twilio) == 2
        world.clock.advance(2 * DAY + 7200)
        talk.sweep()
        assert talk.at_twilio == []
        assert talk.record(kept).stage is Stage.DISCARDED

    def test_archived_message_is_swept_in_time(self, world: World) -> None:
        """What is archived stays at Twilio for its days and says so until it goes."""
        talk = Chat(world, kept=(ANA, CLEO))
        _days(talk, 2)
        kept = talk.say()
        talk.archive()
        assert talk.record(kept).stage is Stage.ARCHIVED
        world.clock.advance(2 * DAY + 7200)
        talk.sweep()
        assert (talk.record(kept).stage, talk.at_twilio) == (Stage.DELETED, [])

    def test_lost_work_is_found_by_the_sweeper(self, world: World) -> None:
        """A message that may be kept and that the archive never read is read when the sweeper comes by."""
        talk = Chat(world, kept=(ANA, CLEO))
        sid = talk.say()
        talk.archives.waiting("archive")
        talk.sweep()
        assert talk.archives.waiting("archive") == []
        world.clock.advance(2 * 3600)
        talk.sweep()
        talk.archive()
        assert (talk.record(sid).stage, talk.at_twilio) == (Stage.DELETED, [])

    def test_hold_keeps_what_is_not_archived(self, world: World) -> None:
        """What nobody agreed to keep stays at Twilio under a hold on somebody in the conversation."""
        talk = Chat(world)
        talk.say()
        hold(world, Subject.PARTY, world.identities.party(CLEO))
        talk.archive()
        assert talk.at_twilio == [HELLO]

    def test_hold_keeps_the_document(self, world: World) -> None:
        """What is archived under a hold is held in the bucket, and goes at Twilio."""
        talk = Chat(world, kept=(ANA, CLEO))
        sid = talk.say()
        hold(world, Subject.SESSION, talk.sid)
        talk.archive()
        key = talk.record(sid).key
        held = talk.archives.s3.get_object_legal_hold(Bucket="parley-content", Key=key)["LegalHold"]["Status"]
        assert (held, talk.at_twilio) == ("ON", [])

    def test_refused_deletion_waits(self, world: World) -> None:
        """A message that Twilio does not delete yet goes with the sweeper."""
        talk = Chat(world)
        talk.say()
        talk.world.emulator.faults.add(
            {"on": "rest", "mode": "error", "status": 409, "code": 20009, "match": "DELETE conv", "times": 1}
        )
        talk.archive()
        assert talk.at_twilio == [HELLO]
        world.clock.advance(2 * 3600)
        talk.sweep()
        assert talk.at_twilio == []

    @pytest.mark.parametrize("work", [{"sid": "IM/../x"}, {"conversation": ""}, {"sid": "RE" + "1" * 32}])
    def test_work_that_names_nothing_is_put_away(self, talk: Chat, work: dict[str, str]) -> None:
        """A message with SIDs that are none is logged and never comes again."""
        runtime.queues().send(
            "archive", {"kind": "chat-message", "sid": "IM" + "1" * 32, "conversation": talk.sid, **work}
        )
        assert talk.archives.work("archive", archive.handle) == 1


def _days(talk: Chat, days: int) -> None:
    """Deploy the functions anew with other days for messages at Twilio."""
    talk.world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", json.dumps({**COPY_DAYS, "messages": days}))
    runtime.reset()


class TestUngated:
    """What passes because Twilio got no answer in time."""

    def test_it_is_deleted_as_soon_as_it_is_told(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """Without consent it is never stored, goes at once whatever the days, and is measured."""
        talk = Chat(world, kept=(ANA, CLEO))
        _days(talk, 30)
        talk.say()
        world.consent(CLEO, "withdrawn")
        talk.lose_gate()
        sid = talk.say("are you there?")
        assert sid is not None
        talk.archive()
        assert talk.at_twilio == [HELLO]
        assert world.ledger.record(sid) is None
        said, measured = output(capsys)
        assert "message-passed-the-gate" in {each["event"] for each in said}
        assert any(each.get("MessagesUngated") == 1 for each in measured)

    def test_stop_word_that_passed_is_taken(self, talk: Chat) -> None:
        """A stop word that the gate was not asked about is heard when Twilio tells of it, however often it does."""
        talk.say()
        talk.lose_gate()
        sid = talk.say("STOP")
        key = talk.world.identities.party(ANA)
        assert {one.state for one in talk.world.ledger.standings_of(key)} == {"withdrawn"}
        talk.world.webhook(
            EVENT, ConversationSid=talk.sid, EventType="onMessageAdded", MessageSid=sid, Body="STOP", Author=ANA
        )
        assert len([each for each in talk.world.ledger.records(key) if each.event.state == "withdrawn"]) == 6
        talk.archive()
        assert talk.at_twilio == []

    @pytest.mark.parametrize(("name", "left"), [("sales-1", 1), ("local-ride-1", 0)])
    def test_conversation_that_is_not_ours_is_let_be(self, world: World, name: str, left: int) -> None:
        """In a conversation in which not everybody ever agreed nothing is deleted unless its name is the stack's."""
        talk = Chat(world, agreed=())
        talk.api.conversations(talk.sid).update(unique_name=name)
        talk.lose_gate()
        talk.say()
        talk.archive()
        assert len(talk.at_twilio) == left


class TestOwnership:
    """Whose a conversation is, and who is found to have been in it."""

    def test_record_names_the_people(self, talk: Chat) -> None:
        """The first message makes the conversation the stack's own, and whoever comes later is found by it, too."""
        talk.say()
        marker = talk.record(talk.sid)
        assert set(marker.parties) == {talk.world.identities.party(who) for who in (ANA, CLEO)}
        talk.world.consent("user:dan")
        talk.api.conversations(talk.sid).participants.create(identity="user:dan")
        talk.say()
        assert talk.sid in talk.world.ledger.past_of(talk.world.identities.party("user:dan"))

    def test_closed_conversation_is_swept(self, talk: Chat) -> None:
        """It goes at Twilio by the days of sessions, whatever its name is."""
        talk.say()
        talk.archive()
        talk.api.conversations(talk.sid).update(state="closed")
        talk.world.clock.advance(2 * DAY)
        talk.sweep()
        assert talk.api.conversations.list() == []

    def test_people_are_known_without_a_record(self, talk: Chat) -> None:
        """Before anything was said the people are those whom Twilio names."""
        assert len(chats.people_of(talk.sid)) == 2


class TestWebhook:
    """Believed only when signed and well-formed."""

    @pytest.mark.parametrize(
        "changes",
        [
            {"AccountSid": "AC" + "9" * 32},
            {"ConversationSid": "CH../x"},
            {"ConversationSid": "RM" + "4" * 32},
            {"ParticipantSid": "CA" + "5" * 32},
            {"EventType": "onMessageAdded"},
            {"EventType": "onMessageAdded", "MessageSid": "SM" + "1" * 32},
            {"drop": ("EventType",)},
            {"drop": ("ConversationSid",)},
            {"signed": False},
            {"token": "wrong"},
        ],
        ids=str,
    )
    def test_what_twilio_would_not_send_is_refused(self, world: World, changes: dict[str, Any]) -> None:
        """A forged webhook, another account's or a path in a SID is 403, and nothing is written or sent."""
        archives = Archives(world)
        assert problem_of(world.webhook(EVENT, **changes)) == (403, "not-permitted")
        assert archives.waiting("archive") == []
        assert world.rows() == []

    def test_other_events_are_answered_and_left(self, world: World) -> None:
        """What says nothing is 204."""
        assert world.webhook(EVENT, EventType="onConversationUpdated")["statusCode"] == 204

    def test_queue_that_is_down_is_told(self, talk: Chat) -> None:
        """Without the queue a message that was taken is 503, and the sweeper finds it."""
        talk.archives.sqs.delete_queue(QueueUrl=talk.archives.urls["archive"])
        told: dict[str, Any] = {
            "EventType": "onMessageAdded",
            "MessageSid": "IM" + "1" * 32,
            "ConversationSid": talk.sid,
        }
        assert problem_of(talk.world.webhook(EVENT, **told)) == (503, "unavailable")
