"""The whole kit as one call: its components in the order in which they need each other, and what a stack tells of them.

`python -m infra` deploys it as it is; a program of one's own calls `assemble`, and has the components to build upon
(docs/provider.md).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from infra import declaration, functions, gate
from infra.documents import Doors, principal_patterns
from infra.expectations import expectations
from infra.gate import ConsentGate, PublicApi
from infra.ledger import ConsentLedger
from infra.masking import MaskedLine
from infra.monitoring import Monitoring
from infra.package import write_package
from infra.records import RecordStore
from infra.revision import revision
from infra.settings import Settings
from infra.statements import Place


@dataclass(frozen=True)
class Kit:
    """The components of a deployed kit, and its declaration."""

    settings: Settings
    records: RecordStore
    ledger: ConsentLedger
    api: PublicApi
    line: MaskedLine
    gate: ConsentGate
    monitoring: Monitoring
    declaration: dict[str, Any]

    def outputs(self) -> dict[str, Any]:
        """Return the public contract of a stack, by the names of its outputs."""
        services, key = self.line.services, self.line.key
        return {
            "environment": self.settings.environment,
            "commit": revision(),
            "masking": self.settings.masking,
            "gateUrl": self.api.url,
            "contentBucket": self.records.content.bucket,
            "accessLogBucket": self.records.access_logs.bucket,
            "evidenceBucket": self.records.evidence.bucket,
            "contentKeyArn": self.records.content_key.arn,
            "evidenceKeyArn": self.records.evidence_key.arn,
            "identityKeyArn": self.ledger.identity_key.arn,
            "proofKeyArn": self.records.proof_key.arn,
            "ledgerTable": self.ledger.table.name,
            "numbers": self.line.numbers,
            "functions": self.gate.function_names,
            **({"proxyServiceSids": [each.sid for each in services]} if services else {}),
            **({} if key is None else {"lineKeyArn": key.arn}),
            "declaration": self.declaration,
        }


def assemble(settings: Settings) -> Kit:
    """Declare the whole kit. Raises PackageError if the functions cannot be packed."""
    # Relative, so that the state of a stack is the same from every checkout; the engine resolves it from here, too.
    compiled_for = gate.RUNTIME.removeprefix("python") if settings.functions.compiled else None
    code = os.path.relpath(write_package(compiled_for=compiled_for))
    caller = aws.get_caller_identity()
    place = Place(aws.get_partition().partition, aws.get_region().region, caller.account_id)

    deployers = settings.deployers or principal_patterns(caller.arn)

    records = RecordStore(
        "records",
        settings,
        place,
        roles=functions.role_names(settings),
        log_groups=gate.log_group_names(settings),
        sealers=[*(place.role_arn(name) for name in functions.sealing_roles(settings)), *deployers],
        signers=functions.storing_roles(settings, "erases"),
        verifiers=[functions.deployed_name(settings, each.name) for each in functions.HANDLERS if each.audits],
        doors=_doors(settings, place, deployers),
    )
    ledger = ConsentLedger(
        "ledger",
        settings,
        place,
        encryption_key=records.evidence_key,
        roles=functions.role_names(settings, identifying=True),
        deployers=deployers,
    )
    api = PublicApi("api", settings, log_key=records.operations_key)
    line = MaskedLine(
        "line",
        settings,
        place,
        public_url=api.url,
        reaching=functions.reaching_roles(settings),
        opening=[functions.deployed_name(settings, functions.SESSIONS)],
    )
    consent_gate = ConsentGate(
        "gate",
        settings,
        place,
        api=api,
        records=records,
        ledger=ledger,
        line=line,
        code=code,
        deployers=deployers,
    )
    if settings.webhooks is not None:
        line.configure_webhooks(api.url, settings.webhooks, consent_gate)
    monitoring = Monitoring("monitoring", settings, place, api=api, gate=consent_gate, records=records)

    deployed = declaration.locations(records, ledger, api, consent_gate, line)
    expected = expectations(
        settings,
        records=records,
        ledger=ledger,
        api=api,
        line=line,
        gate=consent_gate,
        monitoring=monitoring,
    )
    declared = declaration.declare(settings, deployed, expected)
    kept = records.keep_declaration(pulumi.Output.json_dumps(declared, sort_keys=True))
    consent_gate.check_daily(kept)
    return Kit(settings, records, ledger, api, line, consent_gate, monitoring, declared)


def _doors(settings: Settings, place: Place, deployers: Sequence[str]) -> Doors:
    """Return who may look into the content bucket.

    Whoever deploys may list names and versions, never read one: `pulumi refresh` asks if the bucket is there, which S3
    takes for listing (HeadBucket), `parley verify` counts versions, and a stack without protection is emptied when it
    is destroyed.
    """

    def arns(*names: str) -> list[str]:
        return [place.role_arn(name) for name in names]

    archives = arns(*functions.storing_roles(settings, "archives"))
    return Doors(
        uploaders=archives,
        readers=[*archives, *arns(*functions.storing_roles(settings, "reads"))],
        listers=[*archives, *deployers],
        inspectors=[
            *arns(functions.deployed_name(settings, "verify"), *functions.storing_roles(settings, "erases", "holds")),
            *deployers,
        ],
    )
