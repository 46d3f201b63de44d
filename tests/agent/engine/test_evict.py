"""Evicting entries."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from support.engine_world import World

SHOP = {
    "shop/__init__.py": "",
    "shop/tax.py": "RATE = 1\n",
    "shop/cart.py": "from shop import tax\n",
    "lone.py": "X = 1\n",
}


def test_an_evicted_module_is_imported_anew(world: World) -> None:
    world.run(
        """
        import lone
        lone.X = 7
        result = applied(evict("lone"))
        assert result["revision"] == 1 and result["undoable"], result
        assert result["modules"][0]["action"] == "ACTION_EVICT"
        assert result["modules"][0]["after"]["generation"] == 0
        assert "lone" not in sys.modules
        import lone as again
        assert again is not lone and again.X == 1
        """,
        SHOP,
    )


def test_evicting_a_package_takes_its_submodules_along(world: World) -> None:
    world.run(
        """
        import shop.cart, shop.tax
        old = shop
        result = applied(evict("shop", recursive=True))
        assert sorted(each["name"] for each in result["modules"]) == ["shop", "shop.cart", "shop.tax"]
        assert not [name for name in sys.modules if name.partition(".")[0] == "shop"]
        assert old.tax.RATE == 1, "whoever runs the old package's code needs its attributes"
        import shop.tax as tax
        assert tax is not old.tax and sys.modules["shop"].tax is tax
        """,
        SHOP,
    )


def test_a_package_whose_submodules_would_be_cut_off_is_refused_with_the_cure(world: World) -> None:
    world.run(
        """
        import shop.tax
        before = table()
        result = change(evict("shop"))
        assert result["outcome"] == "OUTCOME_REFUSED"
        refusal = result["modules"][0]["refusal"]
        assert refusal["reason"] == "HAS_SUBMODULES" and "--recursive" in refusal["hint"]
        assert table() == before, set(table()) ^ set(before)
        """,
        SHOP,
    )


def test_the_parents_attribute_is_unbound_and_undo_restores_both(world: World) -> None:
    world.run(
        """
        import shop.tax
        tax = shop.tax
        applied(evict("shop.tax"))
        assert not hasattr(shop, "tax")
        from shop import tax as fresh
        assert fresh is not tax and shop.tax is fresh
        applied(undo())
        assert sys.modules["shop.tax"] is tax and shop.tax is tax
        """,
        SHOP,
    )


def test_a_function_with_the_submodules_name_stays_in_the_parent(world: World) -> None:
    world.run(
        """
        import calc
        function = calc.total
        applied(evict("calc.total"))
        assert calc.total is function
        applied(undo())
        assert calc.total is function and "calc.total" in sys.modules
        """,
        {"calc/__init__.py": "from .total import total\n", "calc/total.py": "def total(): return 1\n"},
    )


def test_a_blocked_name_can_be_evicted(world: World) -> None:
    world.run(
        """
        sys.modules["ghost"] = None
        applied(evict("ghost"))
        assert "ghost" not in sys.modules
        applied(undo())
        assert sys.modules["ghost"] is None
        """
    )


def test_who_still_holds_the_old_module_is_named(world: World) -> None:
    world.run(
        """
        import shop.cart, shop.tax
        result = applied(evict("shop.tax"))
        stale = result["modules"][0]["stale"]
        assert {"holder": "shop.cart.tax", "name": "shop.tax", "kind": "module"} in stale, stale
        """,
        SHOP,
    )


def test_every_refusal_of_a_change_set_comes_in_one_answer(world: World) -> None:
    world.run(
        """
        import shop.tax
        before = table()
        reasons = refused(*map(evict, ("nowhere", "shop", "sys", "__main__", "a..b", "json")))
        assert reasons == {
            "nowhere": "NOT_LOADED", "shop": "HAS_SUBMODULES", "sys": "PROTECTED", "__main__": "MAIN",
            "a..b": "BAD_NAME", "json": "HAS_SUBMODULES",
        }, reasons
        assert table() == before, set(table()) ^ set(before)
        assert engine.revision == 0
        """,
        SHOP,
    )
