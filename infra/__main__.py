"""The deployment: settings, then the components in the order in which they need each other, then the outputs."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence

import pulumi
import pulumi_aws as aws

from infra import declaration, functions, gate
from infra.documents import Doors, principal_patterns
from infra.expectations import expectations
from infra.gate import ConsentGate, PublicApi
from infra.ledger import ConsentLedger
from infra.masking import MaskedLine
from infra.monitoring import Monitoring
from infra.package import PackageError, write_package
from infra.records import RecordStore
from infra.revision import revision
from infra.settings import Settings, SettingsError, cautions, from_pulumi
from infra.statements import Place


def deploy(settings: Settings) -> None:
    """Declare the whole stack, and export its public contract."""
    # Relative, so that the state of a stack is the same from every checkout; the engine resolves it from here, too.
    code = os.path.relpath(write_package())
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
    monitoring = Monitoring("monitoring", settings, place, api=api, gate=consent_gate, records=records)

    pulumi.export("environment", settings.environment)
    pulumi.export("commit", revision())
    pulumi.export("masking", settings.masking)
    pulumi.export("gateUrl", api.url)
    pulumi.export("contentBucket", records.content.bucket)
    pulumi.export("accessLogBucket", records.access_logs.bucket)
    pulumi.export("evidenceBucket", records.evidence.bucket)
    pulumi.export("contentKeyArn", records.content_key.arn)
    pulumi.export("evidenceKeyArn", records.evidence_key.arn)
    pulumi.export("identityKeyArn", ledger.identity_key.arn)
    pulumi.export("proofKeyArn", records.proof_key.arn)
    pulumi.export("ledgerTable", ledger.table.name)
    if line.service is not None:
        pulumi.export("proxyServiceSid", line.service.sid)
    if line.key is not None:
        pulumi.export("lineKeyArn", line.key.arn)
    pulumi.export("numbers", line.numbers)
    pulumi.export("functions", consent_gate.function_names)
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
    pulumi.export("declaration", declared)


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
    main()
