"""The typed resources of the plugin `parley`, for Pulumi programs in Python.

They say what `schema.json` says; a test holds the two against each other. Nothing here talks to Twilio: the plugin
does, once the engine has started it (`plugins: providers: - {name: parley, path: infra/twilio}` in Pulumi.yaml).
"""

import re
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict

import pulumi

GeoMatchLevel = Literal["country", "area-code", "extended-area-code"]
"""How near a masked number has to be to the participant it is picked for; area codes matter in North America only."""
NumberSelectionBehavior = Literal["prefer-sticky", "avoid-sticky"]
"""Whether a participant gets the masked number of the last session again."""
Capability = Literal["voice", "sms", "mms"]
"""What a phone number can carry."""

Channel = Literal["voice", "sms", "video", "chat"]
"""A way of communication."""
Usecase = Literal["notifications", "marketing", "verification", "discussion", "poll", "undeclared"]
"""What a Messaging Service is for."""


RetryOn = Literal["HTTP_5XX", "CONNECTION_TIMEOUT", "READ_TIMEOUT"]
"""What becomes of an attempt, as far as another one may follow."""
SignatureAlgorithm = Literal["HMAC_SHA256", "HMAC_SHA1"]
"""The hash of a webhook's signature."""


class WebhookConnection(TypedDict):
    """How Twilio reaches a webhook, and when it tries again; its own defaults hold for what is left out.

    Timeouts are in ms, 100 to 15,000, the total one to 60,000. `retry_count` goes with `retry_on`. There is no retry
    after a 4xx: a 403 is an answer that blocks an interaction.
    """

    connect_timeout_ms: NotRequired[pulumi.Input[int]]
    read_timeout_ms: NotRequired[pulumi.Input[int]]
    total_timeout_ms: NotRequired[pulumi.Input[int]]
    retry_count: NotRequired[pulumi.Input[int]]
    retry_on: NotRequired[pulumi.Input[Sequence[RetryOn]]]


class WebhookSignature(TypedDict):
    """Which SharedKey signs webhooks instead of the auth token: the gate has to know its secret.

    `type` is Twilio's word for signing by a SharedKey, as its page on shared keys has it; it is passed on as it is.
    `shared_key_id` is the key's id (webhooks_…). Another `algorithm` makes a new Setting.
    """

    type: pulumi.Input[str]
    shared_key_id: pulumi.Input[str]
    algorithm: pulumi.Input[SignatureAlgorithm]


class NumberOrder(TypedDict):
    """Numbers of one kind to buy. They cost money from the moment they are bought.

    `country`: ISO 3166-1 alpha-2, such as US. `type`: local, mobile or toll-free. `count`: how many the pool holds.
    `area_code`: three digits, US and Canada only. `capabilities`: what each number carries, voice and sms unless given.
    `reserved`: Proxy never picks them by itself; false unless given. `address_sid` (AD…), `bundle_sid` (BU…): the
    paperwork that some countries ask for.
    """

    country: pulumi.Input[str]
    type: pulumi.Input[Literal["local", "mobile", "toll-free"]]
    count: pulumi.Input[int]
    area_code: NotRequired[pulumi.Input[str]]
    capabilities: NotRequired[pulumi.Input[Sequence[Capability]]]
    reserved: NotRequired[pulumi.Input[bool]]
    address_sid: NotRequired[pulumi.Input[str]]
    bundle_sid: NotRequired[pulumi.Input[str]]


@pulumi.output_type
class PoolNumber(dict[str, Any]):
    """A number of a pool, as the output `NumberPool.numbers` has it; the phone number itself is not in the state."""

    sid: str = pulumi.property("sid")
    """Its SID (PN…)."""
    iso_country: str = pulumi.property("isoCountry")
    """Its country, ISO 3166-1 alpha-2."""
    capabilities: list[str] = pulumi.property("capabilities")
    """What it carries: some of mms, sms, voice."""
    reserved: bool = pulumi.property("reserved")
    """Whether Proxy never picks it by itself."""
    bought: str | None = pulumi.property("bought", default=None)
    """The order that it was bought for; absent for an adopted number."""


@pulumi.output_type
class SpareNumber(dict[str, Any]):
    """A number that a pool bought, does not hold any more and did not release: it still costs money."""

    sid: str = pulumi.property("sid")
    """Its SID (PN…)."""
    bought: str = pulumi.property("bought")
    """The order that it was bought for; more of the same takes it back."""


class _Resource(pulumi.CustomResource):
    """Python's names here, the schema's names on the wire."""

    def translate_input_property(self, prop: str) -> str:
        first, *rest = prop.split("_")
        return first + "".join(map(str.title, rest))

    def translate_output_property(self, prop: str) -> str:
        return re.sub("[A-Z]", lambda capital: f"_{capital[0].lower()}", prop)


class Provider(pulumi.ProviderResource):
    """Access to one Twilio account, given to the resources as `opts=pulumi.ResourceOptions(provider=...)`."""

    def __init__(
        self,
        resource_name: str,
        *,
        account_sid: pulumi.Input[str],
        api_key: pulumi.Input[str],
        api_secret: pulumi.Input[str],
        endpoint: pulumi.Input[str | None] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Configure the plugin.

        `account_sid`: the account (AC…) that owns the services and the numbers; another one replaces every resource.
        `api_key`: SID of an API key (SK…) of that account. `api_secret`: its secret, kept as a Pulumi secret whether it
        comes as one or not. `endpoint`: base URL of a local Twilio, loopback only; leave it out for the real one.
        """
        super().__init__(
            "parley",
            resource_name,
            {
                "accountSid": account_sid,
                "apiKey": api_key,
                "apiSecret": pulumi.Output.secret(api_secret),
                "endpoint": endpoint,
            },
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(additional_secret_outputs=["apiSecret"])),
        )


class ProxyService(_Resource):
    """A Twilio Proxy service: its webhooks and the rules by which it picks masked numbers.

    Import it by its SID: `pulumi import parley:index:ProxyService NAME KS…`.
    https://www.twilio.com/docs/proxy/api/service
    """

    unique_name: pulumi.Output[str] = pulumi.property("uniqueName")
    default_ttl: pulumi.Output[int] = pulumi.property("defaultTtl")
    callback_url: pulumi.Output[str | None] = pulumi.property("callbackUrl")
    intercept_callback_url: pulumi.Output[str | None] = pulumi.property("interceptCallbackUrl")
    out_of_session_callback_url: pulumi.Output[str | None] = pulumi.property("outOfSessionCallbackUrl")
    geo_match_level: pulumi.Output[str] = pulumi.property("geoMatchLevel")
    number_selection_behavior: pulumi.Output[str] = pulumi.property("numberSelectionBehavior")
    allow_unlimited_ttl: pulumi.Output[bool] = pulumi.property("allowUnlimitedTtl")
    force_destroy: pulumi.Output[bool] = pulumi.property("forceDestroy")
    sid: pulumi.Output[str] = pulumi.property("sid")
    """The service's SID (KS…)."""
    account_sid: pulumi.Output[str] = pulumi.property("accountSid")
    """SID of the account that owns it."""
    url: pulumi.Output[str] = pulumi.property("url")
    """The service's address in Twilio's API."""

    def __init__(
        self,
        resource_name: str,
        *,
        unique_name: pulumi.Input[str],
        default_ttl: pulumi.Input[int],
        callback_url: pulumi.Input[str | None] | None = None,
        intercept_callback_url: pulumi.Input[str | None] | None = None,
        out_of_session_callback_url: pulumi.Input[str | None] | None = None,
        geo_match_level: pulumi.Input[GeoMatchLevel] = "country",
        number_selection_behavior: pulumi.Input[NumberSelectionBehavior] = "prefer-sticky",
        allow_unlimited_ttl: pulumi.Input[bool] = False,
        force_destroy: pulumi.Input[bool] = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the service.

        `unique_name`: its name, unique in the account, 1 to 191 characters; no secret, so no phone number and no
        person's name. `default_ttl`: seconds after its last interaction at which a session expires that sets nothing
        itself; 0 is for ever and needs `allow_unlimited_ttl`. `callback_url`: told of every change of an interaction's
        status. `intercept_callback_url`: asked before every interaction, only its 403 blocks one.
        `out_of_session_callback_url`: asked what to do with a call or message outside of any session. URLs are HTTPS,
        at most 4,000 characters. `geo_match_level`, `number_selection_behavior`: how a masked number is picked.
        `force_destroy`: delete the service even while sessions are open, which cuts them off.
        """
        super().__init__(
            "parley:index:ProxyService",
            resource_name,
            {
                "unique_name": unique_name,
                "default_ttl": default_ttl,
                "callback_url": callback_url,
                "intercept_callback_url": intercept_callback_url,
                "out_of_session_callback_url": out_of_session_callback_url,
                "geo_match_level": geo_match_level,
                "number_selection_behavior": number_selection_behavior,
                "allow_unlimited_ttl": allow_unlimited_ttl,
                "force_destroy": force_destroy,
                "sid": None,
                "account_sid": None,
                "url": None,
            },
            opts,
        )


class NumberPool(_Resource):
    """All the numbers of one Proxy service, as one set. Have one pool a service.

    Import it by the service's SID: `pulumi import parley:index:NumberPool NAME KS…`.
    https://www.twilio.com/docs/proxy/api/phone-number
    """

    service_sid: pulumi.Output[str] = pulumi.property("serviceSid")
    release_on_delete: pulumi.Output[bool] = pulumi.property("releaseOnDelete")
    force_destroy: pulumi.Output[bool] = pulumi.property("forceDestroy")
    numbers: pulumi.Output[list[PoolNumber]] = pulumi.property("numbers")
    """The numbers of the pool, by SID."""
    size: pulumi.Output[int] = pulumi.property("size")
    """How many they are."""
    spares: pulumi.Output[list[SpareNumber]] = pulumi.property("spares")
    """Numbers that were bought, left the pool and were not released."""

    def __init__(
        self,
        resource_name: str,
        *,
        service_sid: pulumi.Input[str],
        adopt: pulumi.Input[Sequence[pulumi.Input[str]]] = (),
        buy: pulumi.Input[Sequence[pulumi.Input[NumberOrder]]] = (),
        reserved: pulumi.Input[Sequence[pulumi.Input[str]]] = (),
        release_on_delete: pulumi.Input[bool] = False,
        force_destroy: pulumi.Input[bool] = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the pool.

        `service_sid`: the Proxy service (KS…); another one moves the numbers over. `adopt`: numbers that the account
        owns, by SID (PN…) or in E.164. Only SIDs reach the state; but Pulumi keeps a stack's configuration with its
        history, so write SIDs there. `buy`: numbers to buy, by kind; nothing is bought that does not stand here.
        `reserved`: those of the numbers, by SID or in E.164, that Proxy never picks by itself.
        `release_on_delete`: give bought numbers back to Twilio, for good, when they leave the pool; adopted ones never
        are. `force_destroy`: take numbers out even while sessions are open on them, which cuts those off.
        """
        super().__init__(
            "parley:index:NumberPool",
            resource_name,
            {
                "service_sid": service_sid,
                "adopt": adopt,
                "buy": buy,
                "reserved": reserved,
                "release_on_delete": release_on_delete,
                "force_destroy": force_destroy,
                "numbers": None,
                "size": None,
                "spares": None,
            },
            opts,
        )


class NumberWebhooks(_Resource):
    """Numbers whose calls and texts go to webhooks, as one set: the pool of a stack without Twilio Proxy.

    https://www.twilio.com/docs/phone-numbers/api/incomingphonenumber-resource
    """

    voice_url: pulumi.Output[str] = pulumi.property("voiceUrl")
    voice_fallback_url: pulumi.Output[str] = pulumi.property("voiceFallbackUrl")
    status_callback: pulumi.Output[str] = pulumi.property("statusCallback")
    sms_url: pulumi.Output[str] = pulumi.property("smsUrl")
    sms_fallback_url: pulumi.Output[str] = pulumi.property("smsFallbackUrl")
    release_on_delete: pulumi.Output[bool] = pulumi.property("releaseOnDelete")
    numbers: pulumi.Output[list[PoolNumber]] = pulumi.property("numbers")
    """The numbers that point here in every respect, by SID."""
    size: pulumi.Output[int] = pulumi.property("size")
    """How many they are."""
    spares: pulumi.Output[list[SpareNumber]] = pulumi.property("spares")
    """Numbers that were bought, left the set and were not released."""

    def __init__(
        self,
        resource_name: str,
        *,
        voice_url: pulumi.Input[str],
        voice_fallback_url: pulumi.Input[str],
        status_callback: pulumi.Input[str],
        sms_url: pulumi.Input[str],
        sms_fallback_url: pulumi.Input[str],
        adopt: pulumi.Input[Sequence[pulumi.Input[str]]] = (),
        buy: pulumi.Input[Sequence[pulumi.Input[NumberOrder]]] = (),
        reserved: pulumi.Input[Sequence[pulumi.Input[str]]] = (),
        release_on_delete: pulumi.Input[bool] = False,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Declare the set.

        `voice_url`, `sms_url`: asked what to do with a call or a text; `voice_fallback_url`, `sms_fallback_url`: asked
        instead when that fails; `status_callback`: told when a call is over. All are HTTPS, asked by POST. `adopt`,
        `buy`, `reserved` and `release_on_delete` are those of `NumberPool`; a reserved number is assigned to nobody
        who does not ask for it by name.
        """
        super().__init__(
            "parley:index:NumberWebhooks",
            resource_name,
            {
                "voice_url": voice_url,
                "voice_fallback_url": voice_fallback_url,
                "status_callback": status_callback,
                "sms_url": sms_url,
                "sms_fallback_url": sms_fallback_url,
                "adopt": adopt,
                "buy": buy,
                "reserved": reserved,
                "release_on_delete": release_on_delete,
                "numbers": None,
                "size": None,
                "spares": None,
            },
            opts,
        )


class MessagingService(_Resource):
    """A Messaging Service and its numbers: what a US A2P campaign is registered for.

    Import it by its SID (MG…).
    """

    friendly_name: pulumi.Output[str] = pulumi.property("friendlyName")
    """Name of the service."""
    numbers: pulumi.Output[list[str]] = pulumi.property("numbers")
    """Its numbers, by SID."""
    use_inbound_webhook_on_number: pulumi.Output[bool] = pulumi.property("useInboundWebhookOnNumber")
    """Whether each number's own webhook is asked about texts."""
    usecase: pulumi.Output[str] = pulumi.property("usecase")
    """What it is for."""
    sid: pulumi.Output[str] = pulumi.property("sid")
    """Its SID (MG…)."""
    account_sid: pulumi.Output[str] = pulumi.property("accountSid")
    """The account that it belongs to (AC…)."""
    campaign_status: pulumi.Output[str] = pulumi.property("campaignStatus")
    """Status of its A2P campaign as Twilio tells it, such as VERIFIED; none where there is none."""

    def __init__(
        self,
        resource_name: str,
        *,
        friendly_name: pulumi.Input[str],
        numbers: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        use_inbound_webhook_on_number: pulumi.Input[bool] = True,
        usecase: pulumi.Input[Usecase] = "undeclared",
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Create the service and put the numbers into it.

        `friendly_name`: 1 to 64 characters, not secret. `numbers`: SIDs (PN…) of numbers that are in no other Messaging
        Service. `use_inbound_webhook_on_number`: leave it true, or texts pass by the webhooks of the numbers.
        `usecase`: what it is for.
        """
        super().__init__(
            "parley:index:MessagingService",
            resource_name,
            {
                "friendly_name": friendly_name,
                "numbers": numbers,
                "use_inbound_webhook_on_number": use_inbound_webhook_on_number,
                "usecase": usecase,
                "sid": None,
                "account_sid": None,
                "campaign_status": None,
            },
            opts,
        )


class EventSink(_Resource):
    """A webhook that Event Streams tells of events, with its subscription. Import it by its SID (DG…)."""

    description: pulumi.Output[str] = pulumi.property("description")
    """What the sink is for."""
    destination: pulumi.Output[str] = pulumi.property("destination")
    """HTTPS URL that is told."""
    types: pulumi.Output[list[str]] = pulumi.property("types")
    """Types of events that it is told of."""
    sid: pulumi.Output[str] = pulumi.property("sid")
    """Its SID (DG…)."""
    subscription_sid: pulumi.Output[str] = pulumi.property("subscriptionSid")
    """SID of its subscription (DF…)."""
    status: pulumi.Output[str] = pulumi.property("status")
    """Its status as Twilio tells it, such as active."""

    def __init__(
        self,
        resource_name: str,
        *,
        description: pulumi.Input[str],
        destination: pulumi.Input[str],
        types: pulumi.Input[Sequence[pulumi.Input[str]]] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Create the sink and subscribe it.

        `description`: 1 to 255 characters, not secret. `destination`: HTTPS URL, such as a gate's `/twilio/events`;
        another one makes a new sink. `types`: entries of the debugger unless given.
        """
        super().__init__(
            "parley:index:EventSink",
            resource_name,
            {
                "description": description,
                "destination": destination,
                "types": types,
                "sid": None,
                "subscription_sid": None,
                "status": None,
            },
            opts,
        )


class WebhookSettings(_Resource):
    """How Twilio sends the webhooks of a URL: a Rule and its Setting, a public beta.

    Import it by the Rule's id (webhooks_rule_…). https://www.twilio.com/docs/usage/webhooks/webhook-configuration
    """

    name: pulumi.Output[str] = pulumi.property("name")
    """Name of the Rule and its Setting."""
    url: pulumi.Output[str] = pulumi.property("url")
    """HTTPS URL whose webhooks are meant."""
    auth_profile_id: pulumi.Output[str] = pulumi.property("authProfileId")
    """Id of the AuthProfile by which Twilio authenticates itself."""
    signature: pulumi.Output[dict[str, Any] | None] = pulumi.property("signature")
    """Which SharedKey signs them."""
    connection: pulumi.Output[dict[str, Any] | None] = pulumi.property("connection")
    """Timeouts and retries."""
    rule_id: pulumi.Output[str] = pulumi.property("ruleId")
    """Id of the Rule."""
    setting_id: pulumi.Output[str] = pulumi.property("settingId")
    """Id of the Setting that it applies."""

    def __init__(
        self,
        resource_name: str,
        *,
        name: pulumi.Input[str],
        url: pulumi.Input[str],
        auth_profile_id: pulumi.Input[str],
        signature: pulumi.Input[WebhookSignature] | None = None,
        connection: pulumi.Input[WebhookConnection] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Create the Setting and the Rule that applies it.

        `name`: 1 to 255 characters, not secret. `url`: an HTTPS URL, or the beginning of some if it ends in a slash;
        another one makes a new Rule. `auth_profile_id`: id of an AuthProfile, whose credentials stay at Twilio.
        `signature`: the auth token signs unless given. `connection`: Twilio's own timeouts and retries unless given.
        """
        super().__init__(
            "parley:index:WebhookSettings",
            resource_name,
            {
                "name": name,
                "url": url,
                "auth_profile_id": auth_profile_id,
                "signature": signature,
                "connection": connection,
                "rule_id": None,
                "setting_id": None,
            },
            opts,
        )


# Functions ------------------------------------------------------------------------------------------------------


@pulumi.output_type
class GetAccountResult(dict[str, Any]):
    """What an account is."""

    account_sid: str = pulumi.property("accountSid")
    """Its SID (AC…)."""
    friendly_name: str = pulumi.property("friendlyName")
    """Its name."""
    status: str = pulumi.property("status")
    """One of active, suspended, closed."""
    type: str = pulumi.property("type")
    """Trial or Full."""
    owner_account_sid: str = pulumi.property("ownerAccountSid")
    """The account that it belongs to: itself, or the parent of a subaccount."""
    records_every_call: bool = pulumi.property("recordsEveryCall")
    """Whether its recording default is on, which no consent can stop."""


@pulumi.output_type
class AccountNumber(dict[str, Any]):
    """A number of the account; the phone number itself is not told."""

    sid: str = pulumi.property("sid")
    """Its SID (PN…)."""
    iso_country: str = pulumi.property("isoCountry")
    """Its country, ISO 3166-1 alpha-2."""
    capabilities: list[str] = pulumi.property("capabilities")
    """What it carries: some of mms, sms, voice."""
    in_proxy: bool = pulumi.property("inProxy")
    """Whether a Proxy service has it."""
    overridden: bool = pulumi.property("overridden")
    """Whether an application or a trunk wins over its URLs."""


@pulumi.output_type
class GetNumbersResult(dict[str, Any]):
    """Numbers of an account."""

    numbers: list[AccountNumber] = pulumi.property("numbers")
    """The numbers, by their SIDs."""


@pulumi.output_type
class Finding(dict[str, Any]):
    """What was found about one trap."""

    trap: str = pulumi.property("trap")
    """Its name, such as account-recording."""
    word: str = pulumi.property("word")
    """One of fine, trap, unknown (Twilio did not answer), by hand (no API tells)."""
    what: str = pulumi.property("what")
    """What was found; numbers are named by their SIDs."""
    fix: str = pulumi.property("fix")
    """The way out; empty where nothing is to be done."""


@pulumi.output_type
class GetTrapsResult(dict[str, Any]):
    """What an account does, or lets happen, behind a program's back."""

    findings: list[Finding] = pulumi.property("findings")
    """One finding a question, whether it is a trap or not."""


def get_account(*, opts: pulumi.InvokeOptions | None = None) -> pulumi.Output[GetAccountResult]:
    """Return what the account of the provider is, and whether a default of it records every call."""
    return pulumi.runtime.invoke_output("parley:index:getAccount", {}, opts, GetAccountResult)


def get_numbers(
    *,
    country: pulumi.Input[str] | None = None,
    capabilities: pulumi.Input[Sequence[Capability]] | None = None,
    opts: pulumi.InvokeOptions | None = None,
) -> pulumi.Output[GetNumbersResult]:
    """Return the numbers of the account that a pool can adopt.

    `country`: only those of a country, ISO 3166-1 alpha-2. `capabilities`: only those that carry all of these.
    """
    wanted = {"country": country, "capabilities": capabilities}
    return pulumi.runtime.invoke_output("parley:index:getNumbers", wanted, opts, GetNumbersResult)


def get_traps(
    *,
    service_sid: pulumi.Input[str] | None = None,
    gate_url: pulumi.Input[str] | None = None,
    channels: pulumi.Input[Sequence[Channel]] | None = None,
    stack: pulumi.Input[str] | None = None,
    opts: pulumi.InvokeOptions | None = None,
) -> pulumi.Output[GetTrapsResult]:
    """Return what the account of the provider does, or lets happen, behind the program's back.

    `service_sid`: the Proxy service whose numbers are examined; without it, those of the account. `gate_url`: where
    webhooks have to go; without a service only the numbers that go there are examined, and chat has to ask there.
    `channels`: what is used; more is asked for video and chat. `stack`: what the names of video rooms begin with.
    """
    wanted = {"serviceSid": service_sid, "gateUrl": gate_url, "channels": channels, "stack": stack}
    return pulumi.runtime.invoke_output("parley:index:getTraps", wanted, opts, GetTrapsResult)
