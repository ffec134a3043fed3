"""A stateful Twilio for one machine: Proxy, numbers, messages, calls, alerts, and phones that a script can play.

What is carried out follows Twilio's public pages and its OpenAPI descriptions. Where they are silent or disagree, the
emulator takes the behaviour that protects least, so that code which is safe here is not safe by luck. Unverified
against the real service:

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
- the platform's own confirmation texts to STOP, START and HELP: none here.

Not carried out: recordings, Messaging Services and Advanced Opt-Out, toll-free's network-level opt-out, SharedKey
signatures, redirects, fallback URLs, GET webhooks, status callbacks of single messages and calls, creating calls,
redirecting live ones, TwiML beyond `local.twilio.twiml`. Such paths answer 404 with code 20404.
"""

from local.twilio.emulator import Emulator
from local.twilio.state import SnapshotError

__all__ = ["Emulator", "SnapshotError"]
