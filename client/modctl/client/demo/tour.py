"""What the demo shows, step by step, and what has to come out of each step."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Final

from modctl.client.demo.guide import document, until

if TYPE_CHECKING:
    from modctl.client.demo.fleet import DemoFleet
    from modctl.client.demo.guide import Guide

#: Requests enough that every worker of the shop will have answered one.
_MANY: Final = 12
#: A command that found some targets failing or refusing ends with this.
_SOME_FAILED: Final = 3

TAX_MOCK: Final = '''\
"""No tax today."""


def with_tax(net_cents: int) -> int:
    return net_cents
'''


def walk(fleet: DemoFleet, guide: Guide) -> None:
    """The whole tour of what is there.

    Raises:
        DemoError: a step did not do what it says.
    """
    see_who_is_there(fleet, guide)
    if "shop" in fleet.services:
        look_inside(fleet, guide)
        mock_a_module(fleet, guide)
        bring_in_an_edit(fleet, guide)
        survive_a_bad_edit(fleet, guide)
    if "orders" in fleet.services:
        evict_and_import(fleet, guide)
    change_a_daemon(fleet, guide)
    lose_the_gateway(fleet, guide)


def see_who_is_there(fleet: DemoFleet, guide: Guide) -> None:
    """agents, list."""
    guide.title("Who is there? Every process of every service, found by itself on this machine.")
    guide.modctl("agents", environment=fleet.environment)
    guide.title("What has each of them loaded?")
    guide.modctl("list", "billing*", "fulfilment*", "quotes*", environment=fleet.environment)
    names = _names(document("list", "quotes*", environment=fleet.environment))
    guide.check({"quotes", "quotes.feed", "quotes.wording"} <= names, "the daemon's modules are listed", names)


def look_inside(fleet: DemoFleet, guide: Guide) -> None:
    """get, get --source."""
    guide.title("Everything about one module: here the source that is really running in the shop.")
    seen = guide.modctl("get", "billing.tax", "--source", *_at(fleet, "shop"), environment=fleet.environment)
    guide.check("RATE_PERCENT = 20" in seen, "the running source is shown", seen)


def mock_a_module(fleet: DemoFleet, guide: Guide) -> None:
    """inject --dry-run, inject, undo: and what the shop's customers see of it."""
    guide.title("Put another module in its place, while requests are served. First without doing it:")
    _show_price(fleet, guide, 540)
    mock = fleet.folder / "no_tax.py"
    mock.write_text(TAX_MOCK)
    inject = ("inject", "billing.tax", "--file", str(mock), "--replace", "--reason", "a mock for the demo")
    guide.modctl(*inject, "--dry-run", *_at(fleet, "shop"), environment=fleet.environment)
    _show_price(fleet, guide, 540)
    guide.title("Now really, in every worker:")
    guide.modctl(*inject, *_at(fleet, "shop"), environment=fleet.environment)
    _show_price(fleet, guide, 450)
    guide.title("Take it back:")
    guide.modctl("undo", *_at(fleet, "shop"), environment=fleet.environment)
    _show_price(fleet, guide, 540)


def bring_in_an_edit(fleet: DemoFleet, guide: Guide) -> None:
    """An edit on disk, list --changed, reimport."""
    guide.title("Edit a file. The processes go on with what they have loaded, and modctl says so:")
    _edit(fleet, guide, "shop/billing/tax.py", "RATE_PERCENT = 20", "RATE_PERCENT = 25")
    _show_price(fleet, guide, 540)
    guide.modctl("list", "billing*", "--changed", *_at(fleet, "shop"), environment=fleet.environment)
    guide.title("Bring the edit in. The new module object runs first; only then does it take the old one's place:")
    guide.modctl("reimport", "billing.tax", *_at(fleet, "shop"), environment=fleet.environment)
    _show_price(fleet, guide, 563)


def survive_a_bad_edit(fleet: DemoFleet, guide: Guide) -> None:
    """A syntax error on its way in, then history."""
    guide.title("A broken edit cannot get in. Nothing is touched, and the answer says where:")
    _edit(fleet, guide, "shop/billing/tax.py", "RATE_PERCENT = 25", "RATE_PERCENT = = 25")
    guide.modctl("reimport", "billing.tax", *_at(fleet, "shop"), environment=fleet.environment, expect=_SOME_FAILED)
    _show_price(fleet, guide, 563)
    _edit(fleet, guide, "shop/billing/tax.py", "RATE_PERCENT = = 25", "RATE_PERCENT = 25")
    guide.title("What was done to the shop, when, by whom and why:")
    guide.modctl("history", *_at(fleet, "shop"), environment=fleet.environment)


def evict_and_import(fleet: DemoFleet, guide: Guide) -> None:
    """import of a module that is loaded late, evict of it."""
    guide.title("Load a module before the first request needs it, and see that the second time it is there already:")
    customs = "fulfilment.customs"
    guide.modctl("import", customs, *_at(fleet, "orders"), environment=fleet.environment)
    guide.modctl("import", customs, *_at(fleet, "orders"), environment=fleet.environment)
    guide.check(customs in _names(_orders_modules(fleet)), f"{customs} is loaded", _orders_modules(fleet))
    guide.title("Evict it. The next request that needs it imports it anew:")
    guide.modctl("evict", customs, *_at(fleet, "orders"), environment=fleet.environment)
    guide.check(customs not in _names(_orders_modules(fleet)), f"{customs} is evicted", _orders_modules(fleet))
    path = "/quote?weight_g=1200&country=NO"
    answer = fleet.fetch("orders", path)
    guide.show(f"curl '{fleet.url('orders', path)}'", answer)
    guide.check(json.loads(answer)["cost_cents"] == 3290, "the quote is the same as ever", answer)
    guide.modctl("list", customs, *_at(fleet, "orders"), environment=fleet.environment)
    guide.check(customs in _names(_orders_modules(fleet)), f"{customs} is back", _orders_modules(fleet))


def change_a_daemon(fleet: DemoFleet, guide: Guide) -> None:
    """An edit for a program that serves nothing and has no framework."""
    guide.title("A daemon without any framework takes an edit just so:")
    service = fleet.services["ticker"]
    guide.show(f"tail -1 {service.log}", service.log_tail(1))
    _edit(fleet, guide, "ticker/quotes/wording.py", 'CURRENCY = "EUR"', 'CURRENCY = "USD"')
    guide.modctl("reimport", "quotes.wording", *_at(fleet, "ticker"), environment=fleet.environment)
    until(lambda: "USD" in service.log_tail(1), within_s=3.0)
    guide.show(f"tail -1 {service.log}", service.log_tail(1))
    guide.check("USD" in service.log_tail(1), "the daemon writes USD now", service.log_tail(3))
    guide.modctl("undo", *_at(fleet, "ticker"), environment=fleet.environment)
    back = until(lambda: "EUR" in service.log_tail(1), within_s=3.0)
    guide.check(back, "the daemon writes EUR again", service.log_tail(3))


def lose_the_gateway(fleet: DemoFleet, guide: Guide) -> None:
    """kill -9 of a gateway."""
    guide.title("Kill what answers for the daemon. The daemon does not notice, and starts another:")
    (info,) = fleet.state_dir.glob("ticker-*/gateway.json")
    pid = int(json.loads(info.read_text())["pid"])
    os.kill(pid, signal.SIGKILL)
    killed_s = time.monotonic()
    guide.show(f"kill -9 {pid}", "")
    back = until(lambda: "quotes" in _names(document("list", "quotes", environment=_only(fleet))), within_s=10.0)
    guide.check(back, "the gateway is back", fleet.services["ticker"].log_tail())
    guide.say(f"It answers again after {time.monotonic() - killed_s:.1f} s, the time to ask included:")
    guide.modctl("agents", *_at(fleet, "ticker"), environment=fleet.environment)


def _at(fleet: DemoFleet, name: str) -> tuple[str, str]:
    return ("--host", fleet.address(name))


def _only(fleet: DemoFleet) -> dict[str, str]:
    return {**fleet.environment, "MODCTL_HOST": fleet.address("ticker")}


def _orders_modules(fleet: DemoFleet) -> dict[str, object]:
    return document("list", "fulfilment*", *_at(fleet, "orders"), environment=fleet.environment)


def _names(listing: dict[str, object]) -> set[str]:
    results = listing.get("results")
    if not isinstance(results, list):
        return set()
    return {module["name"] for result in results for module in result.get("modules", [])}


def _show_price(fleet: DemoFleet, guide: Guide, gross_cents: int) -> None:
    """Asks for a price as often as it takes for every worker to have been asked."""
    path = "/price?sku=tea"
    answers = [fleet.fetch("shop", path) for _ in range(_MANY)]
    guide.show(f"curl '{fleet.url('shop', path)}'", answers[0])
    seen = {json.loads(answer)["gross_cents"] for answer in answers}
    guide.check(seen == {gross_cents}, f"every worker says {gross_cents}", answers)


def _edit(fleet: DemoFleet, guide: Guide, file: str, before: str, after: str) -> None:
    path = fleet.folder / file
    text = path.read_text()
    guide.check(before in text, f"{file} holds {before!r}", text)
    path.write_text(text.replace(before, after))
    guide.show(f"sed -i 's/{before}/{after}/' {path}", "")
