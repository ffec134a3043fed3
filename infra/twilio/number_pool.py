"""The resource type `parley:index:NumberPool`: all the numbers of one Proxy service, held as one set.

One resource and not one a number, because a pool of thousands has to be planned, applied and stored in seconds.
Decisions:

* No phone number reaches the state or a message. `adopt` and `reserved` may be written in E.164; `check` looks those up
  in the account and goes on with their SIDs, which are no secret, so that a preview still shows what comes and goes.
* Nothing is ever replaced. A new service (`serviceSid`) gets the same numbers: a replacement would buy new ones.
* A bought number carries a friendly name that says which service and which order it was bought for (`pool_plan.tag`),
  set by the very request that buys it. So even after the plugin was killed between buying and answering, the next `up`
  finds it instead of buying another.
* A bought number that leaves the pool is kept as a spare, listed in the state, and taken again before anything is
  bought; it is given back to Twilio only with `releaseOnDelete`. An adopted number is never given back.
* A number with an open session is not taken out, unless `forceDestroy` says so: people are talking through it.
* Numbers that are in the service but neither declared nor known are left alone on update, and refused on create.
  A refresh makes them known, so that the next preview shows that they will be taken out.
* Proxy overwrites the voice and SMS URLs of its numbers. They are no part of this resource, hence never drift.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

from infra.provider import (
    UNKNOWN,
    CheckFailure,
    Diff,
    Live,
    PartialFailure,
    Properties,
    ProviderError,
    Resource,
    compare,
    wire,
)
from infra.twilio import pool_checks, rules
from infra.twilio.client import Account, PoolNumber, TwilioError
from infra.twilio.pool_plan import Plan, order_key, orders_now, plan, set_changes, tag
from infra.twilio.transport import WORKERS, InterruptedWaitError

REASONS: Final = 20
"""Reasons shown of a partial failure; thousands of numbers may fail for the same one."""
URLS: Final = ("voiceUrl", "voiceFallbackUrl", "statusCallback", "smsUrl", "smsFallbackUrl")
"""The inputs of `NumberWebhooks` that are URLs; Twilio asks them by POST."""
TAKEN: Final = frozenset({21421, 21422})
"""Twilio's codes for a number that somebody else bought between the search and the purchase."""

Result = TypeVar("Result")


class NumberPool(Resource[Account]):
    """The set of numbers of a Proxy service: adopted, bought, reserved."""

    token = "parley:index:NumberPool"  # noqa: S105
    inputs = frozenset({"serviceSid", "adopt", "buy", "reserved", "releaseOnDelete", "forceDestroy"})
    outputs = frozenset({"numbers", "size", "spares"})

    def check_for(
        self, account: Account | None, inputs: Properties, old_inputs: Properties
    ) -> tuple[Properties, list[CheckFailure]]:
        """Check what can be told before the deployment, ownership of the numbers included; they become SIDs."""
        given = {"adopt": [], "buy": [], "reserved": [], **rules.defaults(self.token), **inputs}
        failures = rules.shape(given, self.token) or [
            *rules.sid(given["serviceSid"], "KS", "serviceSid", "the `sid` of a ProxyService"),
            *pool_checks.order_problems(given["buy"]),
            *pool_checks.spelling_problems(given),
        ]
        return given, failures or pool_checks.settle(account, given, old_inputs)

    def diff(self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /) -> Diff:
        """Compare the inputs; the numbers as sets, so that one more of them shows up as one more."""
        del ctx, id_, state
        changes = dict(compare(old_inputs, inputs).changes)
        for name in pool_checks.SETS:
            old, new = old_inputs.get(name) or [], inputs.get(name) or []
            if wire.known(new):
                changes = {path: change for path, change in changes.items() if path[0] != name}
                changes |= dict(set_changes(name, old, new))
        return Diff(changes)

    def preview(self, ctx: Account, inputs: Properties, state: Properties | None, /) -> Properties:
        """Tell the size, which is known before the numbers are."""
        del ctx
        known = wire.known(inputs["adopt"]) and wire.known(inputs["buy"])
        size = len(inputs["adopt"]) + sum(order["count"] for order in inputs["buy"]) if known else UNKNOWN
        spares = UNKNOWN if state is None else state.get("spares", [])
        return {**_declared(inputs), "numbers": UNKNOWN, "size": size, "spares": spares}

    def create(self, ctx: Account, inputs: Properties, /) -> tuple[str, Properties]:
        """Fill the pool; what an interrupted create left behind is taken up."""
        service_sid = inputs["serviceSid"]
        run = _Run(ctx, inputs, live=_pool(ctx, service_sid), mine=_tagged(ctx, service_sid, inputs["buy"]))
        strangers = sorted(run.live.keys() - set(inputs["adopt"]) - run.mine.keys())
        if strangers:
            raise ProviderError(
                f"{service_sid} has {len(strangers)} undeclared number(s) ({_some(strangers)}): add them to `adopt`"
                + (
                    f", or take the pool over: `pulumi import parley:index:NumberPool NAME {service_sid}`"
                    if rules.is_sid(service_sid, "KS")
                    else ""
                )
            )
        outputs = run.carry_out(known=())
        if run.problems and not (outputs["numbers"] or outputs["spares"]):
            raise ProviderError("; ".join(_shortened(run.problems)))
        run.finish(service_sid, outputs)
        return service_sid, outputs

    def read(self, ctx: Account, id_: str, inputs: Properties | None, state: Properties | None, /) -> Live | None:
        """Read the service's numbers back; what came or went shows up in `adopt`, `reserved` and the counts of `buy`.

        A service that is gone takes its pool with it, unless there are bought numbers to keep track of.
        """
        service_sid = (state or {}).get("serviceSid") or id_
        if state is None and not rules.is_sid(service_sid, "KS"):
            raise ProviderError(
                f"{id_!r} is no number pool: import it by its service's SID, KS and 32 hexadecimal digits"
            )
        found = ctx.pool(service_sid)
        live = {number.sid: number for number in found or []}
        mine = _bought(state or {})
        there = live.keys() | pool_checks.owned_sids(ctx, mine.keys() - live.keys())
        mine = {sid: key for sid, key in mine.items() if sid in there}
        if found is None and not mine:
            return None
        if inputs is None:
            inputs = {**rules.defaults(self.token), "adopt": [], "buy": [], "reserved": []}
        adopted = set(inputs["adopt"])
        bought = {sid: mine[sid] for sid in live if sid in mine and sid not in adopted}
        reserved = set(inputs["reserved"])
        seen = {
            **inputs,
            "serviceSid": service_sid,
            "adopt": sorted(live.keys() - bought.keys()),
            "buy": orders_now(inputs["buy"], live, bought, reserved),
            "reserved": sorted(sid for sid in live if live[sid].reserved and (sid in reserved or sid not in bought)),
        }
        return Live(seen, _outputs(seen, live, mine))

    def update(
        self, ctx: Account, id_: str, old_inputs: Properties, state: Properties, inputs: Properties, /
    ) -> Properties:
        """Bring the service's numbers to what is declared; into a new service if that is what changed.

        Numbers that pointed at webhooks, in a stack that had no service before, are Proxy's from then on.
        """
        if "serviceSid" not in state and (ours := {str(old_inputs[name]) for name in URLS if name in old_inputs}):
            _, problems = _each(ctx, _sids(state), lambda sid: ctx.unpoint(sid, ours))
            if problems:
                raise ProviderError("; ".join(_shortened(problems)))
            _rename(ctx, inputs["serviceSid"], _bought(state))
        known = _sids(state)
        service_sid: str = inputs["serviceSid"]
        was: str = state.get("serviceSid") or service_sid
        mine = _bought(state)
        if was != service_sid:
            _move_out(ctx, was, known, force=inputs["forceDestroy"])
            _rename(ctx, service_sid, mine)
        run = _Run(ctx, inputs, live=_pool(ctx, service_sid), mine=mine)
        outputs = run.carry_out(known=known)
        run.finish(id_, outputs)
        return outputs

    def delete(self, ctx: Account, id_: str, state: Properties, /) -> None:
        """Take the pool's numbers out of the service; release bought ones where that was asked for."""
        service_sid = state.get("serviceSid") or id_
        live = {number.sid: number for number in ctx.pool(service_sid) or []}
        ours = [live[number["sid"]] for number in state.get("numbers", []) if number["sid"] in live]
        if not state.get("forceDestroy"):
            _refuse_in_use(ours)
        _, problems = _each(ctx, [number.sid for number in ours], lambda sid: ctx.remove(service_sid, sid))
        if state.get("releaseOnDelete") and not problems:
            _, problems = _each(ctx, _bought(state), ctx.release)
        if problems:
            raise ProviderError("; ".join(_shortened(problems)))


class _Run:
    """One create or update: takes numbers out, flags, buys and adds them, and remembers what could not be done."""

    def __init__(
        self, account: Account, inputs: Mapping[str, Any], *, live: dict[str, PoolNumber], mine: dict[str, str]
    ) -> None:
        self.live, self.mine = live, mine
        self.problems: list[str] = []
        self._account, self._inputs = account, inputs
        self._service: str = inputs["serviceSid"]

    def carry_out(self, *, known: Iterable[str]) -> Properties:
        """Do what the plan says and return the outputs; what failed is in `problems`."""
        todo = plan(self._inputs, self.live, self.mine, known)
        if todo.buy:
            todo = self._found_again(todo, known)
        strangers = set(self._inputs["reserved"]) - set(self._inputs["adopt"]) - self.mine.keys()
        self.problems += [f"reserved: {sid} is not in the pool: add it to `adopt` as well" for sid in sorted(strangers)]
        self._remove(todo)
        self._flag(todo.flag)
        adds = dict(todo.add)
        for key, flags in todo.buy.items():
            adds |= dict(zip(self._buy(key, len(flags)), flags, strict=False))
        self._add(adds)
        return _outputs(self._inputs, self.live, self.mine, known={*known, *todo.add, *adds, *self._inputs["adopt"]})

    def finish(self, id_: str, outputs: Properties) -> None:
        """Raise PartialFailure if anything is left to be done: the state keeps `outputs`, the next `up` goes on."""
        if self.problems:
            raise PartialFailure(id_, outputs, _shortened(self.problems))

    def _found_again(self, todo: Plan, known: Iterable[str]) -> Plan:
        orders = [order for order in self._inputs["buy"] if order_key(order) in todo.buy]
        lost = {sid: key for sid, key in _tagged(self._account, self._service, orders).items() if sid not in self.mine}
        self.mine |= lost
        return plan(self._inputs, self.live, self.mine, known) if lost else todo

    def _remove(self, todo: Plan) -> None:
        leaving = [self.live[sid] for sid in todo.remove]
        if not self._inputs["forceDestroy"]:
            self.problems += [_in_use(number) for number in leaving if number.in_use]
            leaving = [number for number in leaving if not number.in_use]
        done = self._each([number.sid for number in leaving], lambda sid: self._account.remove(self._service, sid))
        for sid in done:
            del self.live[sid]
        if self._inputs["releaseOnDelete"]:
            for sid in self._each([sid for sid in todo.surplus if sid not in self.live], self._account.release):
                del self.mine[sid]

    def _flag(self, flags: Mapping[str, bool]) -> None:
        self.live |= self._each(flags, lambda sid: self._account.set_reserved(self._service, sid, reserved=flags[sid]))

    def _add(self, flags: Mapping[str, bool]) -> None:
        self.live |= self._each(flags, lambda sid: self._account.add(self._service, sid, reserved=flags[sid]))

    def _buy(self, key: str, count: int) -> list[str]:
        """Buy up to `count` numbers of one order, search by search; return their SIDs."""
        index, order = next((i, order) for i, order in enumerate(self._inputs["buy"]) if order_key(order) == key)
        paperwork = {"address_sid": order.get("addressSid"), "bundle_sid": order.get("bundleSid")}
        more = {name: value for name, value in paperwork.items() if value}
        bought: list[str] = []
        tried: set[str] = set()

        def purchase(number: str) -> str | None:
            try:
                return self._account.buy(number, friendly_name=tag(self._service, key), **more).sid
            except TwilioError as error:
                if error.code in TAKEN:
                    return None
                raise

        while len(bought) < count:
            before = len(self.problems)
            offers = next(iter(self._each([key], lambda _: self._search(order), f"buy[{index}]: ").values()), None)
            if offers is None:
                break
            offers = [number for number in offers if number not in tried][: count - len(bought)]
            if not offers:
                self.problems.append(_sold_out(index, key, len(bought), count, address="address_sid" in more))
                break
            tried |= set(offers)
            done = self._each(offers, purchase, f"buy[{index}]: ")
            for sid in filter(None, done.values()):
                self.mine[sid] = key
                bought.append(sid)
            if len(self.problems) > before:
                break
        return bought

    def _search(self, order: Mapping[str, Any]) -> list[str]:
        filters: dict[str, Any] = {f"{able}_enabled": True for able in order["capabilities"]}
        if order.get("areaCode"):
            filters["area_code"] = order["areaCode"]
        if not order.get("addressSid"):
            filters["exclude_all_address_required"] = True
        return self._account.for_sale(order["country"], order["type"].replace("-", "_"), filters)

    def _each(self, items: Iterable[str], action: Callable[[str], Result], prefix: str = "") -> dict[str, Result]:
        done, problems = _each(self._account, items, action, prefix)
        self.problems += problems
        return done


def _each(
    account: Account, items: Iterable[str], action: Callable[[str], Result], prefix: str = ""
) -> tuple[dict[str, Result], list[str]]:
    """Do `action` for all items, WORKERS at a time; return item -> result, and the messages of those that failed."""

    def attempt(item: str) -> Result | ProviderError:
        try:
            account.clock.wait(0)
            return action(item)
        except ProviderError as error:
            return error

    todo = list(items)
    if not todo:
        return {}, []
    with ThreadPoolExecutor(min(WORKERS, len(todo))) as workers:
        results = dict(zip(todo, workers.map(attempt, todo), strict=True))
    problems = [
        str(result) if isinstance(result, InterruptedWaitError) else f"{prefix}{result}"
        for result in results.values()
        if isinstance(result, ProviderError)
    ]
    done = {item: result for item, result in results.items() if not isinstance(result, ProviderError)}
    return done, list(dict.fromkeys(problems))


def _pool(account: Account, service_sid: str) -> dict[str, PoolNumber]:
    found = account.pool(service_sid)
    if found is None:
        raise ProviderError(f"there is no Proxy service {service_sid}: run `pulumi up --refresh` to make it anew")
    return {number.sid: number for number in found}


def _tagged(account: Account, service_sid: str, orders: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Numbers of the account that were bought for these orders, SID -> order key."""
    keys = dict.fromkeys(order_key(order) for order in orders)
    return {number.sid: key for key in keys for number in account.owned_numbers(friendly_name=tag(service_sid, key))}


def _bought(state: Mapping[str, Any]) -> dict[str, str]:
    numbers = [*state.get("numbers", []), *state.get("spares", [])]
    return {number["sid"]: number["bought"] for number in numbers if number.get("bought")}


def leave_service(account: Account, service_sid: str, state: Mapping[str, Any], name: str) -> None:
    """Take the numbers of a pool out of its service, those that were bought being tagged with `name` from then on.

    Raises ProviderError as long as somebody talks through one of them, unless the pool has `forceDestroy`.
    """

    def leave(sid: str) -> None:
        # Before it is out: what Proxy wrote there would otherwise look like another service's.
        account.point(sid, dict.fromkeys(URLS, ""))
        account.remove(service_sid, sid)

    _each_out(account, service_sid, _sids(state), leave, force=bool(state.get("forceDestroy")))
    _rename(account, name, _bought(state))


def _rename(account: Account, service_sid: str, mine: Mapping[str, str]) -> None:
    _each(account, mine, lambda sid: account.name(sid, tag(service_sid, mine[sid])))


def _sids(state: Mapping[str, Any]) -> set[str]:
    return {number["sid"] for number in state.get("numbers", [])}


def _move_out(account: Account, service_sid: str, known: set[str], *, force: bool) -> None:
    """Empty the pool's former service; all or nothing as to open sessions, so that no number stays behind unseen."""
    _each_out(account, service_sid, known, lambda sid: account.remove(service_sid, sid), force=force)


def _each_out(
    account: Account, service_sid: str, known: set[str], action: Callable[[str], None], *, force: bool
) -> None:
    leaving = [number for number in account.pool(service_sid) or [] if number.sid in known]
    if not force:
        _refuse_in_use(leaving)
    _, problems = _each(account, [number.sid for number in leaving], action)
    if problems:
        raise ProviderError("; ".join(_shortened(problems)))


def _refuse_in_use(numbers: Iterable[PoolNumber]) -> None:
    busy = [_in_use(number) for number in numbers if number.in_use]
    if busy:
        raise ProviderError("; ".join(_shortened(busy)))


def _in_use(number: PoolNumber) -> str:
    return (
        f"{number.sid} has {number.in_use} open session(s), which taking it out would cut off: close them and"
        " try again, or set `forceDestroy` to true with `pulumi up` first"
    )


def _sold_out(index: int, key: str, got: int, asked: int, *, address: bool) -> str:
    hint = "" if address else " (numbers that need an address are left out unless `addressSid` is given)"
    return (
        f"buy[{index}]: Twilio has no more numbers for sale of {key!r}; got {got} of {asked}{hint}:"
        " try another area code or type, or lower `count`"
    )


def _shortened(problems: Sequence[str]) -> list[str]:
    more = len(problems) - REASONS
    return [*problems[:REASONS], f"and {more} more like these"] if more > 0 else list(problems)


def _some(sids: Sequence[str]) -> str:
    return ", ".join(sids[:3]) + (f" and {len(sids) - 3} more" if len(sids) > 3 else "")


def _declared(inputs: Mapping[str, Any]) -> Properties:
    return {name: inputs[name] for name in ("serviceSid", "releaseOnDelete", "forceDestroy")}


def _outputs(
    inputs: Mapping[str, Any],
    live: Mapping[str, PoolNumber],
    mine: Mapping[str, str],
    known: Iterable[str] | None = None,
) -> Properties:
    """Return the state; `known` leaves out numbers of the service that this pool has nothing to do with."""
    shown = live.keys() if known is None else live.keys() & {*known, *mine}
    numbers = []
    for sid in sorted(shown):
        number = live[sid]
        entry = {
            "sid": sid,
            "isoCountry": number.iso_country,
            "capabilities": list(number.capabilities),
            "reserved": number.reserved,
        }
        numbers.append({**entry, "bought": mine[sid]} if sid in mine else entry)
    spares = [{"sid": sid, "bought": mine[sid]} for sid in sorted(mine) if sid not in live]
    return {**_declared(inputs), "numbers": numbers, "size": len(numbers), "spares": spares}
