"""What a caller reported, as the event that the ledger keeps: the same for the API and for the import of a file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from parley.core.consent import ConsentEvent, State, purposes_of
from parley.core.requests import ConsentRequest
from parley.variables import Controller


def event_of(
    wanted: ConsentRequest,
    *,
    party: str,
    counterpart: str | None,
    actor: str,
    controller: Controller,
    validity_days: int | None,
    purposes: Mapping[str, Iterable[str]],
    storage_region: str = "",
) -> ConsentEvent:
    """Return the event of a report.

    `party` and `counterpart` are the party keys of its identifiers, `actor` is who reported it. A consent is valid for
    `validity_days` from when it was given (None: until it is withdrawn), for the `purposes` that the schedule declares
    by record class, under the privacy policy of the controller. `storage_region` is that of the ledger, which sees to
    it in any case: it only saves the work.
    """
    notice = None if wanted.notice is None else with_policy(wanted.notice, controller)
    given = wanted.state is State.GIVEN
    covers = "relation" if counterpart else "service"
    return ConsentEvent(
        party=party,
        counterpart=counterpart,
        scope=wanted.scope,
        state=wanted.state,
        kind=wanted.kind,
        method=wanted.method,
        notice=notice,
        evidence=wanted.evidence,
        requested_at=wanted.occurred_at if wanted.state is State.REQUESTED else None,
        effective_at=wanted.occurred_at,
        valid_until=wanted.occurred_at + timedelta(days=validity_days) if validity_days and given else None,
        controller={"name": controller.name, "contact": controller.contact},
        withdrawal=None if wanted.withdrawal is None else {**wanted.withdrawal, "covers": covers},
        legal_basis=wanted.legal_basis,
        identity=wanted.identity,
        number_tenure=wanted.number_tenure,
        jurisdiction=wanted.jurisdiction,
        purposes=purposes_of(wanted.scope, purposes),
        storage_region=storage_region,
        actor=actor,
        source_event_id=wanted.source_event_id,
    )


def with_policy(notice: Mapping[str, Any], controller: Controller) -> dict[str, Any]:
    """Return a notice as consent records name it, with the privacy policy that it points to."""
    policy = {"url": controller.privacy_policy_url, "version": controller.privacy_policy_version}
    return {**notice, "privacy_policy": policy}
