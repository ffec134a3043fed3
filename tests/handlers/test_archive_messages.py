"""Messages and their way: kept where everybody agreed, never otherwise, and gone from Twilio in either case."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from parley import runtime
from parley.core.consent import Scope
from parley.core.holds import Subject
from parley.core.records import Stage
from parley.handlers import archive
from parley.ports import LedgerError

from local.twilio.messaging import Attachment
from tests.handlers.archives import CONTENT, COPY_DAYS, Archives
from tests.handlers.archiving import calls_of, die_at, fault, hand_over, hold, stage_of
from tests.handlers.world import ANA, BEN, World, body, lines

WORDS = "I am at the corner"
PICTURE = b"\xff\xd8\xff" + bytes(range(256)) * 40

READING = ["get_item", "get_item", "fetch-message", "fetch-message"]
KEEPING = ["transact_get_items", "get_item", "transact_write_items", "query", "put_object", "head_object"]
WRITING = ["get_item", "transact_write_items", "query", "query", "transact_get_items"]
DELETING = ["delete-message", "fetch-message", "delete-message", "fetch-message", "delete-interaction"]
ENDING = ["fetch-interaction", "get_item", "transact_write_items"]
ARCHIVING = [*READING, *KEEPING, *WRITING, *DELETING, *ENDING]


@pytest.fixture
def archives(world: World) -> Archives:
    """Give the stores beside the ledger."""
    return Archives(world)


def converse(world: World, *, stored: bool = True) -> dict[str, Any]:
    """Open a session between Ana and Ben, whose messages may be kept if both agreed to that."""
    for who in (ANA, BEN):
        world.consent(who)
        if stored:
            world.consent(who, scope="store_messages")
    answer = world.open(store=True)
    assert answer["statusCode"] == 201, answer
    return body(answer)


def say(world: World, session: dict[str, Any], words: str = WORDS, *media: Attachment) -> dict[str, str]:
    """Let Ana text Ben; return the SIDs of what Twilio made of it."""
    number = session["participants"][0]["masked_number"]
    outcome = world.emulator.simulator.text(ANA, number, words, media)
    world.emulator.webhooks.drain()
    return {"inbound": outcome.sid, "outbound": str(outcome.outbound_sid)}


def work(archives: Archives) -> None:
    """Hand over what waits, when Twilio deletes messages again."""
    archives.work("archive", archive.handle)


def the_work(archives: Archives) -> dict[str, Any]:
    """Return the message about one text, when its time has come."""
    waiting = archives.waiting("archive")
    archives.world.clock.advance(waiting[0]["delay"])
    found: dict[str, Any] = waiting[0]["body"]
    return found


def texts_at_twilio(world: World) -> set[str]:
    """Return the bodies of what Twilio has of messages and interactions, what is empty left out."""
    state = world.emulator.carrier.state
    bodies = {message.body for message in state.messages.values()}
    data = {str(interaction.data) for interaction in state.interactions.values()}
    return {text for text in bodies | data if WORDS in text}


def document_of(archives: Archives, session: str, sid: str) -> dict[str, Any]:
    """Return the document of an archived message."""
    found: dict[str, Any] = json.loads(archives.objects()[f"messages/{session}/{sid}.json"])
    return found


class TestKept:
    """What everybody agreed to."""

    def test_message_is_kept_and_all_three_copies_leave(self, world: World, archives: Archives) -> None:
        """The document has the text, both legs and who wrote to whom by key; Twilio has nothing any more."""
        session = converse(world)
        sids = say(world, session)
        assert len(texts_at_twilio(world)) == 2
        work(archives)
        assert texts_at_twilio(world) == set()
        document = document_of(archives, session["session"], sids["inbound"])
        assert (document["body"], document["session"]) == (WORDS, session["session"])
        ana, ben = world.identities.party(ANA), world.identities.party(BEN)
        assert (document["from"], document["to"]) == (ana, [ben])
        assert document["outbound"]["status"] == "delivered"
        assert len(document["consents"]) == 2
        assert [document[leg]["sid"] for leg in ("inbound", "outbound")] == [sids["inbound"], sids["outbound"]]
        assert ANA not in json.dumps(document)
        record = world.ledger.record(document["sid"])
        assert record is not None
        raw = archives.objects()[record.key]
        assert (record.stage, record.size) == (Stage.DELETED, len(raw))
        assert record.sha256 == hashlib.sha256(raw).hexdigest()
        head = archives.s3.head_object(Bucket=CONTENT, Key=record.key)
        assert head["SSEKMSKeyId"] == archives.content_key

    def test_message_waits_while_the_reconciler_runs_twice(self, world: World, archives: Archives) -> None:
        """A message is left alone for two runs of the reconciler, whatever status comes first."""
        say(world, converse(world))
        waiting = archives.waiting("archive")
        assert [each["delay"] for each in waiting] == [120, 120]
        assert waiting[0]["body"] == waiting[1]["body"]

    def test_media_are_kept_beside_it(self, world: World, archives: Archives) -> None:
        """Each media file of the inbound message lies beside it, with a sidecar, and is gone at Twilio."""
        session = converse(world)
        sids = say(world, session, WORDS, Attachment("", "image/jpeg", PICTURE), Attachment("", "image/png", b"p"))
        work(archives)
        document = document_of(archives, session["session"], sids["inbound"])
        assert [each["media_type"] for each in document["media"]] == ["image/jpeg", "image/png"]
        first = document["media"][0]
        assert archives.objects()[first["key"]] == PICTURE
        assert first["sha256"] == hashlib.sha256(PICTURE).hexdigest()
        assert first["key"] == f"message-media/{session['session']}/{first['sid']}"
        assert f"{first['key']}.json" in archives.objects()
        assert {stage_of(world, each["sid"]) for each in document["media"]} == {Stage.DELETED}
        assert texts_at_twilio(world) == set()

    def test_message_that_twilio_does_not_delete_yet_is_emptied(self, world: World, archives: Archives) -> None:
        """Where Twilio answers 20009 the body goes at once, and the deletion waits with the sweeper."""
        session = converse(world)
        sids = say(world, session)
        for _ in range(2):
            fault(world, "error", "DELETE .*/Messages/", status=400, code=20009, times=1)
        assert hand_over(the_work(archives))
        assert texts_at_twilio(world) == set()
        state = world.emulator.carrier.state
        assert {state.messages[sid].body for sid in sids.values()} == {""}
        pending = world.ledger.due_deletions(runtime.clock().now().replace(year=2100), 10)
        assert {each.resource.sid for each in pending} == set(sids.values())
        assert stage_of(world, sids["inbound"]) is Stage.ARCHIVED

    def test_copies_stay_as_long_as_they_may(self, world: World, archives: Archives) -> None:
        """Where Twilio's copies may stay for days, the message is archived and nothing is deleted by the archive."""
        days = {**COPY_DAYS, "messages": 7, "message-media": 7}
        world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", json.dumps(days))
        runtime.reset()
        session = converse(world)
        sids = say(world, session, WORDS, Attachment("", "image/jpeg", PICTURE))
        work(archives)
        assert stage_of(world, sids["inbound"]) is Stage.ARCHIVED
        assert len(texts_at_twilio(world)) == 2

    def test_media_may_go_before_their_message(self, world: World, archives: Archives) -> None:
        """Media whose class leaves Twilio no copy go at once, though the message itself may stay."""
        world.patch.setenv("PARLEY_TWILIO_COPY_DAYS", json.dumps({**COPY_DAYS, "messages": 7}))
        runtime.reset()
        session = converse(world)
        sids = say(world, session, WORDS, Attachment("", "image/jpeg", PICTURE))
        work(archives)
        (media,) = (one for one in world.ledger.records_in(session["session"]) if one.parent == sids["inbound"])
        assert media.stage is Stage.DELETED
        assert stage_of(world, sids["inbound"]) is Stage.ARCHIVED

    def test_repeated_callback_asks_nobody_anything(self, world: World, archives: Archives) -> None:
        """What is deleted is left alone, however many statuses are told of it."""
        session = converse(world)
        say(world, session)
        message = the_work(archives)
        assert hand_over(message)
        assert calls_of(message) == ["get_item"]

    def test_held_message_is_put_under_the_hold(self, world: World, archives: Archives) -> None:
        """The document of a held session is under S3's legal hold, and Twilio's copies go."""
        session = converse(world)
        hold(world, Subject.SESSION, session["session"])
        sids = say(world, session)
        work(archives)
        key = f"messages/{session['session']}/{sids['inbound']}.json"
        assert archives.s3.get_object_legal_hold(Bucket=CONTENT, Key=key)["LegalHold"]["Status"] == "ON"
        assert texts_at_twilio(world) == set()

    def test_document_of_a_message_that_is_gone_stays(self, world: World, archives: Archives) -> None:
        """A document that was put before the archive died is kept, though somebody deleted the message meanwhile."""
        session = converse(world)
        sids = say(world, session)
        message = the_work(archives)
        assert die_at(ARCHIVING.index("head_object"), after=True, message=message)
        world.twilio.messages(sids["inbound"]).delete()
        assert hand_over(message)
        assert stage_of(world, sids["inbound"]) is Stage.DELETED
        assert document_of(archives, session["session"], sids["inbound"])["body"] == WORDS


class TestNotKept:
    """What not everybody agreed to."""

    def test_message_without_consent_is_deleted_and_never_stored(self, world: World, archives: Archives) -> None:
        """Nothing is stored of a session that does not permit it, and all three copies go."""
        say(world, converse(world, stored=False), WORDS, Attachment("", "image/jpeg", PICTURE))
        assert len(texts_at_twilio(world)) == 2
        work(archives)
        assert texts_at_twilio(world) == set()
        assert world.emulator.carrier.state.messages == {}
        assert archives.objects() == {}

    def test_consent_that_was_taken_back_meanwhile_keeps_nothing(self, world: World, archives: Archives) -> None:
        """A no between the message and its archiving drops the record, for good."""
        session = converse(world)
        sids = say(world, session)
        message = the_work(archives)
        world.consent(BEN, "withdrawn", scope="store_messages")
        assert hand_over(message)
        record = world.ledger.record(sids["inbound"])
        assert record is not None
        assert (record.stage, record.reason) == (Stage.DISCARDED, "consent-lost")
        assert archives.objects() == {}
        assert texts_at_twilio(world) == set()

    def test_consent_that_came_later_keeps_nothing_of_before(self, world: World, archives: Archives) -> None:
        """What was said before both had agreed is not kept because they agree later."""
        session = converse(world, stored=False)
        say(world, session)
        message = the_work(archives)
        for who in (ANA, BEN):
            world.consent(who, scope="store_messages")
        assert hand_over(message)
        assert archives.objects() == {}
        assert texts_at_twilio(world) == set()

    def test_message_under_a_hold_stays_at_twilio(self, world: World, archives: Archives) -> None:
        """What may not be stored and not be deleted either stays where it is, by session or by person."""
        session = converse(world, stored=False)
        hold(world, Subject.PARTY, world.identities.party(BEN))
        say(world, session)
        message = the_work(archives)
        assert hand_over(message)
        assert len(texts_at_twilio(world)) == 2
        # The session's own row may be gone by then: the numbers at Twilio say whose message it is.
        world.patch.setattr("parley.adapters.dynamodb.DynamoLedger.session", lambda *_: None)
        assert hand_over(message)
        assert len(texts_at_twilio(world)) == 2

    def test_message_that_is_gone_is_told(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """What somebody deleted before it was archived is dropped, and its other copies go."""
        session = converse(world)
        sids = say(world, session)
        message = the_work(archives)
        world.twilio.messages(sids["inbound"]).delete()
        assert hand_over(message)
        record = world.ledger.record(sids["inbound"])
        assert record is not None
        assert (record.stage, record.reason) == (Stage.DISCARDED, "gone-at-twilio")
        assert texts_at_twilio(world) == set()
        assert "record-dropped" in [line["event"] for line in lines(capsys)]


class TestOdd:
    """What Twilio tells otherwise than usual."""

    def test_message_without_a_second_leg(self, world: World, archives: Archives) -> None:
        """A text that was never passed on is kept and deleted by what there is of it."""
        session = converse(world)
        sids = say(world, session)
        message = {name: value for name, value in the_work(archives).items() if name != "outbound"}
        assert hand_over(message)
        document = document_of(archives, session["session"], sids["inbound"])
        assert document["outbound"] is None
        assert sids["inbound"] not in world.emulator.carrier.state.messages

    def test_callback_about_an_inbound_message_alone_is_taken(self, world: World, archives: Archives) -> None:
        """A text that was never passed on is put on the queue as well; a call, or a status under way, is not."""
        session = world.session(converse(world)["session"])
        fields: dict[str, Any] = {
            "interactionSessionSid": session.sid,
            "inboundParticipantSid": session.participants[0].sid,
        }
        alone: dict[str, Any] = {**fields, "outboundResourceSid": "", "outboundResourceStatus": ""}
        assert world.webhook("interaction", **alone)["statusCode"] == 204
        (waiting,) = archives.waiting("archive")
        assert "outbound" not in waiting["body"]
        assert world.webhook("interaction", **fields, outboundResourceStatus="queued")["statusCode"] == 204
        assert world.webhook("interaction", **fields, interactionType="Voice")["statusCode"] == 204
        assert archives.waiting("archive") == []

    def test_callback_with_a_sid_that_is_none_is_told(
        self, world: World, archives: Archives, capsys: pytest.CaptureFixture[str]
    ) -> None:
        """A path where a SID should be reaches no queue and no key."""
        answer = world.webhook("interaction", inboundResourceSid="../secret", outboundResourceStatus="delivered")
        assert answer["statusCode"] == 204
        assert archives.waiting("archive") == []
        assert "message-unreadable" in [line["event"] for line in lines(capsys)]

    def test_queue_that_takes_nothing_is_told_to_twilio(self, world: World, archives: Archives) -> None:
        """A callback whose work cannot be put anywhere is answered with 503."""
        session = converse(world)
        archives.sqs.delete_queue(QueueUrl=archives.urls["archive"])
        answer = world.webhook("interaction", interactionSessionSid=session["session"], outboundResourceStatus="sent")
        assert answer["statusCode"] == 503

    def test_session_whose_row_is_gone_drops_its_messages(self, world: World, archives: Archives) -> None:
        """Without the session nobody can say whose consent is asked: nothing is kept."""
        session = converse(world)
        sids = say(world, session)
        message = the_work(archives)
        world.patch.setattr("parley.adapters.dynamodb.DynamoLedger.session", lambda *_: None)
        assert hand_over(message)
        assert stage_of(world, sids["inbound"]) is Stage.DISCARDED
        assert archives.objects() == {}

    def test_record_that_was_never_written_is_written_then(self, world: World, archives: Archives) -> None:
        """Where the callback died between its steps, the session itself says what may be kept."""
        session = converse(world)
        sids = say(world, session)
        message = the_work(archives)
        for row in world.rows("RECORD"):
            world.dynamodb.delete_item(TableName="parley-ledger", Key={"pk": row["pk"], "sk": row["sk"]})
        assert hand_over(message)
        assert stage_of(world, sids["inbound"]) is Stage.DELETED

    def test_media_that_break_off_come_again(self, world: World, archives: Archives) -> None:
        """A file that was cut is not kept, and its message stays at Twilio until it is."""
        session = converse(world)
        sids = say(world, session, WORDS, Attachment("", "image/jpeg", PICTURE))
        message = the_work(archives)
        fault(world, "truncated", "GET .*/Media/ME[0-9a-f]{32}$", times=1)
        assert not hand_over(message)
        assert sids["inbound"] in world.emulator.carrier.state.messages
        # By now somebody agreed no more: what was not archived is dropped with its message.
        world.consent(BEN, "withdrawn", scope="store_messages")
        assert hand_over(message)
        stages = {one.stage for one in world.ledger.records_in(session["session"])}
        assert stages == {Stage.DISCARDED}
        assert archives.objects() == {}

    def test_date_that_cannot_be_read_is_left_out(self, world: World, archives: Archives) -> None:
        """A leg whose time Twilio does not tell has none."""
        session = converse(world)
        sids = say(world, session)
        message = the_work(archives)
        world.patch.setattr("local.twilio.render.rfc2822", lambda _moment: "yesterday")
        assert hand_over(message)
        assert "sent_at" not in document_of(archives, session["session"], sids["inbound"])["inbound"]

    def test_document_under_another_key_is_no_proof(self, world: World, archives: Archives) -> None:
        """A document that is not under the content key does not count, and nothing is deleted."""
        session = converse(world)
        sids = say(world, session)
        message = the_work(archives)
        world.patch.setattr(runtime.content(), "_kms_key", archives.kms.create_key()["KeyMetadata"]["Arn"])
        assert not hand_over(message)
        assert sids["inbound"] in world.emulator.carrier.state.messages


class TestHeard:
    """Nothing is deleted before it was heard."""

    def test_stop_word_that_nobody_heard_is_taken_first(self, world: World, archives: Archives) -> None:
        """A stop word whose webhooks failed is in the ledger before its message is gone."""
        session = converse(world)
        world.emulator.faults.add({"on": "webhook", "mode": "timeout"})
        sids = say(world, session, "OPTOUT")
        world.emulator.faults.clear()
        interaction = next(iter(world.emulator.carrier.state.interactions.values())).sid
        message = {"kind": "message", "session": session["session"], "interaction": interaction, **sids}
        if message["outbound"] == "None":
            del message["outbound"]
        world.clock.advance(120)
        assert hand_over(message)
        (standing,) = world.ledger.standings([world.identities.party(ANA)], Scope.MANAGE)[:1]
        assert standing.state == "withdrawn"
        assert sids["inbound"] not in world.emulator.carrier.state.messages

    def test_stop_word_that_the_ledger_cannot_take_stays(self, world: World, archives: Archives) -> None:
        """Where the no cannot be written down, the message is not deleted."""
        session = converse(world)
        sids = say(world, session, "please OPTOUT")
        message = the_work(archives)
        world.emulator.carrier.state.messages[sids["inbound"]].body = "OPTOUT"
        world.patch.setattr("parley.messages.take_message", _refuse)
        assert not hand_over(message)
        assert sids["inbound"] in world.emulator.carrier.state.messages


def _refuse(*_: object, **__: object) -> None:
    raise LedgerError("DynamoDB: InternalServerError")


@pytest.fixture
def texted(world: World, archives: Archives) -> dict[str, Any]:
    """Give the work of a text that may be kept, when its time has come."""
    say(world, converse(world))
    return the_work(archives)


def test_calls_are_those_of_the_order(world: World, texted: dict[str, Any]) -> None:
    """The document is proven and the record says archived before anything is deleted."""
    assert calls_of(texted) == ARCHIVING


@pytest.mark.parametrize("number", range(len(ARCHIVING)), ids=[f"{n}-{name}" for n, name in enumerate(ARCHIVING)])
def test_what_dies_is_finished_by_the_next(
    world: World, archives: Archives, texted: dict[str, Any], number: int
) -> None:
    """Killed anywhere, the text is at Twilio until its copy is proven, and the retry leaves one copy and none there."""
    assert die_at(number, after=False, message=texted)
    if texted["inbound"] not in world.emulator.carrier.state.messages:
        assert stage_of(world, texted["inbound"]) in {Stage.ARCHIVED, Stage.DELETED}
    assert hand_over(texted)
    assert stage_of(world, texted["inbound"]) is Stage.DELETED
    assert document_of(archives, texted["session"], texted["inbound"])["body"] == WORDS
    assert len(list(archives.versions())) == 1
    assert texts_at_twilio(world) == set()
