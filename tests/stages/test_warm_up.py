"""What the command line imports in advance: existing modules, in an order in which TF-Slim finds no scikit-learn."""

from __future__ import annotations

import importlib.util

from slimline import api
from slimline.pipeline import cli
from slimline.stages.table import IMPORTS, STAGES, TENSORFLOW


def test_each_import_is_a_module_of_a_stage() -> None:
    assert STAGES.keys() >= IMPORTS.keys()
    for names in IMPORTS.values():
        assert names[0] == TENSORFLOW
        assert all(importlib.util.find_spec(name) for name in names)
        assert len(set(names)) == len(names)


def test_only_the_command_line_imports_in_advance() -> None:
    assert {name: stage.imports for name, stage in cli.STAGES.items() if name in IMPORTS} == IMPORTS
    assert not any(stage.imports for stage in api.STAGES.values())
    assert {name for name, stage in cli.STAGES.items() if stage.cache} - {"crossval"} == {*IMPORTS} - {"report"}
