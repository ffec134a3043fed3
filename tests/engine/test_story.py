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
        routes = ("/twilio/intercept", "/twilio/out-of-session", "/twilio/interaction")
        assert [conversation.api.unsigned_post(route, {}).status for route in routes] == [403, 403, 403]

    def test_one_consent_is_not_enough(self, conversation: Conversation) -> None:
        """A session with one consent missing is refused and names the party by key only."""
        assert "409" in conversation.one_consent_is_not_enough()

    def test_both_consent(self, conversation: Conversation) -> None:
        """With both consents a session opens."""
        assert "session KC" in conversation.both_consent()

    def test_texts_pass_masked(self, conversation: Conversation) -> None:
        """Texts pass both ways and neither handset sees the other's number."""
        assert conversation.texts_pass_masked().startswith("Ana saw only +1")

    def test_broken_gate(self, conversation: Conversation) -> None:
        """With the handlers down a stranger still reaches nobody."""
        assert "80908" in conversation.broken_gate()

    def test_stop_closes(self, conversation: Conversation) -> None:
        """A swallowed STOP closes the session within the reconcile bound and bars the next one."""
        assert "80901" in conversation.stop_closes()
