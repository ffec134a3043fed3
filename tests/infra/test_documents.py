"""Policy documents: their exact text as fixtures, and what must hold for every one of them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from infra import documents, functions, roles
from infra.documents import Doors
from infra.roles import FunctionReach, Inspection, ObjectReach
from infra.statements import Place
from tests.infra import stacks

GOLDEN = Path(__file__).parent / "golden"
PLACE = Place("aws", stacks.REGION, stacks.ACCOUNT)
PREFIX = "parley-prod"
ROLES = [f"{PREFIX}-{handler.name}" for handler in functions.HANDLERS]
IDENTIFYING = [f"{PREFIX}-{handler.name}" for handler in functions.HANDLERS if handler.identifies]
CARRIERS = [f"{PREFIX}-{handler.name}" for handler in functions.HANDLERS if handler.carries]
REACHING = [f"{PREFIX}-{handler.name}" for handler in functions.HANDLERS if handler.reaches]
STREAM = PLACE.arn("dynamodb", f"table/{PREFIX}-ledger/stream/2026-05-04T12:00:00.000")
NAMES = ("content", "evidence", "identity", "line", "operations", "proof")
KEYS = {name: PLACE.arn("kms", f"key/{name}") for name in NAMES}
BUCKET = "arn:aws:s3:::parley-prod-content-0a1b2c"
QUEUE = PLACE.arn("sqs", f"{PREFIX}-consents")
DEPLOYERS = documents.principal_patterns(f"arn:aws:sts::{stacks.ACCOUNT}:assumed-role/deploy/somebody")
SEALERS = [*(PLACE.role_arn(f"{PREFIX}-{each.name}") for each in functions.HANDLERS if each.seals), *DEPLOYERS]


INSPECTION = Inspection(
    prefix=PREFIX,
    content=BUCKET,
    evidence="arn:aws:s3:::parley-prod-evidence-0a1b2c",
    access_logs="arn:aws:s3:::parley-prod-access-logs-0a1b2c",
    keys=list(KEYS.values()),
    api="abc123",
)


def reach(handler: functions.Handler) -> FunctionReach:
    """Return what a handler may touch, as the gate gives it."""
    name = f"{PREFIX}-{handler.name}"
    return FunctionReach(
        function=PLACE.arn("lambda", f"function:{name}"),
        log_group=PLACE.arn("logs", f"log-group:/aws/lambda/{name}"),
        dead_letters=PLACE.arn("sqs", name),
        operations_key=KEYS["operations"],
        table=PLACE.arn("dynamodb", f"table/{PREFIX}-ledger"),
        evidence_key=KEYS["evidence"],
        table_actions=handler.table,
        index_actions=handler.index,
        secret=PLACE.arn("secretsmanager", "secret:twilio-AbCdEf") if handler.carries else None,
        identity_key=KEYS["identity"] if handler.identifies else None,
        seals=handler.seals,
        inspects=INSPECTION if handler.inspects else None,
        stream=STREAM if handler.follows else None,
        evidence=INSPECTION.evidence if handler.follows or handler.audits else None,
        audits=handler.audits,
        proof_key=KEYS["proof"] if handler.audits else None,
        work=PLACE.arn("sqs", f"{name}-work") if handler.work else None,
        sends=[PLACE.arn("sqs", f"{PREFIX}-{other}-work") for other in handler.sends],
        objects=ObjectReach(handler.stores, BUCKET, KEYS["content"], INSPECTION.evidence, KEYS["proof"])
        if handler.stores
        else None,
        line_key=KEYS["line"] if handler.reaches else None,
        opens=handler.name == functions.SESSIONS,
    )


FUNCTION_ROLES = {f"role-{handler.name}": roles.function_role(PLACE, reach(handler)) for handler in functions.HANDLERS}
RESOURCE_POLICIES = {
    "key-content": documents.content_key(PLACE, f"{PREFIX}-content-*"),
    "key-evidence": documents.evidence_key(PLACE, f"{PREFIX}-evidence-*", f"{PREFIX}-ledger-*", SEALERS),
    "key-identity": documents.identity_key(PLACE, IDENTIFYING, DEPLOYERS),
    "key-operations": documents.operations_key(
        PLACE, PREFIX, [f"/aws/lambda/{PREFIX}-*", f"/aws/vendedlogs/{PREFIX}-api"], ROLES
    ),
    "key-line": documents.line_key(PLACE, REACHING, [f"{PREFIX}-sessions"]),
    "key-proof": documents.proof_key(PLACE, [f"{PREFIX}-erasures"], [f"{PREFIX}-chain"]),
    "bucket-data": documents.data_bucket(BUCKET, KEYS["content"], ["messages/", "call-recordings/"]),
    "bucket-content": documents.data_bucket(
        BUCKET,
        KEYS["content"],
        ["messages/", "call-recordings/"],
        Doors(
            uploaders=[PLACE.role_arn(f"{PREFIX}-archive")],
            readers=[PLACE.role_arn(f"{PREFIX}-{name}") for name in ("archive", "access")],
            listers=[PLACE.role_arn(f"{PREFIX}-archive")],
            inspectors=[PLACE.role_arn(f"{PREFIX}-{name}") for name in ("verify", "erasures", "holds")],
        ),
    ),
    "bucket-logs": documents.log_bucket(
        PLACE, "arn:aws:s3:::logs", {"content": BUCKET, "evidence": "arn:aws:s3:::evidence"}
    ),
    "queue": documents.queue(PLACE, QUEUE),
    "topic": documents.alarm_topic(PLACE, PLACE.arn("sns", "alarms"), PREFIX),
    "secret": documents.secret(
        PLACE,
        PLACE.arn("secretsmanager", "secret:twilio-AbCdEf"),
        CARRIERS,
        DEPLOYERS,
    ),
}
TRUST = {
    "trust-lambda": roles.assume_by_lambda(),
    "trust-scheduler": roles.assume_by_scheduler(PLACE, PREFIX),
}
ROLE_POLICIES = FUNCTION_ROLES | {
    "role-schedule": roles.schedule_role(
        PLACE, PLACE.arn("lambda", f"function:{PREFIX}-reconcile:live"), QUEUE, KEYS["operations"]
    )
}
ALL = RESOURCE_POLICIES | TRUST | ROLE_POLICIES


def statements(text: str) -> list[dict[str, Any]]:
    """Return the statements of a document."""
    found: list[dict[str, Any]] = json.loads(text)["Statement"]
    return found


def listed(value: Any) -> list[str]:
    """Return one or many as a list."""
    return [value] if isinstance(value, str) else list(value or ())


def by_sid(text: str) -> dict[str, dict[str, Any]]:
    """Return the statements by their names."""
    return {statement["Sid"]: statement for statement in statements(text)}


class TestGolden:
    """A reviewer reads the fixtures; a change of any statement shows there."""

    @pytest.mark.parametrize("name", ALL)
    def test_document_is_the_reviewed_one(self, name: str) -> None:
        """The document is, statement by statement, the one in the fixture of its name."""
        assert json.loads(ALL[name]) == json.loads((GOLDEN / f"{name}.json").read_text())

    def test_no_fixture_is_left_over(self) -> None:
        """Every fixture belongs to a document."""
        assert {path.stem for path in GOLDEN.glob("*.json")} == set(ALL)


class TestEveryDocument:
    """What holds whatever a document is for."""

    @pytest.mark.parametrize("name", ALL)
    def test_statements_have_names_of_their_own(self, name: str) -> None:
        """Every statement has a Sid that AWS accepts, and no two share one."""
        sids = [statement["Sid"] for statement in statements(ALL[name])]
        assert all(re.fullmatch("[A-Za-z0-9]+", sid) for sid in sids)
        assert len(set(sids)) == len(sids)

    @pytest.mark.parametrize("name", ALL)
    def test_written_as_aws_gives_it_back(self, name: str) -> None:
        """No list holds a single value, so reading a document back never shows a difference."""
        assert not re.search(r'\["[^"]*"\]', ALL[name])

    @pytest.mark.parametrize("name", ALL)
    def test_nothing_is_allowed_to_everybody(self, name: str) -> None:
        """An Allow names a principal; everybody stands in a Deny only."""
        allowed = [s for s in statements(ALL[name]) if s["Effect"] == "Allow"]
        assert [s["Sid"] for s in allowed if s.get("Principal") in ("*", {"AWS": "*"})] == []

    @pytest.mark.parametrize("name", ALL)
    def test_services_act_for_this_stack_only(self, name: str) -> None:
        """A service principal is bound to this account or to names of this stack (but Lambda, see the trust policy)."""
        served = [s for s in statements(ALL[name]) if "Service" in (s.get("Principal") or ())]
        unbound = [s["Sid"] for s in served if stacks.ACCOUNT not in json.dumps(s.get("Condition", {}))]
        assert unbound == (["AssumeByLambda"] if name == "trust-lambda" else [])

    def test_same_input_same_text(self) -> None:
        """A document is a pure function of its input, down to the byte."""
        other = Place("aws", stacks.REGION, stacks.ACCOUNT)
        assert documents.content_key(PLACE, "a-*") == documents.content_key(other, "a-*")


class TestRoles:
    """One role for each function, with no more than it needs."""

    @pytest.mark.parametrize("name", ROLE_POLICIES)
    def test_no_wildcard_resource(self, name: str) -> None:
        """A role reaches named resources only; a star stands behind a name, never alone.

        But for ListBackups, which DynamoDB authorises for no narrower resource than all.
        """
        narrow = [s for s in statements(ROLE_POLICIES[name]) if s["Action"] != "dynamodb:ListBackups"]
        resources = [r for s in narrow for r in listed(s["Resource"])]
        assert [r for r in resources if r == "*" or r.count(":") < 5 or ":*:" in r] == []

    @pytest.mark.parametrize("name", ROLE_POLICIES)
    def test_no_wildcard_action(self, name: str) -> None:
        """A role's actions are written out."""
        assert [a for s in statements(ROLE_POLICIES[name]) for a in listed(s["Action"]) if "*" in a] == []

    @pytest.mark.parametrize("name", ROLE_POLICIES)
    def test_no_role_decrypts_every_key(self, name: str) -> None:
        """No role can decrypt under every key; under that of content only who archives or reads (AWS FSBP KMS.2)."""
        decrypting = [s for s in statements(ROLE_POLICIES[name]) if "kms:Decrypt" in listed(s["Action"])]
        keys = {key for s in decrypting for key in listed(s["Resource"])}
        content = {KEYS["content"]} if name in ("role-archive", "role-access") else set()
        assert keys <= {KEYS["evidence"], KEYS["operations"], KEYS["line"]} | content
        assert all(s.get("Condition") for s in decrypting)

    @pytest.mark.parametrize("handler", functions.HANDLERS, ids=lambda handler: str(handler.name))
    def test_function_cannot_delete_or_reach_content(self, handler: functions.Handler) -> None:
        """No function may delete from the ledger or touch a bucket but by its duty; none may hand out rights."""
        own = {"TakeOwnWork"}
        actions = {
            a
            for s in statements(FUNCTION_ROLES[f"role-{handler.name}"])
            if s["Sid"] not in own
            for a in listed(s["Action"])
        }
        assert {a for a in actions if a.startswith(("iam:Put", "iam:Create", "sts:")) or "Put*" in a} == set()
        assert ("dynamodb:DeleteItem" in actions) is (handler.stores == "erases")
        deleting = {"erases": {"s3:DeleteObject", "s3:DeleteObjectVersion"}, "archives": {"s3:DeleteObjectVersion"}}
        assert {a for a in actions if "Delete" in a and a != "dynamodb:DeleteItem"} == deleting.get(
            handler.stores, set()
        )
        touches = any(a.startswith("s3:") for a in actions)
        assert touches is bool(handler.stores or handler.inspects or handler.follows or handler.audits)

    def test_archive_reaches_the_content_bucket_only(self) -> None:
        """What archives puts and heads objects of the content bucket, lists it, and reaches no other bucket."""
        found = by_sid(FUNCTION_ROLES["role-archive"])
        buckets = {r for s in found.values() for r in listed(s["Resource"]) if r.startswith("arn:aws:s3:")}
        assert buckets == {BUCKET, f"{BUCKET}/*"}
        assert found["UseContentKey"]["Condition"]["StringEquals"]["kms:ViaService"] == "s3.us-east-1.amazonaws.com"

    def test_reader_reads_single_objects_and_lists_nothing(self) -> None:
        """What signs addresses for readers may get an object of the content bucket, and nothing else of any bucket."""
        actions = {a for s in statements(FUNCTION_ROLES["role-access"]) for a in listed(s["Action"])}
        assert {a for a in actions if a.startswith("s3:")} == {"s3:GetObject", "s3:GetObjectVersion"}

    def test_holds_change_nothing_but_holds(self) -> None:
        """What places legal holds cannot read, write or delete a version; it writes the log of holds only."""
        found = by_sid(FUNCTION_ROLES["role-holds"])
        actions = {a for s in found.values() for a in listed(s["Action"]) if a.startswith("s3:")}
        assert actions == {
            *("s3:GetObjectLegalHold", "s3:ListBucketVersions", "s3:PutObject", "s3:PutObjectLegalHold"),
        }
        assert found["LogHolds"]["Resource"] == f"{INSPECTION.evidence}/erasure-proofs/holds/*"

    def test_erasure_cannot_reach_declarations_or_lift_a_lock(self) -> None:
        """What erases deletes content and copies of consent records; it cannot lift a hold or a lock, nor proofs."""
        found = by_sid(FUNCTION_ROLES["role-erasures"])
        actions = {a for s in found.values() for a in listed(s["Action"])}
        assert actions.isdisjoint(
            {"s3:PutObjectLegalHold", "s3:PutObjectRetention", "s3:BypassGovernanceRetention", "kms:Encrypt"}
        )
        assert found["EraseVersions"]["Resource"] == [f"{BUCKET}/*", f"{INSPECTION.evidence}/consent-evidence/*"]
        assert found["SignProofs"]["Resource"] == KEYS["proof"]
        assert found["AbortUploads"]["Resource"] == f"{BUCKET}/*"

    def test_numbers_are_opened_for_a_session_only(self) -> None:
        """Who reaches people opens their numbers for a session that is named; who opens sessions alone seals them."""
        for name, text in FUNCTION_ROLES.items():
            found = by_sid(text).get("ReachParties")
            if found is None:
                continue
            assert found["Condition"]["Null"] == {"kms:EncryptionContext:session": "false"}
            assert found["Condition"]["StringEquals"] == {"kms:EncryptionContext:purpose": "line"}
            assert ("kms:Encrypt" in listed(found["Action"])) is (name == "role-sessions")
        without = {name for name, text in FUNCTION_ROLES.items() if "ReachParties" not in by_sid(text)}
        assert {"role-fallback", "role-media", "role-verify", "role-access", "role-evidence"} <= without

    def test_work_goes_to_named_queues(self) -> None:
        """A function takes from its own queue, and puts work on those that the table names."""
        for handler in functions.HANDLERS:
            found = by_sid(FUNCTION_ROLES[f"role-{handler.name}"])
            taken = listed(found["TakeOwnWork"]["Resource"]) if "TakeOwnWork" in found else []
            assert taken == ([PLACE.arn("sqs", f"{PREFIX}-{handler.name}-work")] if handler.work else [])
            sent = listed(found["SendWork"]["Resource"]) if "SendWork" in found else []
            assert sent == [PLACE.arn("sqs", f"{PREFIX}-{other}-work") for other in handler.sends]
            assert handler.work is None or handler.work.visibility > handler.timeout

    def test_check_reads_settings_and_no_record(self) -> None:
        """The daily check changes nothing beside its own log and queue, reads one object, and of rows their expiry."""
        found = by_sid(FUNCTION_ROLES["role-verify"])
        own = {"WriteOwnLogs", "SendOwnDeadLetters", "EncryptDeadLetters"}
        actions = {a for sid, s in found.items() if sid not in own for a in listed(s["Action"])}
        reading = ("Get", "List", "Describe", "Decrypt", "Scan", "GET")
        assert [a for a in actions if not a.partition(":")[2].startswith(reading)] == []
        objects = {sid: s["Resource"] for sid, s in found.items() if "s3:GetObject" in listed(s["Action"])}
        assert objects == {"ReadDeclaration": f"{INSPECTION.evidence}/declarations/current.json"}
        rows = found["ReadExpiryOfRows"]["Condition"]
        assert rows["StringEquals"] == {"dynamodb:Select": "SPECIFIC_ATTRIBUTES"}
        assert rows["ForAllValues:StringEquals"]["dynamodb:Attributes"] == ["expires_at", "open_shard", "pk", "sk"]
        assert {a for a in actions if a.startswith("dynamodb:Get") or "Query" in a} == set()

    def test_copies_are_made_and_never_read_by_the_one_that_makes_them(self) -> None:
        """The stream's function reads one stream and puts objects below one prefix: it cannot read or remove any."""
        found = by_sid(FUNCTION_ROLES["role-evidence"])
        actions = {a for s in found.values() for a in listed(s["Action"])}
        assert {a for a in actions if a.startswith("s3:")} == {"s3:PutObject"}
        assert found["MakeCopies"]["Resource"] == f"{INSPECTION.evidence}/consent-evidence/*"
        assert found["ReadStream"]["Resource"] == STREAM
        assert {a for a in actions if a.startswith("dynamodb:")} == {
            *("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams"),
            "dynamodb:Query",
        }
        through = found["EncryptCopies"]["Condition"]["StringEquals"]["kms:ViaService"]
        assert (through, found["EncryptCopies"]["Action"]) == ("s3.us-east-1.amazonaws.com", "kms:GenerateDataKey")

    def test_check_of_the_chains_writes_its_cursor_only(self) -> None:
        """What holds rows against copies can change neither: in the ledger it may write the rows of its cursor."""
        found = by_sid(FUNCTION_ROLES["role-chain"])
        writing = {
            sid for sid, s in found.items() if any(a.endswith(("PutItem", "PutObject")) for a in listed(s["Action"]))
        }
        assert writing == {"KeepCursor"}
        leading = found["KeepCursor"]["Condition"]["ForAllValues:StringLike"]
        assert leading == {"dynamodb:LeadingKeys": "CURSOR#chains-*"}
        assert found["ListCopies"]["Condition"] == {"StringLike": {"s3:prefix": "consent-evidence/*"}}
        assert found["ReadCopies"]["Resource"] == f"{INSPECTION.evidence}/consent-evidence/*"

    def test_only_who_talks_to_twilio_reads_its_secret(self) -> None:
        """What makes and checks copies or links, holds, or lets somebody read has no credentials of Twilio."""
        without = {name for name, text in FUNCTION_ROLES.items() if "ReadTwilioSecret" not in by_sid(text)}
        assert without == {
            *("role-evidence", "role-chain", "role-optout-links", "role-access", "role-holds"),
        }

    def test_check_fits_into_one_inline_policy(self) -> None:
        """AWS takes no more than 10,240 characters of inline policy for a role."""
        assert len(FUNCTION_ROLES["role-verify"]) < 10_240

    @pytest.mark.parametrize("handler", functions.HANDLERS, ids=lambda handler: str(handler.name))
    def test_function_writes_its_own_logs_and_dead_letters_only(self, handler: functions.Handler) -> None:
        """A function's log group and queue are its own."""
        found = by_sid(FUNCTION_ROLES[f"role-{handler.name}"])
        assert found["WriteOwnLogs"]["Resource"].endswith(f"/aws/lambda/{PREFIX}-{handler.name}:*")
        assert found["SendOwnDeadLetters"]["Resource"].endswith(f":{PREFIX}-{handler.name}")

    def test_role_without_stores_has_no_statement_of_them(self) -> None:
        """What a function does not need is not in its document at all."""
        bare = FunctionReach(
            function="arn:aws:lambda:us-east-1:123456789012:function:f",
            log_group="l",
            dead_letters="q",
            operations_key="o",
            table="t",
            evidence_key="e",
            table_actions=(),
        )
        assert set(by_sid(roles.function_role(PLACE, bare))) == {
            "WriteOwnLogs",
            "SendOwnDeadLetters",
            "EncryptDeadLetters",
            "DecryptOwnEnvironment",
        }


UNIDENTIFYING = (
    *("intercept", "interaction", "fallback", "verify", "evidence", "chain", "recorder", "recording", "access"),
)


class TestDoors:
    """Who may look into the content bucket, whatever IAM lets them."""

    def test_nobody_reads_or_lists_but_by_duty(self) -> None:
        """Reading, listing, and listing versions are denied to everybody but the roles whose duty it is."""
        found = by_sid(RESOURCE_POLICIES["bucket-content"])
        let_in = {
            sid: listed(found[sid]["Condition"]["StringNotLike"]["aws:PrincipalArn"])
            for sid in ("DenyOtherReaders", "DenyOtherListers", "DenyOtherInspectors")
        }
        names = {sid: [arn.rpartition("-")[2] for arn in arns] for sid, arns in let_in.items()}
        assert names == {
            "DenyOtherReaders": ["archive", "access"],
            "DenyOtherListers": ["archive"],
            "DenyOtherInspectors": ["verify", "erasures", "holds"],
        }
        assert all(found[sid]["Principal"] == {"AWS": "*"} for sid in let_in)


class TestKeys:
    """Who may use a key is in its policy, and only there."""

    KEY_POLICIES = ("key-content", "key-evidence", "key-identity", "key-operations", "key-proof")
    PUBLIC = "ReadPublicKey"
    """What anybody of the account may have: it signs nothing."""

    @pytest.mark.parametrize("name", KEY_POLICIES)
    def test_administration_is_not_use(self, name: str) -> None:
        """Who administers a key can neither use it nor grant its use by that."""
        found = by_sid(RESOURCE_POLICIES[name])
        actions = {*listed(found["KeyOwner"]["Action"]), *listed(found["KeyAdministration"]["Action"])}
        used = {"kms:Decrypt", "kms:Encrypt", "kms:CreateGrant", "kms:GenerateMac", "kms:GenerateDataKey", "kms:*"}
        assert actions.isdisjoint(used)
        assert not any("*" in action for action in actions)

    @pytest.mark.parametrize("name", KEY_POLICIES)
    def test_use_is_tied_to_a_service_or_a_role(self, name: str) -> None:
        """Every statement that allows use has a condition on the service, the role, or what is encrypted."""
        using = [
            s
            for s in statements(RESOURCE_POLICIES[name])
            if s["Sid"] not in ("KeyOwner", "KeyAdministration", self.PUBLIC)
        ]
        assert using
        assert [s["Sid"] for s in using if not s.get("Condition")] == []

    @pytest.mark.parametrize("name", KEY_POLICIES)
    def test_key_can_always_be_mended(self, name: str) -> None:
        """The account can put a new policy, so no key is ever locked away."""
        owner = by_sid(RESOURCE_POLICIES[name])["KeyOwner"]
        assert owner["Principal"] == {"AWS": f"arn:aws:iam::{stacks.ACCOUNT}:root"}
        assert "kms:PutKeyPolicy" in owner["Action"]

    def test_logs_use_the_key_for_this_stack_s_groups_only(self) -> None:
        """CloudWatch Logs uses the key under the encryption context of this stack's log groups."""
        condition = by_sid(RESOURCE_POLICIES["key-operations"])["UseByLogs"]["Condition"]
        groups = condition["ArnLike"]["kms:EncryptionContext:aws:logs:arn"]
        assert all(PREFIX in group for group in groups)

    def test_party_keys_are_made_by_functions_that_are_given_numbers(self) -> None:
        """Only functions that are given phone numbers can make a party key; what Proxy calls in a session never is."""
        found = by_sid(RESOURCE_POLICIES["key-identity"])["UseByRole"]
        allowed = [PLACE.role_arn(role) for role in IDENTIFYING]
        assert found["Condition"] == {"ArnEquals": {"aws:PrincipalArn": allowed}}
        assert set(ROLES) - set(IDENTIFYING) == {f"{PREFIX}-{name}" for name in UNIDENTIFYING}
        assert {name for name, text in FUNCTION_ROLES.items() if "MakePartyKeys" not in by_sid(text)} == {
            f"role-{name}" for name in UNIDENTIFYING
        }
        assert found["Action"] == ["kms:DescribeKey", "kms:GenerateMac"]
        deployer = by_sid(RESOURCE_POLICIES["key-identity"])["UseByDeployer"]
        assert deployer["Condition"] == {"ArnLike": {"aws:PrincipalArn": list(DEPLOYERS)}}
        assert deployer["Action"] == "kms:GenerateMac"

    def test_sealed_contacts_open_for_nobody(self) -> None:
        """Identifiers are encrypted under their party and purpose, by few; no statement lets anybody decrypt one."""
        found = by_sid(RESOURCE_POLICIES["key-evidence"])
        assert found["SealContacts"]["Action"] == "kms:Encrypt"
        assert found["SealContacts"]["Condition"] == {
            "ArnLike": {"aws:PrincipalArn": SEALERS},
            "Null": {"kms:EncryptionContext:party": "false"},
            "StringEquals": {"kms:EncryptionContext:purpose": "contact"},
        }
        decrypting = [s for s in found.values() if "kms:Decrypt" in listed(s["Action"])]
        # Each names another encryption context, which a sealed contact does not have.
        assert all("kms:EncryptionContext:aws:" in json.dumps(s["Condition"]) for s in decrypting)
        assert {name for name, text in FUNCTION_ROLES.items() if "SealContacts" in by_sid(text)} == {
            "role-consents",
            "role-questions",
        }


class TestBuckets:
    """What a bucket refuses."""

    def test_data_bucket_refuses_every_wrong_way(self) -> None:
        """Plain transport, old TLS, no or another encryption, another or a caller's own key, an undeclared class."""
        found = by_sid(RESOURCE_POLICIES["bucket-data"])
        assert set(found) == {
            "DenyUndeclaredClass",
            "DenyInsecureTransport",
            "DenyOldTls",
            "DenyUnencrypted",
            "DenyOtherEncryption",
            "DenyOtherKey",
            "DenyCustomerKey",
        }
        assert {statement["Effect"] for statement in found.values()} == {"Deny"}

    def test_nothing_lands_where_no_rule_deletes(self) -> None:
        """A key outside the declared classes is refused, in a bucket without classes every key."""
        denied = by_sid(RESOURCE_POLICIES["bucket-data"])["DenyUndeclaredClass"]
        assert (denied["Action"], denied["NotResource"]) == (
            "s3:PutObject",
            [f"{BUCKET}/call-recordings/*", f"{BUCKET}/messages/*"],
        )
        nothing = by_sid(documents.data_bucket(BUCKET, KEYS["content"], []))["DenyUndeclaredClass"]
        assert nothing["NotResource"] == BUCKET

    @pytest.mark.parametrize("name", ["bucket-data", "bucket-logs"])
    def test_transport_is_refused_for_bucket_and_objects(self, name: str) -> None:
        """The TLS rules cover the bucket itself and everything in it."""
        for sid in ("DenyInsecureTransport", "DenyOldTls"):
            bucket, objects = by_sid(RESOURCE_POLICIES[name])[sid]["Resource"]
            assert objects == f"{bucket}/*"

    def test_logs_are_delivered_for_the_logged_buckets_only(self) -> None:
        """The log service may write under each bucket's prefix, for that bucket of this account only."""
        found = by_sid(RESOURCE_POLICIES["bucket-logs"])
        for prefix, source in (("Content", BUCKET), ("Evidence", "arn:aws:s3:::evidence")):
            delivery = found[f"DeliverLogsOf{prefix}"]
            assert delivery["Resource"] == f"arn:aws:s3:::logs/{prefix.lower()}/*"
            assert delivery["Condition"] == {
                "ArnEquals": {"aws:SourceArn": source},
                "StringEquals": {"aws:SourceAccount": stacks.ACCOUNT},
            }


class TestSecret:
    """Who may read the Twilio credentials."""

    def test_everybody_else_is_denied(self) -> None:
        """Only functions that talk to Twilio and who deploys may read the secret, whatever their IAM policies say."""
        found = by_sid(RESOURCE_POLICIES["secret"])["DenyOtherReaders"]
        assert found["Condition"]["StringNotLike"]["aws:PrincipalArn"] == [
            *(PLACE.role_arn(role) for role in CARRIERS),
            f"arn:aws:iam::{stacks.ACCOUNT}:root",
            f"arn:aws:iam::{stacks.ACCOUNT}:role/deploy",
            f"arn:aws:iam::{stacks.ACCOUNT}:role/*/deploy",
        ]

    @pytest.mark.parametrize(
        ("caller", "patterns"),
        [
            ("arn:aws:iam::123456789012:user/ops/jane", ("arn:aws:iam::123456789012:user/ops/jane",)),
            ("arn:aws:iam::123456789012:root", ("arn:aws:iam::123456789012:root",)),
            (
                "arn:aws-us-gov:sts::123456789012:assumed-role/deploy/run",
                ("arn:aws-us-gov:iam::123456789012:role/deploy", "arn:aws-us-gov:iam::123456789012:role/*/deploy"),
            ),
        ],
    )
    def test_caller_as_principal(self, caller: str, patterns: tuple[str, ...]) -> None:
        """A session stands for its role, with or without a path; users and the root stand for themselves."""
        assert documents.principal_patterns(caller) == patterns


if __name__ == "__main__":  # `python -m tests.infra.test_documents` writes the fixtures anew, to be reviewed
    for name, text in ALL.items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(json.loads(text), indent=2) + "\n")
