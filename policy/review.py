"""A reviewer's list of an exported stack: what is found, and what is exempted, by whom and until when.

`python -m policy.review EXPORT.json` says more than `pulumi policy analyze`: exempted findings too, and whether
resources are retained when they leave the program, which the engine does not tell to policy packs.
"""

from __future__ import annotations

import datetime as dt
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from policy import exemptions
from policy.checks import CHECKS
from policy.exemptions import Exemptions
from policy.model import Deployment, from_export
from policy.rules import judged

HELD, FAILED, CANNOT_TELL = 0, 1, 2


def lines(deployment: Deployment, accepted: Exemptions, today: dt.date) -> Iterator[tuple[bool, str]]:
    """Yield every line of the list, and whether it is something that stops an update."""
    mandatory = {check.id for check in CHECKS if check.mandatory}
    judgement = exemptions.judge(judged(deployment, CHECKS), accepted.listed, today)
    for finding in judgement.findings:
        yield finding.check in mandatory, f"found     {finding.check}: {finding}"
    for problem in accepted.problems:
        yield True, f"wrong     {problem}"
    for one in judgement.expired:
        yield True, f"expired   {one}"
    for finding, by in judgement.exempted:
        yield False, f"exempted  {finding.check}: {finding} ({by})"
    for one in judgement.unused:
        yield False, f"unused    {one}"
    exempted = len(judgement.exempted)
    yield False, f"{len(CHECKS)} checks, {len(judgement.findings)} findings, {exempted} exempted"


def main(arguments: list[str]) -> int:
    """Print the list of the export named; return 0 if nothing stops an update, 1 if something does, 2 on misuse."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m policy.review EXPORT.json\n")
        return CANNOT_TELL
    path, today = Path(arguments[0]), dt.datetime.now(dt.UTC).date()
    try:
        deployment = from_export(json.loads(path.read_text("utf-8")))
    except OSError as error:
        sys.stderr.write(f"{path}: {error.strerror}\n")
        return CANNOT_TELL
    except ValueError:
        sys.stderr.write(f"{path}: not an exported stack; make one with `pulumi stack export --file {path}`\n")
        return CANNOT_TELL
    text = Path(__file__).with_name("exemptions.yaml").read_text("utf-8")
    told = list(lines(deployment, exemptions.parse(text, [check.id for check in CHECKS], today), today))
    sys.stdout.writelines(f"{line}\n" for _, line in told)
    return FAILED if any(stops for stops, _ in told) else HELD


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
