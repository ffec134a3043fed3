"""A stateful Twilio for one machine, and the phones and apps of people that a script can play.

Carried out are Proxy, numbers, messages, calls, recordings, video rooms, conversations and alerts, after Twilio's
public pages and its OpenAPI descriptions. Where they are silent or disagree, the emulator takes the behaviour that
protects least, so that code which is safe here is not safe by luck. Unverified against the real service:

- the TTL of a session where neither it nor its Service names one: 90 days here (page of 80904; the spec says that a
  default of 0 is unlimited, so an explicit 0 is unlimited here);
- a live call, or an interaction under way, when its session closes: it goes on here;
- how often Proxy repeats a webhook: never here, and it reads no `#` connection overrides;
- the HTTP status of each 80xxx (400 here, but 409 for 80623) and of 20009 (409 here), and whether re-opening answers
  80604 (here) or 80801;
- `closed_reason` of an expired session: `ttl` or `date-expiry` here;
- a message in a voice-only session (or the other way round), and a session with one participant: out of session here;
- whether REST reads count against Proxy's rate limit: they do here;
- what a removed number does while sessions hold it: it drains here, and cannot be added again meanwhile;
- a caller whose call the intercept refused: busy here;
- ARRET, ARRETE and ARRETT: Proxy drops them, and the platform does not block the pair here;
- a text that Proxy relays to somebody who opted out: a failed message with error code 21610 here, whose alert names
  the inbound message;
- the platform's own confirmation texts to STOP, START and HELP: none here;
- how soon a promoted auth token signs and a deleted API key is refused: at once here.

Of recordings and media:

- how long a recording is `processing` (no time here, or as the script says), and what its media answer until it is
  completed: 404 here;
- the shortest recording that is kept: a second here, shorter ones are `absent` with 16101;
- how many channels the media have when nobody asks: one here; and the code with which two of a mono recording are
  refused: 400 with 20001 here;
- the HTTP status of 20009 for recordings (400 here), and what an ended recording answers to a change: 21220 here;
- whether a deleted recording takes its transcriptions along: it does not here;
- how often a status callback is repeated: never here;
- how a recording by the account's default reads: like one that was asked for here;
- when a call is in the bulk export: from its end on here, under the day on which it began;
- media of messages are served at once, where the real one answers 307 to a host of its own.

Of events:

- a sink of Event Streams: active at once, told of the debugger's alerts only, and of each once;
- what a Messaging Service does beyond deciding who is asked about a text: nothing here.

Of the configuration of webhooks (`webhooks.twilio.com`, a public beta; without its EdgeZones and Tests):

- the ids of AuthProfiles and Operations: `webhooks_authprofile_` and `webhooks_operation_` with 26 characters here, as
  twilio-python writes those of SharedKeys; and what the types of a key, of credentials and of a signature are called:
  any text here, with Basic authentication where BASIC is in it;
- the HTTP status of 59200, 59201 and 59202 (400 here), and the body of a failed login: problem details here too;
- a request with the idempotency key of another one: 59000 here; what a repeated one is answered: the same as the first
  time here, but without a SharedKey's secret;
- when an operation ends: with the second look at it or after 30 seconds here; webhooks are sent as before until then,
  and a Setting counts as used; one that fails, by a fault only, changes nothing;
- how a URL is compared with a Rule: letter by letter here, the query too; which characters a Rule may not have: `*`
  and blanks here;
- which of two Settings a webhook gets: always the one with the greater share here;
- Basic credentials: sent at once here; OAuth 2.0 and Digest: stored, and nothing is sent;
- the connect and total timeouts and the edge zones: stored only; retries: without a pause here;
- media and Event Streams: no Rule applies to them here.

Of video and conversations:

- which of several matching Recording Rules counts: the last one here;
- how long the metadata of deleted video recordings and compositions stay: for ever here, listed with `deleted`;
- what an app's answer to a room that is full or completed is: 53105 or 53118 here;
- which answers of a pre-action webhook refuse a message: every 4xx and nothing else here; a timeout, a 5xx and a
  handler that is not reached let it pass; what a REST client is answered whose message was refused: 403 here.

Of calls and texts without Proxy:

- a whisper (`Number url`) whose document fails, or hangs up: nobody is connected here, and the caller's `Dial` goes on;
- the leg of somebody who hangs up while they are whispered to: no `completed` is told here;
- a held call that is ended: its `Dial` action is not asked here;
- a conference whose caller hangs up: its `Dial` action is not asked; of its events only `join` is told; which
  wait music is played nobody hears here;
- a call made by REST rings in the background, or in the scripted call that it came from, whatever its `Timeout`;
- how the files of a message are fetched: by GET here, after the message was taken.

Not carried out: API keys of less reach than the whole account, sending by a Messaging Service, Advanced Opt-Out,
toll-free's network-level opt-out, HTTP redirects, GET webhooks, `timeLimit`, the timeouts and finishing keys of
`Gather`, `Dial` and `Record`, resources of conferences, recording configurations, encryption and storage of recordings
elsewhere, add-ons, composition hooks, tracks' subscriptions, chat services of one's own, roles, timers and media of
conversations, TwiML beyond `local.twilio.twiml`. Such paths answer 404 with code 20404, or 59003.
"""

from local.twilio.emulator import Emulator
from local.twilio.state import SnapshotError

__all__ = ["Emulator", "SnapshotError"]
