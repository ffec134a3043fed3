"""The deployment: settings, then the kit, then the outputs."""

from __future__ import annotations

import datetime as dt
import gc

import pulumi

from infra.kit import assemble
from infra.package import PackageError
from infra.settings import Settings, SettingsError, cautions, from_pulumi


def deploy(settings: Settings) -> None:
    """Declare the whole stack, and export its public contract."""
    for name, value in assemble(settings).outputs().items():
        pulumi.export(name, value)


def main() -> None:
    """Deploy the stack whose config the engine hands over; a mistake in it ends as one message."""
    try:
        settings = from_pulumi()
        for caution in cautions(settings, dt.datetime.now(dt.UTC).date()):
            pulumi.log.warn(caution)
        deploy(settings)
    except (SettingsError, PackageError) as error:
        raise pulumi.RunError(str(error)) from None


if __name__ == "__main__":
    # What a deployment declares stays to its end, so looking through it for garbage is time lost.
    gc.disable()
    main()
