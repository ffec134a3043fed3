// A masked line of one's own in TypeScript: what docs/provider.md shows in Python, against the generated SDK.
// It runs without an engine: what would be registered is printed as JSON.
import * as pulumi from "@pulumi/pulumi";

const registered: { type: string; name: string; inputs: unknown }[] = [];

pulumi.runtime.setMocks({
    newResource: (made) => {
        registered.push({ type: made.type, name: made.name, inputs: made.inputs });
        return { id: `${made.name}-id`, state: { ...made.inputs, sid: "KS00000000000000000000000000000001" } };
    },
    call: (asked) => {
        registered.push({ type: asked.token, name: "", inputs: asked.inputs });
        return { numbers: [{ sid: "PN1", isoCountry: "US", capabilities: ["sms"], inProxy: false, overridden: false }] };
    },
});

import * as parley from "./sdk";

async function main(): Promise<void> {
    const twilio = new parley.Provider("twilio", { accountSid: "AC1", apiKey: "SK1", apiSecret: "secret" });
    const here = { provider: twilio };
    const american = parley.getNumbersOutput({ country: "US", capabilities: [parley.Capability.Sms] }, here);
    const line = new parley.ProxyService("line", { uniqueName: "line", defaultTtl: 3600 }, here);
    const numbers = new parley.NumberPool(
        "numbers",
        {
            serviceSid: line.sid,
            adopt: american.numbers.apply((each) => each.map((one) => one.sid)),
            buy: [{ country: "GB", type: parley.NumberType.Local, count: 2 }],
        },
        here,
    );
    new parley.WebhookSettings(
        "webhooks",
        {
            name: "line",
            url: "https://gate.example.com/twilio/",
            authProfileId: "webhooks_authprofile_00000000000000000000000000",
            connection: { readTimeoutMs: 5000, retryCount: 1, retryOn: [parley.RetryOn.ReadTimeout] },
        },
        here,
    );
    const size: pulumi.Output<number> = numbers.size;
    await new Promise((resolve) => pulumi.all([line.sid, size]).apply(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    console.log(JSON.stringify(registered));
}

main();
