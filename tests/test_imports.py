"""Import rules that import-linter has no contract for: no circular imports, and only stages at the top of stages."""

from __future__ import annotations

from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

from slimline.stages.table import STAGES, TOGETHER

ROOT = Path(__file__).parents[1]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = grimp.build_graph("slimline", exclude_type_checking_imports=True)
    imports = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(imports) > 200
    TopologicalSorter(imports).prepare()  # raises a CycleError that names the circle
    with pytest.raises(CycleError):
        TopologicalSorter({**imports, "slimline.stages.backend.tensorflow": {"slimline.stages.train"}}).prepare()


def test_the_top_of_stages_holds_the_stages_and_their_table() -> None:
    stages = {*STAGES, *(together.stage.name for together in TOGETHER.values())}
    assert {path.stem for path in (ROOT / "stages").glob("*.py")} == {"__init__", "former_flags", "table", *stages}
