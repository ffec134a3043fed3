"""The one-click page: a look changes nothing, one press refuses everything, and a forged link tells nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from parley import runtime
from parley.core import moments
from parley.core.consent import Scope, State, verify_chain
from parley.core.optout_link import DOMAIN

from tests.handlers.world import ANA, GATE, World, body, lines, problem_of

ONE_CLICK = "List-Unsubscribe=One-Click"


def made(world: World, party: str = ANA, **fields: Any) -> str:
    """Return the URL of a link for somebody."""
    answer = world.link(party, **fields)
    assert answer["statusCode"] == 201, answer
    url: str = body(answer)["url"]
    return url


def withdrawn(world: World, party: str = ANA) -> bool:
    """Tell whether everything of somebody is withdrawn."""
    found = world.ledger.standings_of(world.identities.party(party))
    return {one.scope for one in found if one.state is State.WITHDRAWN} == set(Scope)


class TestLinks:
    """Making a link."""

    def test_holds_no_number_and_lasts_as_long_as_wanted(self, world: World) -> None:
        """A link names its person by nothing but the party key, and ends when its maker said."""
        answer = body(world.link(ANA, days=30))
        assert answer["url"].startswith(f"{GATE}/optout/")
        assert answer["party"] == world.identities.party(ANA)
        assert ANA.removeprefix("+") not in answer["url"]
        left = moments.from_text(answer["expires_at"]) - runtime.clock().now()
        assert timedelta(days=29, hours=23) < left <= timedelta(days=30)

    def test_number_user_and_key_are_taken(self, world: World) -> None:
        """A person is named by a number, a user id or a party key; the same person has the same link."""
        key = world.identities.party(ANA)
        assert body(world.link(key))["party"] == body(world.link(ANA))["party"] == key
        assert world.link("user:ana-7")["statusCode"] == 201

    @pytest.mark.parametrize("fields", [{"days": 0}, {"days": 401}, {"days": True}, {"party": "Ana"}, {"x": 1}])
    def test_mistake_in_the_body(self, world: World, fields: dict[str, Any]) -> None:
        """What makes no link is refused with its path."""
        assert problem_of(world.link(**{"party": ANA, **fields})) == (400, "invalid-body")

    def test_only_links_are_signed(self, world: World) -> None:
        """The signer of links signs nothing that could be an identifier."""
        with pytest.raises(ValueError, match="only the messages of links"):
            world.identities.sign_link(b"e164:" + ANA.encode())
        assert world.identities.sign_link(DOMAIN).hex() != world.identities.party(ANA)

    def test_log_names_nobody(self, world: World, capsys: pytest.CaptureFixture[str]) -> None:
        """Neither the number nor the link is in the log."""
        url = made(world)
        logged = str(lines(capsys))
        assert (ANA in logged, url.rpartition("/")[2] in logged) == (False, False)


class TestPage:
    """What a person sees and does."""

    def test_look_changes_nothing(self, world: World) -> None:
        """Opening the link, as scanners do, shows the button and withdraws nothing."""
        opened = world.conversation()
        answer = world.browse(made(world))
        assert (answer["statusCode"], "<button" in answer["body"]) == (200, True)
        assert world.status_at_twilio(opened["session"]) == "open"
        assert not withdrawn(world)

    def test_button_refuses_everything(self, world: World) -> None:
        """One press withdraws every scope, closes the sessions, and says so; the page is the confirmation."""
        opened = world.conversation()
        answer = world.browse(made(world), "POST")
        assert (answer["statusCode"], "on record" in answer["body"]) == (200, True)
        assert withdrawn(world)
        assert (world.status_at_twilio(opened["session"]), world.received(ANA)) == ("closed", [])
        records = world.ledger.records(world.identities.party(ANA))
        assert verify_chain(records).seq == len(records)
        assert ((records[-1].event.withdrawal or {})["channel"], records[-1].event.evidence["action"]) == (
            "web",
            "button",
        )

    def test_mail_program_refuses_everything(self, world: World) -> None:
        """The one-click POST of RFC 8058 does the same, and is confirmed by text, since nobody sees the page."""
        world.conversation()
        assert world.browse(made(world), "POST", ONE_CLICK)["statusCode"] == 200
        assert withdrawn(world)
        assert ["withdrawal is on record" in text for text in world.received(ANA)] == [True]

    def test_second_press_changes_nothing(self, world: World) -> None:
        """Pressing again, on the same link or another one, appends nothing and shows the same."""
        first, other = made(world), made(world, days=3)
        answers = [world.browse(url, "POST") for url in (first, first, other)]
        assert len(world.rows("EVENT#")) == len(Scope)
        assert {answer["body"] for answer in answers} == {answers[0]["body"]}

    def test_works_again_after_a_new_consent(self, world: World) -> None:
        """A link that was used refuses again for somebody who agreed anew since."""
        url = made(world)
        world.browse(url, "POST")
        world.clock.advance(1)
        world.conversation()
        world.clock.advance(1)
        world.browse(url, "POST")
        assert withdrawn(world)

    @pytest.mark.parametrize(("language", "words"), [("ja", "すべて"), ("de-DE", "Kontakt"), ("es", "contacto")])
    def test_language_of_the_browser(self, world: World, language: str, words: str) -> None:
        """The page is in the language of the browser."""
        answer = world.browse(made(world), language=language)
        assert words in answer["body"]
        assert answer["headers"]["content-language"] == language[:2]

    def test_headers_keep_it_private(self, world: World) -> None:
        """No page is kept, framed, or told to another site, and none sets a cookie."""
        for answer in (world.browse(made(world)), world.browse("x/forged"), world.browse(made(world), "POST")):
            sent = answer["headers"]
            assert (sent["cache-control"], sent["referrer-policy"]) == ("no-store", "no-referrer")
            assert "default-src 'none'" in sent["content-security-policy"]
            assert "set-cookie" not in sent


class TestUnusable:
    """Links that do nothing."""

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_forged_link(self, world: World, method: str) -> None:
        """A link that was not made here is 404, withdraws nothing, and does not say why."""
        url = made(world)
        forged = url[:-4] + ("AAAA" if not url.endswith("AAAA") else "BBBB")
        answer = world.browse(forged, method)
        assert (answer["statusCode"], "<button" in answer["body"]) == (404, False)
        assert world.rows("EVENT#") == []

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_expired_link(self, world: World, method: str) -> None:
        """A link whose time is over is 410, and withdraws nothing."""
        url = made(world, days=1)
        world.clock.advance(86_401)
        assert world.browse(url, method)["statusCode"] == 410
        assert world.rows("EVENT#") == []

    def test_both_look_the_same(self, world: World) -> None:
        """The page of a forged link and of an old one differ in nothing."""
        url = made(world, days=1)
        world.clock.advance(86_401)
        assert world.browse(url)["body"] == world.browse("x/forged")["body"]

    def test_deployment_that_is_broken_tells_so(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where not even the operator's name is known, the answer is 503 all the same."""
        url = made(world)
        monkeypatch.delenv("PARLEY_CONTROLLER")
        runtime.environment.cache_clear()
        assert problem_of(world.browse(url, "POST")) == (503, "unavailable")

    def test_ledger_that_is_down_is_not_confirmed(self, world: World) -> None:
        """Without the ledger nobody is told that their no was taken."""
        url = made(world)
        world.break_ledger()
        answer = world.browse(url, "POST")
        assert (answer["statusCode"], "on record" in answer["body"]) == (503, False)
