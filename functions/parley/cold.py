"""A cold start without garbage collection: what is imported stays, so looking through it is a tenth of the time lost.

Imported first, this turns collection off; `over` turns it on again (docs.python.org/3/library/gc).
"""

from __future__ import annotations

import gc

gc.disable()


def over() -> None:
    """Collect again, leaving out what the imports made."""
    gc.freeze()
    gc.enable()
