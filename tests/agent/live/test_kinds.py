"""A function becomes another kind of function, whatever the service makes of warnings; see live/kinds.py."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .test_changing import in_process

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(params=["planned here", "planned by a gateway"])
def run(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Runs a test's body in a process of its own."""
    return lambda body: in_process(body, gateway=request.param != "planned here")


@pytest.mark.parametrize("given", ["error", "always", "once"])
@pytest.mark.parametrize("new", ["async def tax(x): return x", "def tax(x): yield x"])
def test_no_warning_of_it_is_raised_or_shown(run: Callable[[str], None], given: str, new: str) -> None:
    run(f"""
        import warnings
        warnings.resetwarnings(); warnings.simplefilter({given!r}, DeprecationWarning)
        before = list(warnings.filters)
        shown = []
        warnings.showwarning = lambda *a, **k: shown.append(a)
        answer = change(patch("tax", "RATE = 7\\n{new}\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        made = held(3)
        assert hasattr(made, "send"), made
        made.close()
        assert undo()["outcome"] == "OUTCOME_APPLIED" and held(3) == 21
        assert undo(2)["outcome"] == "OUTCOME_APPLIED"
        held(3).close()
        assert not shown and list(warnings.filters) == before
        if {given!r} == "error":
            try:
                warnings.warn("of the service", DeprecationWarning)
            except DeprecationWarning:
                pass
            else:
                raise AssertionError("the service's own are raised as before")
    """)


def test_nobody_is_warned_where_the_module_of_warnings_is_not_loaded(run: Callable[[str], None]) -> None:
    run("""
        kept = sys.modules.pop("warnings", None)
        answer = change(patch("tax", "RATE = 7\\nasync def tax(x): return x\\n"))
        assert answer["outcome"] == "OUTCOME_APPLIED", answer
        held(3).close()
        if kept is not None:
            sys.modules["warnings"] = kept
    """)
