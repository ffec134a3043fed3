"""Where parties are said to be, as rows keep it."""

from __future__ import annotations

import json
from collections.abc import Mapping

from parley.core.consent import canonical_json
from parley.core.location import Confidence, Location, Source


def places_to_json(places: Mapping[str, Location]) -> str:
    """Return the places of parties, by their keys, as a text; the same ones always make the same."""
    return canonical_json({party: [one.code, one.source, one.confidence] for party, one in places.items()})


def places_from_json(text: str) -> dict[str, Location]:
    """Return what `places_to_json` made a text of."""
    return {
        party: Location(code, Source(source), Confidence(confidence))
        for party, (code, source, confidence) in json.loads(text).items()
    }
