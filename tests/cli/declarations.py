"""Declarations, checks and reports for tests: small, fixed, of nobody."""

from __future__ import annotations

import datetime as dt
from typing import Any

from parley.core.holds import Hold, Stage, Subject
from parley.core.verification import Check, Verdict

from cli import report
from cli.requirements import Requirement
from policy.exemptions import Exemption

KEY = "arn:aws:kms:us-east-1:123456789012:key/0f0f0f0f-0000-4000-8000-000000000001"
BUCKET, TABLE, QUEUE, SERVICE = "parley-test-content", "parley-test-ledger", "https://sqs.example/dead", "KS" + "0" * 32
TIME = dt.datetime(2026, 11, 20, 12, 30, tzinfo=dt.UTC)
S3 = "https://docs.aws.amazon.com/AmazonS3/latest/userguide"


def store(system: str, name: str, rule: str, days: float, **change: Any) -> dict[str, Any]:
    """Return one place of a class."""
    return {
        "system": system,
        "name": name,
        "rule": rule,
        "days": days,
        "key": KEY,
        "readers": [],
        "processor": "AWS",
    } | change


def twilio(days: float = 0) -> dict[str, Any]:
    """Return Twilio's copy, which the sweeper deletes."""
    return store("twilio", SERVICE, "twilioCopyDays", days, key=None, processor="Twilio")


def path(copy: str, days: float, *, content: bool = True) -> dict[str, Any]:
    """Return one copy of a class: its declared days, and two weeks that no service promises."""
    terms = [
        {"what": "it expires", "days": days - 14, "source": "parley:records"},
        {"what": "S3 acts late (assumed)", "days": 14, "source": f"{S3}/how-to-set-lifecycle-configuration-intro.html"},
    ]
    return {"copy": copy, "days": days, "content": content, "terms": terms}


def entry(name: str, days: float, *stores: dict[str, Any], **change: Any) -> dict[str, Any]:
    """Return one class: the record gone two weeks after its days, its last name a hundred days after that."""
    paths = [path("S3 current version", days + 14), path("S3 access log lines", days + 114, content=False)]
    if any(each["system"] == "twilio" for each in stores):
        paths.append(path("Twilio resource", 44))
    return {
        "class": name,
        "purposes": ["dispute-resolution"],
        "basis": "consent",
        "why": "dispute window",
        "sensitivity": "high",
        "capture": "always",
        "keepDays": days,
        "floors": [],
        "ceilings": [],
        "twilioCopyDays": 0 if len(paths) > 2 else None,
        "lock": "none",
        "hold": True,
        "stores": list(stores),
        "bound": {
            "days": days + 114,
            "contentDays": max(days + 14, 44 * (len(paths) > 2)),
            "releaseDays": 107,
            "paths": paths,
        },
    } | change


def declaration(*classes: dict[str, Any], **change: Any) -> dict[str, Any]:
    """Return the declaration of a stack with these classes, by default one of each kind of place."""
    return {
        "version": 1,
        "project": "parley",
        "stack": "prod",
        "environment": "prod",
        "masking": "proxy",
        "channels": ["voice", "sms"],
        "sectors": ["tsr"],
        "controller": {
            "name": "Acme Rides Ltd",
            "contact": "privacy@example.com",
            "privacyPolicyUrl": "https://example.com/privacy",
            "privacyPolicyVersion": "2026-11",
        },
        "legalReview": {"reviewer": "J. Doe, counsel", "date": "2026-10-01"},
        "classes": list(classes) or usual(),
        "limits": [{"about": "voice, sms", "text": "Proxy connects an open session when the gate does not answer."}],
        "absentCopies": [
            {"copy": "S3 replica", "why": "none is declared, and `parley verify` fails when one is there"}
        ],
        "resources": [],
    } | change


def usual() -> list[dict[str, Any]]:
    """Return four classes: in a bucket and at Twilio, locked between two limits, in queues, and for a few days."""
    return [
        entry("call-recordings", 90, store("s3", BUCKET, "call-recordings", 90), twilio()),
        entry(
            "consent-evidence",
            1827,
            store("dynamodb", TABLE, "expires_at", 1827, readers=["parley-prod-consents", "parley-prod-sessions"]),
            basis="legal_obligation",
            why="TSR 16 CFR 310.5: five years",
            floors=[{"days": 1827, "rule": "TSR 16 CFR 310.5"}],
            ceilings=[{"days": 2192, "rule": "maxDays (own decision)"}],
            lock="compliance",
        ),
        entry(
            "dead-letters",
            14,
            store("sqs", f"{QUEUE}-1", "messageRetentionPeriod", 14),
            store("sqs", f"{QUEUE}-2", "messageRetentionPeriod", 14),
            purposes=["operations"],
            basis="legitimate_interest",
            why="",
            hold=False,
            ceilings=[{"days": 14, "rule": "the longest that SQS keeps a message"}],
        ),
        entry("operational-logs", 4, store("logs", "/aws/lambda/intercept", "retentionInDays", 4), hold=False),
    ]


def checks(declared: dict[str, Any], *others: Check) -> list[Check]:
    """Return a true check for each place, and `others`."""
    return [
        Check(each["system"], each["name"], each["rule"], each["days"], each["days"], Verdict.TRUE, "", one["class"])
        for one in declared["classes"]
        for each in one["stores"]
    ] + list(others)


EDITED = Check(
    "s3",
    BUCKET,
    "lifecycle.call-recordings.days",
    90,
    3650,
    Verdict.DIFFERS,
    "run `pulumi up --refresh`: it puts back what is declared",
    "call-recordings",
)

REQUIREMENTS = (
    Requirement(
        id="R24",
        duty="keep nothing that is not needed",
        state="carried",
        note="on AWS; `twilioCopyDays` is declared only",
        code=("functions/parley/core/retention.py",),
        tests=("tests/unit/test_retention.py",),
        see="the timeline",
    ),
    Requirement("R25", "delete at Twilio too", "open", "", (), (), "nothing to see yet"),
)

EXEMPTIONS = (
    Exemption(
        path="exemptions[0]",
        check="bucket-logged",
        resource="aws:s3/bucket:Bucket/thumbnails",
        reason="public pictures, no record of anybody",
        owner="platform@example.com",
        expires=dt.date(2026, 11, 19),
    ),
    Exemption(
        path="exemptions[1]",
        check="key-rotates",
        resource="aws:kms/key:Key/old",
        reason="HMAC",
        owner="platform@example.com",
        expires=dt.date(2026, 11, 20),
    ),
)


HOLDS = (
    Hold("case-18", Subject.PARTY, "a" * 64, "Doe v. Roe", "counsel", dt.date(2027, 5, 4), TIME),
    Hold(
        id="case-17",
        kind=Subject.SESSION,
        subject="KC" + "5" * 32,
        reason="a *subpoena* of <5> May",
        owner="legal@acme.example",
        review=dt.date(2026, 11, 20),
        placed_at=dt.datetime(2026, 5, 4, tzinfo=dt.UTC),
        stage=Stage.HELD,
        objects=1,
        rows=9,
    ),
)


def golden() -> report.Report:
    """Return the report that the golden files hold: of a deployed stack, with a finding, a late exemption and holds."""
    declared = declaration()
    origin = report.Origin(report.Source.DEPLOYED, TIME, "45d85f2ecf073aa388bd4a5e48dad66c498046e3")
    return report.build(
        declared,
        origin,
        checks(declared, EDITED),
        requirements=REQUIREMENTS,
        exemptions=EXEMPTIONS,
        holds=HOLDS,
    )
