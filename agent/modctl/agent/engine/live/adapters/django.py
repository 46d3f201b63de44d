"""Django: what it has worked out of lists of URLs is worked out again, after a change and after its undo.

The lists themselves are plain lists of modules, changed in place; resolvers keep the reverse of them.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from modctl.agent.engine.live.adapters.doubles import Doubles

if TYPE_CHECKING:
    from collections.abc import Iterable

RESOLVERS: Final = "django.urls.resolvers"


def forget_urls(changed: Iterable[str]) -> None:
    """Clears the caches of resolvers, where a list of URLs is among what was assigned.

    Args:
        changed: what was assigned, in words: shop.urls.urlpatterns.
    """
    if RESOLVERS not in sys.modules or not any(what.rpartition(".")[2] == "urlpatterns" for what in changed):
        return
    for resolver in Doubles.alive((f"{RESOLVERS}.URLResolver",)):
        attributes = resolver.__dict__
        attributes.pop("url_patterns", None)
        attributes.update(_populated=False, _reverse_dict={}, _namespace_dict={}, _app_dict={}, _callback_strs=set())
    __import__("django.urls", fromlist=["clear_url_caches"]).clear_url_caches()
