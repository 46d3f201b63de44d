"""Everything that knows about terminals and formats. Commands give a kind and a result; nothing here dials anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
    from modctl.client.printers import names, structured

    if output.format == "json":
        return structured.write_json(kind, result, output, sort)
    if output.format == "jsonl":
        return structured.write_jsonl(kind, result, output, sort)
    if output.format == "yaml":
        return structured.write_yaml(kind, result, output, sort)

    from modctl.client.printers.failures import show_failures

    if output.format == "name":
        names.write_names(kind, result, output)
    elif kind == MODULE_DETAIL:
        from modctl.client.printers.cards import show_cards

        show_cards(result, output)
    else:
        from modctl.client.printers import sheets, tables

        sheet = {
            MODULE_LIST: lambda: sheets.module_sheet(output.wide, sort, with_size),
            CHANGE_RESULT: lambda: sheets.change_sheet(output.wide),
            AGENT_LIST: lambda: sheets.agent_sheet(output.wide),
            REVISION_LIST: lambda: sheets.revision_sheet(output.wide),
        }[kind]()
        tables.show_table(result, sheet, output)
    output.out.flush()
    show_failures(result, output)
    return None
