"""The page `docs/policy.md`, made from the checks."""

from __future__ import annotations

from pathlib import Path

from policy.checks import SUBJECTS
from policy.exemptions import LONGEST_DAYS
from policy.rules import Check

HEAD = f"""# Policy

Made from the checks in `policy/checks` by `make docs`. They judge a stack before an update, and an exported state
without a login to any cloud:

```console
$ make policy
$ parley pulumi preview --stack dev --policy-pack policy
$ parley pulumi stack export --stack dev --file export.json
$ parley pulumi policy analyze --file export.json --policy-pack policy
```

A mandatory finding stops the update, and makes `analyze` exit with 1; an advisory one is shown. What is not known
in a first preview is not judged there, but in `up`, once it is made, and in `analyze`. The engine does not tell a pack
whether a resource is retained when it leaves the program; `python -m policy.review export.json` judges that too, and
lists what is exempted.

The declared days are those in the functions' `PARLEY_KEEP_DAYS`. `local` and `dev` are disposable: what protects data
from loss is judged in every other environment, and where none is named.

## Exemptions

`policy/exemptions.yaml` lists accepted findings: `check`, `resource` (a pattern of type/name), `reason`, `owner` and
`expires`, at most {LONGEST_DAYS} days away. `exemptions-sound` (mandatory) reports an entry that is wrong or has
expired, and what it exempted is reported again; `exemptions-needed` (advisory) reports one that exempts nothing.

## References

FSBP: AWS Foundational Security Best Practices. GDPR: Regulation (EU) 2016/679, articles. ISO 27001: ISO/IEC 27001:2022,
Annex A. CKV: Checkov. A reference says which control a check serves, not that the control is thereby met.
"""


COLUMNS = """| check | what holds | level | severity | references | way out |
|---|---|---|---|---|---|
"""


def policy_page() -> str:
    """Return the page, one table for each subject."""
    parts = [HEAD]
    for subject in SUBJECTS:
        checks = [one for one in vars(subject).values() if isinstance(one, Check)]
        title = (subject.__doc__ or "").partition("\n")[0].rstrip(".")
        parts.append(f"\n## {title}\n\n{COLUMNS}")
        parts += [f"{_row(check)}\n" for check in checks]
    return "".join(parts)


def _row(check: Check) -> str:
    cells = (
        f"`{check.id}`",
        check.title,
        "mandatory" if check.mandatory else "advisory",
        str(check.severity),
        ", ".join(check.references),
        check.remediation,
    )
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    (Path(__file__).resolve().parents[1] / "docs" / "policy.md").write_text(policy_page())
