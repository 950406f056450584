from __future__ import annotations

import sys

import pytest

from slimline.pipeline.table import Derived, Table

SHAPES: Table[str, object] = Table({"pi": "math:pi", "far": "no_such_module_here:ROW", "gone": "math:no_such_name"})


def test_an_entry_is_imported_when_it_is_looked_up() -> None:
    assert SHAPES["pi"] == pytest.approx(3.14159265)
    assert list(SHAPES) == ["pi", "far", "gone"] and len(SHAPES) == 3
    assert "far" in SHAPES and "square" not in SHAPES
    assert "no_such_module_here" not in sys.modules
    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        SHAPES["far"]
    with pytest.raises(AttributeError, match="no_such_name"):
        SHAPES["gone"]


def test_an_unknown_name_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="square"):
        SHAPES["square"]
    assert SHAPES.get("square") is None


def test_derived_entries_are_computed_on_lookup() -> None:
    names: Table[str, float] = Table({"pi": "math:pi", "far": "no_such_module_here:ROW"})
    derived = Derived(names, lambda value: round(value), prefix="number/", beside={"other/one": 1})
    assert list(derived) == ["other/one", "number/pi", "number/far"] and len(derived) == 3
    assert (derived["number/pi"], derived["other/one"]) == (3, 1)
    assert derived.get("pi") is None and derived.get("other/pi") is None
    with pytest.raises(ModuleNotFoundError, match="no_such_module_here"):
        derived["number/far"]
