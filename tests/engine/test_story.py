"""The demo's story, told as tests over one deployed stack, in the order in which it happens."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from cli.demo import Conversation
from cli.stack import LocalStack


@pytest.fixture(scope="module")
def conversation(stack: LocalStack) -> Conversation:
    """Give two people and a stranger who have not talked yet."""
    return Conversation(stack.start_cloud(), stack.workspace().outputs())


class TestConcurrency:
    """I3: concurrent events both stay, and the chain stays whole."""

    def test_twelve_writers_for_one_person(self, conversation: Conversation) -> None:
        """Twelve consents of one person at once are twelve records with twelve sequence numbers."""
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: conversation.consent("+12125550155", "given"), range(12)))
        assert sorted(answer.body["seq"] for answer in answers) == list(range(1, 13))
        shown = conversation.api.get(f"/v1/consents/{answers[0].body['party']}")
        assert [one["seq"] for one in shown.body["consents"]] == [12]


class TestConversation:
    """Each part checks its own claims and raises where one does not hold."""

    def test_stranger_hears_disclosure(self, conversation: Conversation) -> None:
        """A stranger who calls a pool number hears who manages it, and reaches nobody."""
        assert "Twilio" in conversation.stranger_hears_disclosure()

    def test_unsigned_request_is_refused(self, conversation: Conversation) -> None:
        """A request to the API without an IAM signature is forbidden."""
        assert conversation.api.unsigned_post("/v1/sessions", {}).status == 403

    def test_unsigned_webhook_is_refused(self, conversation: Conversation) -> None:
        """A webhook without Twilio's signature is forbidden, on every webhook route."""
        names = ("intercept", "out-of-session", "interaction", "voice", "sms", "events")
        assert {conversation.api.unsigned_post(f"/twilio/{name}", {}).status for name in names} == {403}

    def test_one_consent_is_not_enough(self, conversation: Conversation) -> None:
        """A session with one consent missing is refused and names the party by key only."""
        assert "409" in conversation.one_consent_is_not_enough()

    def test_both_consent(self, conversation: Conversation) -> None:
        """With both consents a session opens."""
        assert "session KC" in conversation.both_consent()

    def test_texts_pass_masked(self, conversation: Conversation) -> None:
        """Texts pass both ways and neither handset sees the other's number."""
        assert conversation.texts_pass_masked().startswith("Ana saw only +1")

    def test_session_is_renewed_and_told(self, conversation: Conversation) -> None:
        """A session is renewed and shows its decisions, each of which can be asked for by its id."""
        sid = conversation._session
        renewed = conversation.api.post(f"/v1/sessions/{sid}/renewals", {})
        assert (renewed.status, renewed.body["session"]) == (200, sid)
        decisions = conversation.api.get(f"/v1/sessions/{sid}").body["decisions"]
        assert [one["action"] for one in decisions] == ["open", "renew"]
        assert conversation.api.get(f"/v1/decisions/{decisions[0]['decision']}").body == decisions[0]

    def test_call_is_recorded(self, conversation: Conversation) -> None:
        """A call that both let be recorded is one recording in the bucket, and none at Twilio."""
        assert "call-recordings/KC" in conversation.call_is_recorded()

    def test_texts_are_kept(self, conversation: Conversation) -> None:
        """The texts that both let be kept are in the bucket, and none of their copies at Twilio."""
        assert conversation.texts_are_kept().startswith("2 texts at messages/KC")

    def test_broken_gate(self, conversation: Conversation) -> None:
        """With the handlers down a stranger still reaches nobody."""
        assert "80908" in conversation.broken_gate()

    def test_stop_closes(self, conversation: Conversation) -> None:
        """A swallowed STOP closes the session within the reconcile bound and bars the next one."""
        assert "80901" in conversation.stop_closes()

    def test_page_refuses_everything(self, conversation: Conversation) -> None:
        """A signed link refuses all contact under the deployed roles, without a login; a forged one tells nothing."""
        made = conversation.api.post("/v1/optout-links", {"party": "+12125550156"})
        path = "/optout/" + made.body["url"].rpartition("/")[2]
        assert conversation.api.unsigned_post(path[:-4] + "AAAA", {}).status == 404
        assert conversation.api.unsigned_post(path, {}).status == 200
        shown = conversation.api.get(f"/v1/consents/{made.body['party']}").body["consents"]
        assert {one["state"] for one in shown} == {"withdrawn"}

    def test_stack_that_does_not_ask_says_so(self, conversation: Conversation) -> None:
        """Without a number that asks, nobody is asked by text."""
        answer = conversation.api.post("/v1/questions", {"party": "+12125550157", "scopes": ["manage"]})
        assert (answer.status, answer.body["type"]) == (409, "urn:parley:problem:not-asked-by-text")

    def test_erasure_is_proven(self, conversation: Conversation) -> None:
        """Whoever said STOP is erased on both sides, and the proof holds against the stack's key."""
        assert "suppressed-for-good" in conversation.erasure_is_proven()
