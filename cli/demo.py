"""The story of `parley demo`: a real deployment, real conversations, and every step checked."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
from parley.adapters.secrets import TwilioCredentials
from parley.adapters.twilio_records import TwilioRecords
from parley.core.erasure import pem
from parley.core.records import Resource, ResourceKind
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli import report, report_forms, report_sources, verify
from cli.erase import verified
from cli.errors import UserError
from cli.home import STACK, CloudInfo
from cli.phones import Answer, GateApi, Phones
from cli.progress import resource_news
from cli.requirements import requirements
from cli.stack import LocalStack
from local.engine.events import Step
from local.engine.workspace import Workspace

# Reserved for fiction; no handset in the world answers to them.
ANA = "+12125550111"
BEN = "+12125550122"
CLEO = "+12125550144"
STRANGER = "+12125550133"
DORA = "+12125550166"
# Numbers of the emulator's account that the local stack's pool adopts.
POOL = ("+12125550140", "+12125550141", "+12125550142", "+14155550143")
RECONCILE_SECONDS = 61
# Twilio deletes no message within a minute of its last change (error 20009), and keeps texts for two runs besides.
ARCHIVE_SECONDS = 125
CALL_SECONDS = 40
ERASURE_ATTEMPTS = 6


class StoryError(UserError):
    """A step of the demo did not do what it claims."""


def expect(held: bool, claim: str, seen: object = "") -> None:
    """Raise StoryError unless the claim held."""
    if not held:
        raise StoryError(f"not true: {claim}" + (f"; seen instead: {seen}" if seen != "" else ""))


@dataclass
class Story:
    """One run of the demo over one local stack."""

    stack: LocalStack
    console: Console
    took: list[tuple[str, float]] = field(default_factory=list)

    def run(self, keep: bool = False) -> Path:
        """Tell the whole story, and return the path of the report it wrote.

        With `keep` the deployment is left up. Raises StoryError at the first claim that does not hold.
        """
        with self._step("start the local cloud: AWS, Lambda and Twilio on loopback"):
            cloud = self.stack.start_cloud()
        with self._step("deploy: a real `pulumi up` of the kit") as step:
            first = self.stack.deploy(step.watch)
            workspace = self.stack.workspace()
            expect(first.changes.get("create", 0) > 0, "the first deployment creates resources", first.changes)
            step.tell(f"{first.changes['create']} resources created")
        with self._step("deploy again: nothing changes") as step:
            again = workspace.up()
            changed = {op: n for op, n in again.changes.items() if op != "same" and n}
            expect(not changed, "a second deployment changes nothing", changed)
            step.tell(f"{again.changes['same']} unchanged")

        conversation = Conversation(cloud, workspace.outputs())
        for title, part in conversation.parts():
            with self._step(title) as step:
                step.tell(part())

        with self._step("someone edits a lifecycle rule behind the kit's back: refresh shows it") as step:
            step.tell(self._drift(cloud, workspace))
        with self._step("the report: declared days held against the running services") as step:
            path, text = self._report(cloud, workspace)
            step.tell(text)
        memory = self.stack.memory_mib()
        if not keep:
            with self._step("destroy everything") as step:
                gone = self.stack.workspace(step.watch).destroy()
                self._nothing_left(cloud)
                step.tell(f"{gone.changes.get('delete', 0)} resources deleted, nothing left")
        self.console.print(self._times(memory))
        return path

    def _drift(self, cloud: CloudInfo, workspace: Workspace) -> str:
        bucket = workspace.outputs()["contentBucket"]
        s3 = verify.clients(cloud.aws_environment())["s3"]
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        edited = next(rule for rule in rules if rule.get("Expiration", {}).get("Days"))
        declared = edited["Expiration"]["Days"]
        edited["Expiration"]["Days"] = declared + 3650
        s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": rules})
        drift = workspace.refresh()
        paths = [path for step in drift.steps if step.op == "update" for path in step.diff]
        expect(any(path.endswith("expiration.days") for path in paths), "refresh shows the edited rule", paths)
        mended = workspace.up()
        expect(mended.changes.get("update", 0) >= 1, "the next deployment repairs it", mended.changes)
        live = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        days = next(rule["Expiration"]["Days"] for rule in live if rule["ID"] == edited["ID"])
        expect(days == declared, "the declared days are back", days)
        return f"rule {edited['ID']}: {declared} → {declared + 3650} days seen at {paths[0]}, and put back"

    def _report(self, cloud: CloudInfo, workspace: Workspace) -> tuple[Path, str]:
        outputs = workspace.outputs()
        now = datetime.now(UTC)
        declaration, origin = report_sources.from_outputs(STACK, outputs, now)
        clients = verify.clients(cloud.aws_environment())
        checks = verify.checks(declaration, clients, verify.carrier(declaration, clients, cloud), now)
        made = report.build(
            declaration,
            origin,
            checks,
            requirements=requirements(),
            exemptions=report_sources.exempted(now.date()),
        )
        wrong = [(found.system, found.property, found.declared, found.live, found.fix) for found in made.findings]
        expect(made.all_true, "everything that was looked up is as declared", wrong)
        path = self.stack.home.path / "report.html"
        path.write_text(report_forms.to_html(made))
        (self.stack.home.path / "report.md").write_text(report_forms.to_markdown(made))
        (self.stack.home.path / "report.json").write_text(report_forms.to_json(made))
        places = sum(len(each.places) for each in made.classes)
        told = f"{len(checks)} properties live, all as declared; {len(made.classes)} record classes at {places} places"
        return path, told

    def _nothing_left(self, cloud: CloudInfo) -> None:
        clients = verify.clients(cloud.aws_environment())
        left = {
            "buckets": clients["s3"].list_buckets()["Buckets"],
            "tables": clients["dynamodb"].list_tables()["TableNames"],
            "functions": clients["lambda"].list_functions()["Functions"],
            "queues": clients["sqs"].list_queues().get("QueueUrls", []),
            "APIs": clients["apigatewayv2"].get_apis()["Items"],
            "secrets": clients["secretsmanager"].list_secrets()["SecretList"],
            "log groups": clients["logs"].describe_log_groups()["logGroups"],
        }
        expect(not any(left.values()), "nothing is left after destroy", {k: len(v) for k, v in left.items() if v})

    @contextmanager
    def _step(self, title: str) -> Iterator[_Telling]:
        """Show one step, with a spinner while it runs, and remember how long it took."""
        told: list[str] = []
        began = time.monotonic()
        with self.console.status(f"{title} …") as status:
            try:
                yield _Telling(told.append, resource_news(status.update, title))
            except BaseException:
                self.console.print(f"[red]✗[/] {title}")
                raise
        self.done(title, time.monotonic() - began, told)

    def done(self, title: str, seconds: float, told: Iterable[str] = ()) -> None:
        """Show a step that is done, with what it told, and remember how many seconds it took."""
        self.took.append((title, seconds))
        self.console.print(f"[green]✓[/] {title} [dim]{seconds:.1f} s[/]")
        for text in told:
            for line in text.splitlines():
                self.console.print(f"    [cyan]{escape(line)}[/]", highlight=False)

    def _times(self, memory: float) -> Table:
        table = Table(title="times", title_justify="left", box=None, show_header=False)
        table.add_column(justify="right")
        table.add_column()
        for title, seconds in self.took:
            table.add_row(f"{seconds:.1f} s", title)
        table.add_row(f"{sum(s for _, s in self.took):.1f} s", "[bold]in all[/]")
        table.add_row(f"{memory:.0f} MiB", "memory of the whole local cloud")
        return table


@dataclass(frozen=True, slots=True)
class _Telling:
    """What a step may say: `tell` a line about its result, `watch` the engine's resources go by."""

    tell: Callable[[str], None]
    watch: Callable[[Step, bool], None]


class Conversation:
    """Two people, a stranger, and the deployed gate between them."""

    def __init__(self, cloud: CloudInfo, outputs: dict[str, Any]) -> None:
        self.phones = Phones(cloud)
        self.api = GateApi(cloud, outputs["gateUrl"])
        self._masked: dict[str, str] = {}
        self._session = ""
        self._texts: list[dict[str, Any]] = []
        self._direct = outputs["masking"] == "direct"
        own = TwilioCredentials(cloud.twilio_api_key, cloud.twilio_api_secret, (cloud.twilio_auth_token,))
        services = outputs.get("proxyServiceSids", ())
        self._twilio = TwilioRecords(lambda _: own, cloud.twilio_account_sid, cloud.twilio_endpoint, services=services)
        aws = boto3.Session(cloud.aws_access_key_id, cloud.aws_secret_access_key, region_name=cloud.aws_region)
        self._kms = aws.client("kms", endpoint_url=cloud.aws_endpoint)
        self._s3 = aws.client("s3", endpoint_url=cloud.aws_endpoint)
        self._bucket, self._proof_key = outputs["contentBucket"], outputs["proofKeyArn"]

    def parts(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield each part of the story: what it claims, and the check that makes it true."""
        yield "a stranger calls a number of the pool and hears a disclosure", self.stranger_hears_disclosure
        yield "a session with one consent missing is refused", self.one_consent_is_not_enough
        yield "both consent: a session opens, each gets a masked number", self.both_consent
        yield "texts pass both ways, each phone sees only the masked number", self.texts_pass_masked
        yield "with everyone's consent a call is recorded: kept in your bucket, gone at Twilio", self.call_is_recorded
        yield "the texts are kept as well, and all copies at Twilio are gone", self.texts_are_kept
        if self._direct:
            yield "three people: a call that everybody joins by a key, a text that reaches all", self.three_talk
        yield "the handlers are broken on purpose: an unconsented pair still gets nothing through", self.broken_gate
        yield "one party says STOP: the session is closed", self.stop_closes
        yield (
            "the same one asks for erasure: all goes, with a signed proof that verifies offline",
            self.erasure_is_proven,
        )

    def stranger_hears_disclosure(self) -> str:
        """Call a pool number from a phone that nobody knows."""
        call = self.phones.call(STRANGER, POOL[0])
        heard = " ".join(call["heard"])
        expect(not call["connected"], "a stranger is connected to nobody", call)
        expect("Twilio" in heard, "the disclosure names the provider", heard)
        return f"heard: “{heard}”"

    def one_consent_is_not_enough(self) -> str:
        """Let one of the two consent, and ask for a session."""
        self.consent(ANA, "given")
        answer = self._open()
        expect(answer.status == 409, "the session is refused", answer)
        missing = answer.body["missing"]
        expect(len(missing) == 1 and missing[0]["scope"] == "manage", "one consent is missing", missing)
        lacking = missing[0]
        return f"409 {answer.body['title']}: {lacking['scope']} of party {lacking['party'][:12]}… is {lacking['state']}"

    def both_consent(self) -> str:
        """Let the other consent too, both also to recordings and kept texts, and ask again."""
        self.consent(BEN, "given")
        for party in (ANA, BEN):
            for scope in ("record_voice", "store_messages"):
                self.consent(party, "given", scope)
        answer = self._open(record=["voice"], store=True)
        expect(answer.status == 201, "the session opens", answer)
        expect(all(one["permit"] for one in answer.body["scopes"]), "it may be recorded and kept", answer)
        self._session = answer.body["session"]
        ana, ben = answer.body["participants"]
        self._masked = {ANA: ana["masked_number"], BEN: ben["masked_number"]}
        numbers = f"Ana dials {self._masked[ANA]}, Ben dials {self._masked[BEN]}"
        return f"session {self._session[:8]}… until {answer.body['closes_at']}; {numbers}"

    def texts_pass_masked(self) -> str:
        """Text both ways and look at what each handset saw."""
        corner = self.phones.sms(ANA, self._masked[ANA], "I am at the corner")
        minutes = self.phones.sms(BEN, self._masked[BEN], "Two minutes")
        self._texts = [corner, minutes]
        ana, ben = self.phones.seen_by(ANA), self.phones.seen_by(BEN)
        expect("I am at the corner" in _received(ben), "Ben reads Ana's text", _received(ben))
        expect("Two minutes" in _received(ana), "Ana reads Ben's text", _received(ana))
        expect(BEN not in str(ana["messages"]) and ANA not in str(ben["messages"]), "neither sees the other's number")
        return f"Ana saw only {_peers(ana, ANA)}, Ben saw only {_peers(ben, BEN)}"

    def call_is_recorded(self) -> str:
        """Hold a call until it is recorded, hang up, and look for the recording on both sides."""
        call = self.phones.hold_call(ANA, self._masked[ANA])["call_sid"]
        self._settle()
        under_way = self._twilio.recordings_of(call)
        expect([one["status"] for one in under_way] == ["in-progress"], "the call is being recorded, once", under_way)
        self.phones.advance_clock(CALL_SECONDS)
        self.phones.hang_up(call)
        self._settle()
        expect(not self._twilio.recordings_of(call), "Twilio has no recording of the call any more")
        kept = {version["Key"]: version for version in self._kept()}
        folder = f"call-recordings/{self._session}/{under_way[0]['sid']}"
        expect(set(kept) == {f"{folder}.wav", f"{folder}.json"}, "the sound and what is known of it are kept", kept)
        tags = self._s3.get_object_tagging(Bucket=self._bucket, Key=f"{folder}.wav")["TagSet"]
        consents = {tag["Key"]: tag["Value"] for tag in tags}.get("consents", "")
        expect(len(consents.split()) == 2, "its tags name both consents", tags)
        return f"{kept[f'{folder}.wav']['Size']} bytes at {_shortened(folder)}.wav; Twilio answers 404"

    def three_talk(self) -> str:
        """Open a session of three, let one call and text the others, and close it."""
        people = (ANA, BEN, DORA)
        self.consent(DORA, "given")
        answer = self.api.post("/v1/sessions", {"participants": [{"identifier": each} for each in people]})
        expect(answer.status == 201, "a session of three opens", answer)
        masked = answer.body["participants"][0]["masked_number"]
        call = self.phones.hold_call(ANA, masked)
        told = call["callee_heard"]
        expect(call["connected"] and len(told) == 2, "both others are told, and join", call)
        self.phones.hang_up(call["call_sid"])
        self.phones.sms(ANA, masked, "All here?")
        read = [phone for phone in (BEN, DORA) if "All here?" in _received(self.phones.seen_by(phone))]
        expect(read == [BEN, DORA], "the text reaches both others", read)
        expect(self.api.delete(f"/v1/sessions/{answer.body['session']}").status == 204, "the session is closed")
        return f"each heard: “{told[0][:100]}…”"

    def texts_are_kept(self) -> str:
        """Wait until the texts are archived, and look for their three copies at Twilio."""
        self.phones.advance_clock(ARCHIVE_SECONDS)
        self._settle()
        for text in self._texts:
            left = [str(copy.kind) for copy in self._copies(text) if not self._twilio.is_gone(copy)]
            expect(not left, "no copy is left at Twilio", left)
        between = [one for end in ("From", "To") for one in self._twilio.listed(ResourceKind.MESSAGE, {end: BEN})]
        expect(not between, "Twilio has no text to or from Ben", len(between))
        wanted = {f"messages/{self._session}/{text['message_sid']}.json" for text in self._texts}
        kept = {version["Key"] for version in self._kept()}
        expect(wanted <= kept, "each text is kept", kept)
        copies = "inbound and outbound" if self._direct else "inbound, outbound and interaction"
        return f"{len(wanted)} texts at messages/{self._session[:8]}…; {copies} answer 404"

    def _copies(self, text: Mapping[str, Any]) -> list[Resource]:
        """Return the copies of a text at Twilio, as far as the phone that sent it knows them."""
        copies = [Resource(ResourceKind.MESSAGE, text["message_sid"])]
        if not self._direct:
            copies.append(Resource(ResourceKind.MESSAGE, text["outbound_message_sid"]))
            copies.append(Resource(ResourceKind.INTERACTION, text["interaction_sid"], self._session))
        return copies

    def broken_gate(self) -> str:
        """Break every webhook handler; Cleo and Ben have no session, because Cleo never consented."""
        refused = self.api.post("/v1/sessions", {"participants": [{"identifier": CLEO}, {"identifier": BEN}]})
        expect(refused.status == 409, "a session with Cleo, who never consented, is refused", refused)
        tries = [(CLEO, number) for number in POOL] + [(BEN, number) for number in POOL if number != self._masked[BEN]]
        alerts = self._reach_nobody(tries)
        return f"{len(tries)} texts and {len(tries)} calls of Cleo and Ben reached nobody (Twilio's alerts: {alerts})"

    def _reach_nobody(self, tries: list[tuple[str, str]]) -> str:
        """Text and call with every webhook handler answering 500, check that nothing gets through; return alerts."""
        people = (ANA, BEN, CLEO)
        before = [_arrived(self.phones.seen_by(one)) for one in people]
        asked = ("inbound-call", "inbound-message") if self._direct else ("intercept", "out-of-session", "interaction")
        for handler in asked:
            self.api.break_function(handler)
        try:
            texted = [self.phones.sms(sender, number, "Who is there?") for sender, number in tries]
            called = [self.phones.call(sender, number) for sender, number in tries]
        finally:
            self.api.mend_functions()
        expect(not any(one["delivered"] for one in texted), "no text gets through", texted)
        expect(not any(one["connected"] for one in called), "no call gets through", called)
        after = [_arrived(self.phones.seen_by(one)) for one in people]
        expect(before == after, "nobody's phone shows anything new", after)
        return _alerts(texted, called)

    def stop_closes(self) -> str:
        """Text STOP, let the reconciler learn of it, and try to go on talking."""
        stop = self.phones.sms(ANA, self._masked[ANA], "STOP")
        expect(not stop["delivered"], "the word reaches nobody", stop)
        if not self._direct:
            # Proxy swallows it: no webhook ever tells the kit.
            self.phones.advance_clock(RECONCILE_SECONDS)
        session = self.api.get(f"/v1/sessions/{self._session}")
        expect(session.status == 200 and session.body["status"] == "closed", "the session is closed", session)
        before = _received(self.phones.seen_by(ANA))
        late = self.phones.sms(BEN, self._masked[BEN], "Are you there?")
        expect(_received(self.phones.seen_by(ANA)) == before, "Ben's next text reaches nobody", late)
        self._reach_nobody([(BEN, self._masked[BEN]), (ANA, self._masked[ANA])])
        again = self._open()
        expect(again.status == 409, "no new session opens either", again)
        refusal = f"{again.status} {again.body['title']}"
        heard = "heard at once" if self._direct else f"alert {_alerts([stop], [])} found by the reconciler"
        return f"{heard}; a new session is refused: {refusal}"

    def erasure_is_proven(self) -> str:
        """Erase Ana, look for what is left of her, and hold the proof against the stack's public key."""
        asked = self.api.post("/v1/erasures", {"party": ANA, "reason": "art-17"})
        expect(asked.status == 202, "the erasure begins", asked)
        told = asked.body
        for _ in range(ERASURE_ATTEMPTS):
            self.phones.advance_clock(RECONCILE_SECONDS)
            self._settle()
            told = self.api.get(f"/v1/erasures/{asked.body['erasure']}").body
            if told["state"] == "done":
                break
        expect(told["state"] == "done", "the erasure comes to its end", told["state"])
        expect(not self._kept(), "nothing of the conversation is in the bucket", len(self._kept()))
        kinds, ends = (ResourceKind.MESSAGE, ResourceKind.CALL), ("From", "To")
        left = [one for kind in kinds for end in ends for one in self._twilio.listed(kind, {end: ANA})]
        expect(not left, "Twilio has no text and no call of hers", len(left))
        key = self._kms.get_public_key(KeyId=self._proof_key)["PublicKey"]
        proof = verified(told["proof"], pem(key))
        expect(proof.holds and proof.document["party"] == told["party"], "the proof holds", proof)
        changed = told["proof"].replace("art-17", "art-71")
        expect(not verified(changed, pem(key)).holds, "a proof that was changed does not hold")
        found = sum(one["found"] for one in proof.document["erased"])
        return f"{found} things found and gone, {_remaining(proof.document)}; proof {_shortened(told['erasure'])} holds"

    def _settle(self) -> None:
        """Let webhooks and queues be worked off, twice: a webhook makes work, and work makes webhooks."""
        for _ in range(2):
            self.phones.settle()
            self.api.settle()

    def _kept(self) -> list[dict[str, Any]]:
        """Return every version of everything that is kept of the session."""
        listed = self._s3.list_object_versions(Bucket=self._bucket)
        return [dict(one) for one in listed.get("Versions", []) if self._session in one["Key"]]

    def consent(self, party: str, state: str, scope: str = "manage") -> Answer:
        """Record an in-app consent event of one party."""
        answer = self.api.consent(party, state, scope)
        expect(answer.status == 201, "the consent is recorded", answer)
        return answer

    def _open(self, **wanted: Any) -> Answer:
        return self.api.post("/v1/sessions", {"participants": [{"identifier": ANA}, {"identifier": BEN}], **wanted})


def _shortened(name: str) -> str:
    """Return a name whose SIDs and ids are cut short, for people to read."""
    return re.sub(r"\b([A-Z]{2}|er_)([0-9a-f]{6})[0-9a-f]+", r"\1\2…", name)


def _remaining(document: Mapping[str, Any]) -> str:
    return f"what remains is named: {', '.join(sorted({one['why'] for one in document['remains']}))}"


def _received(phone: dict[str, Any]) -> list[str]:
    return [m["body"] for m in phone["messages"] if m["direction"] == "inbound"]


def _arrived(phone: dict[str, Any]) -> list[tuple[str, str]]:
    """Return what came in at a handset: texts and calls, without those that it sent itself."""
    texts = [("text", m["body"]) for m in phone["messages"] if m["direction"] == "inbound"]
    return texts + [("call", c["sid"]) for c in phone["calls"] if c["direction"] == "inbound"]


def _peers(phone: dict[str, Any], own: str) -> str:
    seen = {m[end] for m in phone["messages"] for end in ("from", "to")} - {own}
    return ", ".join(sorted(seen))


def _alerts(*groups: list[dict[str, Any]]) -> str:
    return ", ".join(sorted({str(code) for group in groups for one in group for code in one["alerts"]})) or "no alert"
