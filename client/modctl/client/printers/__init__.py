"""Everything that knows about terminals and formats. Commands give a kind and a result; nothing here dials anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modctl.client.printers.sheets import Sheet
    from modctl.client.printers.terminal import Output
    from modctl.client.results import FleetResult

MODULE_LIST = "ModuleList"
MODULE_DETAIL = "ModuleDetail"
CHANGE_RESULT = "ChangeResult"
AGENT_LIST = "AgentList"
REVISION_LIST = "RevisionList"


def show(kind: str, result: FleetResult[Any], output: Output, sort: str = "", with_size: bool = False) -> None:
    """Prints a result as the operator wants it.

    Args:
        kind: one of the constants above.
        result: what the fleet answered.
        output: how.
        sort: of listings.
        with_size: whether listings were asked for sizes.
    """
    if output.format in ("json", "jsonl", "yaml"):
        from modctl.client.printers.structured import write

        write(kind, result, output, sort)
        return
    if output.format == "name":
        from modctl.client.printers.names import write_names

        write_names(kind, result, output)
    elif kind == MODULE_DETAIL:
        from modctl.client.printers.cards import show_cards

        show_cards(result, output)
    else:
        from modctl.client.printers.tables import show_table

        show_table(result, _sheet(kind, output, sort, with_size), output)
    output.out.flush()
    if len(result.ok) < len(result.rows) or result.skipped:
        from modctl.client.printers.failures import show_failures

        show_failures(result, output)


def _sheet(kind: str, output: Output, sort: str, with_size: bool) -> Sheet:
    if kind == MODULE_LIST:
        from modctl.client.printers.module_sheet import module_sheet

        return module_sheet(output.wide, sort, with_size)
    if kind == CHANGE_RESULT:
        from modctl.client.printers.change_sheet import change_sheet

        return change_sheet(output.wide, brief=output.width is not None)
    if kind == AGENT_LIST:
        from modctl.client.printers.agent_sheet import agent_sheet

        return agent_sheet(output.wide)
    from modctl.client.printers.revision_sheet import revision_sheet

    return revision_sheet(output.wide)
