"""`modctl doctor`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click
from modctl.client.options import command, reading
from modctl.client.session import Session

if TYPE_CHECKING:
    from modctl.client.credentials import TLS
    from modctl.client.doctor.findings import Finding
    from modctl.client.fleet import AsyncFleet
    from modctl.client.targets import Target


@command("doctor", "Find what is wrong, and say the cure.")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@reading
def doctor_command(names: tuple[str, ...], **flags: Any) -> int:
    """Look at this machine, the certificates and the targets; say what is wrong and what to do about it.

    With NAMEs, also whether they could be changed, and by which rule not. Exits with 1 where there is a problem.
    """
    session = Session(flags)
    found = session.gather(lambda fleet: _look(fleet, names))
    return _tell(found, session)


async def _look(fleet: AsyncFleet, names: tuple[str, ...]) -> list[Finding]:
    from modctl.client.credentials import TLS
    from modctl.client.doctor import certificates, machine
    from modctl.client.doctor import fleet as fleet_checks
    from modctl.client.doctor import names as name_checks

    found = [*machine.packages(), *machine.directories()]
    tls = fleet.settings.tls
    if tls is not None:
        found += certificates.files(tls)
    targets = await fleet.resolve()
    for target in targets:
        if tls is not None or not (target.path or fleet.settings.plaintext or target.is_loopback):
            found += await asyncio.to_thread(_handshake, target, tls or TLS())
    for one in await asyncio.gather(*(fleet_checks.gateway(fleet, target) for target in targets)):
        found += one
    agents = await fleet.agents()
    processes = [process for _, process in agents]
    found += fleet_checks.processes(processes)
    here = {row.pid for row in agents.rows if row.target.startswith("unix:")}
    found += machine.without_agent(here)
    for name in names:
        found += await name_checks.of(fleet, name)
    return found


def _handshake(target: Target, tls: TLS) -> list[Finding]:
    from modctl.client.doctor import certificates

    return list(certificates.server(target, tls))


def _tell(found: list[Finding], session: Session) -> int:
    from modctl.client import exits
    from modctl.client.doctor.findings import BAD, ODD, UNSEEN
    from modctl.client.printers.documents import FORMATS, write_document
    from modctl.client.printers.terminal import printable

    output = session.output
    problems = sum(one.level == BAD for one in found)
    if output.format in FORMATS:
        results = [one._asdict() for one in found]
        summary = {"problems": problems, "warnings": sum(one.level == ODD for one in found)}
        write_document("Doctor", {"results": results, "summary": summary}, output)
    else:
        styles = {BAD: "red", ODD: "yellow", UNSEEN: "dim"}
        for one in found:
            mark = output.style(f"{one.level:<8}", styles.get(one.level, "green"))
            output.write(f"{mark} {printable(f'{one.where}: {one.what}')}\n")
            if one.cure:
                output.write(f"         {printable(one.cure)}\n")
    return exits.DIFFERENCES if problems else exits.OK
