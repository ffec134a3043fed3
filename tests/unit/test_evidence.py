"""The proof of a consent: what each method must leave, and what is no proof."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parley.core.consent import Kind, Method
from parley.core.evidence import FORMS, MEMBERS_LIMIT, TEXT_LIMIT, faults

from tests.unit.chains import NOON

HASH = "ab" * 32
PROOFS: dict[Method, dict[str, Any]] = {
    Method.CONTRACT: {
        "document_id": "terms",
        "document_version": 7,
        "document_sha256": HASH,
        "clause": "12.3",
        "accepted_at": "2026-05-04T11:58:00Z",
    },
    Method.IN_APP: {"screen": "booking", "action": "ticked", "text_sha256": HASH},
    Method.SMS_REPLY: {"question_sid": f"SM{'0' * 32}", "answer_sid": f"SM{'1' * 32}", "answer": "YES"},
    Method.IVR_KEYPRESS: {"call_sid": f"CA{'0' * 32}", "leg": "callee", "digits": "1", "prompt_sha256": HASH},
    Method.VERBAL_RECORDED: {"recording_sid": f"RE{'0' * 32}", "script_sha256": HASH, "agent": "agent-4"},
    Method.ANNOUNCEMENT_STAY: {
        "call_sid": f"CA{'0' * 32}",
        "leg": "caller",
        "prompt_sha256": HASH,
        "stayed_seconds": 30,
    },
    Method.TONE: {"call_sid": f"CA{'0' * 32}", "leg": "caller", "interval_seconds": 15},
    Method.PAPER: {"file_sha256": HASH, "agent": "desk-2", "pages": 2},
    Method.ADMIN_IMPORT: {"system": "crm", "batch": "2026-05", "original_method": "contract", "row": 3},
}


def kind_of(method: Method) -> Kind:
    """Return the strongest kind of consent that a method can prove."""
    return Kind.EXPLICIT if Kind.EXPLICIT in FORMS[method].kinds else Kind.IMPLIED


def reasons(method: Method, evidence: dict[str, Any], kind: Kind | None = None) -> dict[str, str]:
    """Return what is wrong with a proof, by member."""
    found = faults(method, kind or kind_of(method), evidence, now=NOON, skew=timedelta(seconds=60))
    return dict(found)


class TestForms:
    """Every method has a form of its own."""

    def test_every_method_has_a_form(self) -> None:
        """No method is without a form, so none is accepted without knowing its proof."""
        assert set(FORMS) == set(PROOFS) == set(Method)

    @pytest.mark.parametrize("method", Method)
    def test_a_right_proof_proves(self, method: Method) -> None:
        """What a method's form asks for is enough."""
        assert reasons(method, PROOFS[method]) == {}

    @pytest.mark.parametrize("method", Method)
    def test_nothing_required_may_be_missing(self, method: Method) -> None:
        """Each required member that is left out is named."""
        for name in FORMS[method].required:
            left = {key: value for key, value in PROOFS[method].items() if key != name}
            assert set(reasons(method, left)) == {name}

    @pytest.mark.parametrize("method", Method)
    @pytest.mark.parametrize("other", Method)
    def test_no_proof_of_another_method_will_do(self, method: Method, other: Method) -> None:
        """A proof of one method never proves another."""
        assert method is other or reasons(method, PROOFS[other])


class TestKinds:
    """What somebody said, and what was only concluded."""

    @pytest.mark.parametrize("method", [Method.ANNOUNCEMENT_STAY, Method.TONE])
    def test_staying_on_the_line_says_nothing(self, method: Method) -> None:
        """A person who heard an announcement or a tone and stayed has given no explicit consent."""
        assert reasons(method, PROOFS[method], Kind.EXPLICIT) == {"": f"of {method} proves no explicit consent"}

    def test_a_click_is_never_implied(self) -> None:
        """What somebody did say is not recorded as if it had been concluded."""
        assert "" in reasons(Method.IN_APP, PROOFS[Method.IN_APP], Kind.IMPLIED)


class TestMembers:
    """Each member by its kind."""

    @pytest.mark.parametrize(
        ("method", "member", "value"),
        [
            (Method.CONTRACT, "document_sha256", "AB" * 32),
            (Method.CONTRACT, "document_version", 0),
            (Method.CONTRACT, "document_version", True),
            (Method.CONTRACT, "accepted_at", "yesterday"),
            (Method.CONTRACT, "accepted_at", "2026-05-04T13:00:00Z"),
            (Method.CONTRACT, "signature", "maybe"),
            (Method.IN_APP, "screen", " "),
            (Method.IN_APP, "screen", "x" * (TEXT_LIMIT + 1)),
            (Method.IN_APP, "screen", "two\nlines"),
            (Method.SMS_REPLY, "answer_sid", f"CA{'0' * 32}"),
            (Method.SMS_REPLY, "question_sid", f"SM{'0' * 31}"),
            (Method.IVR_KEYPRESS, "digits", "11"),
            (Method.IVR_KEYPRESS, "leg", "both"),
            (Method.TONE, "interval_seconds", 16),
            (Method.ANNOUNCEMENT_STAY, "stayed_seconds", 0),
            (Method.ADMIN_IMPORT, "original_method", "admin_import"),
            (Method.ADMIN_IMPORT, "row", 1.5),
            (Method.IN_APP, "mine", {"nested": 1}),
            (Method.IN_APP, "mine", None),
        ],
    )
    def test_wrong_member_is_named(self, method: Method, member: str, value: object) -> None:
        """A member of the wrong kind, out of range or in the future is named, without its value."""
        found = reasons(method, {**PROOFS[method], member: value})
        assert set(found) == {member}
        assert str(value) not in found[member] or len(str(value)) < 4

    @pytest.mark.parametrize("text", ["2125550111", "call (212) 555-0111 5", "0044 7700 900112", "212.555.0111"])
    def test_number_without_a_plus_is_refused(self, text: str) -> None:
        """A phone number is refused in whatever way people write it, for evidence is kept for years."""
        assert "phone number" in reasons(Method.IN_APP, {**PROOFS[Method.IN_APP], "mine": text})["mine"]

    @pytest.mark.parametrize(
        "text", ["2026-05-04", "order-A212555011100x", "v1.2.3", "550e8400e29b41d4a716446655440000a"]
    )
    def test_ids_and_dates_may_stay(self, text: str) -> None:
        """What is a date or has letters around it is no number."""
        assert reasons(Method.IN_APP, {**PROOFS[Method.IN_APP], "mine": text}) == {}

    def test_proof_is_bounded(self) -> None:
        """A proof of more members than anybody could review is refused."""
        many = {f"m{i}": i for i in range(MEMBERS_LIMIT)}
        assert "" in reasons(Method.IN_APP, {**PROOFS[Method.IN_APP], **many})

    @given(
        st.sampled_from(Method),
        st.sampled_from(Kind),
        st.dictionaries(
            st.text(max_size=12),
            st.none() | st.booleans() | st.integers() | st.text(max_size=40) | st.lists(st.integers(), max_size=2),
            max_size=6,
        ),
    )
    def test_whatever_is_sent_ends_in_reasons(self, method: Method, kind: Kind, evidence: dict[str, Any]) -> None:
        """No proof of any shape ends in an error, and none that lacks a required member passes."""
        found = faults(method, kind, evidence, now=NOON, skew=timedelta(seconds=60))
        assert found or FORMS[method].required.keys() <= evidence.keys()
