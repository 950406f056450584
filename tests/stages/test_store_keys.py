"""The code in the stages' keys: a copy of the tree is edited, and the code of each cached stage is read again."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import slimline
from slimline.pipeline.code import Code, CodeReader
from slimline.stages.data.config import IngestConfig, chosen_source
from slimline.stages.data.sources.kinds import SourceKind
from slimline.stages.images.augmentation_choice import chosen_augmentation
from slimline.stages.images.augmentation_config import CropConfig
from slimline.stages.models.base_config import BaseConfig, chosen_network
from slimline.stages.models.head_config import MlpConfig, chosen_head
from slimline.stages.table import DISPLAY_ONLY, STAGES, TOGETHER

ROOT = Path(__file__).parents[2]
ALL = {**STAGES, **{together.stage.name: together.stage for together in TOGETHER.values()}}
CACHED = [name for name, stage in ALL.items() if stage.cache]
BUILDING = {"base", "features", "head", "train", "evaluate"}
"""The stages that build the network; export uses the graph that evaluation froze, whose content is in its key."""
ON_A_HEAD = {"head", "train", "stack", "evaluate", "export"}
"""The stages whose inputs have a head; for the others none is chosen."""

Edit = tuple[str, str, str]
"""A file below stages/, a text that occurs in it once, and its replacement."""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy the stages into a folder, which also caches the parsed modules: an edit changes one of 250 files."""
    folder = tmp_path_factory.mktemp("tree")
    shutil.copytree(ROOT / "stages", folder / "stages", ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def read(tree: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., dict[str, Code]]]:
    """Return a function that edits the copy for one test, and reads the code of each cached stage from it."""
    monkeypatch.setattr(slimline, "__path__", [str(tree)])
    unedited: dict[Path, str] = {}
    network = chosen_network(BaseConfig("efficientnet_lite0"))
    source = chosen_source(IngestConfig(images="photos", source=SourceKind.folder))
    chosen = {**network, **source}
    choices = {name: {**chosen, **chosen_head(MlpConfig())} if name in ON_A_HEAD else chosen for name in CACHED}
    choices["train"] |= chosen_augmentation(CropConfig())

    def read_code(edit: Edit | None = None) -> dict[str, Code]:
        if edit:
            path, old, new = tree / "stages" / edit[0], *edit[1:]
            text = unedited[path] = path.read_text(encoding="utf-8")
            assert text.count(old) == 1, edit
            path.write_text(text.replace(old, new), encoding="utf-8")
        reader = CodeReader(tree / "memory.json", DISPLAY_ONLY)
        return {name: reader.read(ALL[name], choices[name]) for name in CACHED}

    yield read_code
    for path, text in unedited.items():
        path.write_text(text, encoding="utf-8")


def changed(before: dict[str, Code], after: dict[str, Code]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


@pytest.mark.parametrize(
    "edit",
    [
        ("pages/templates/style.css", "62rem", "63rem"),
        ("pages/templates/layout.html", "<main>", '<main class="wide">'),
        ("pages/report.py", 'PAGE = "report.html"', 'PAGE = "index.html"'),
        ("pages/charts.py", "from __future__ import annotations", "from __future__ import annotations\n\nimport yaml"),
        ("backend/captions.py", "checking photos", "looking at photos"),
        ("training/progress.py", '{left} left"', '{left} to go"'),
        ("training/display.py", "EXAMPLES = 8", "EXAMPLES = 9"),
        ("training/tensorboard.py", "from __future__ import annotations", "from __future__ import annotations\nA = 1"),
        ("training/tensorboard_images.py", "FONT_PX = 14", "FONT_PX = 15"),
        ("networks/architectures/inception_v4.py", 'Layer("Conv2d_0a_1x1", 96)', 'Layer("Conv2d_0a_1x1", 97)'),
        ("networks/architectures/mobilenet_v1.py", "STEM_FILTERS = 32", "STEM_FILTERS = 24"),
        ("networks/rows/inception.py", "78.0", "78.1"),
        ("networks/table.py", '"resnet_v2_50":', '"resnet_v3_50": f"{ROWS}.resnet:V3",\n        "resnet_v2_50":'),
        ("models/head_table.py", '"mlp":', '"deep": f"{ROWS}:DEEP", "mlp":'),
        ("images/augmentation_table.py", '"none":', '"blur": f"{ROWS}:BLUR", "none":'),
        ("images/distortions.py", "32 / 255, 32 / 255", "33 / 255, 33 / 255"),
        ("images/randaugment.py", "FILL = 128.0", "FILL = 127.0"),
        ("data/sources/archive.py", "DOS = 0", "DOS = 1"),
        ("data/sources/tfrecord.py", "from __future__ import annotations", "from __future__ import annotations\nA = 1"),
        ("data/sources/table.py", "SourceKind.tfds:", "SourceKind.auto: '',\n        SourceKind.tfds:"),
        ("data/drawing/bloom.py", "from __future__ import annotations", "from __future__ import annotations\nA = 1"),
        ("data/settle.py", "from __future__ import annotations", "from __future__ import annotations\nA = 1"),
        ("training/settle.py", "from __future__ import annotations", "from __future__ import annotations\nA = 1"),
        ("evaluation/folds.py", "from __future__ import annotations", "from __future__ import annotations\nA = 1"),
        ("networks/weights/cache.py", "REACH_SECONDS = 5.0", "REACH_SECONDS = 6.0"),
        ("table.py", "DISPLAY_ONLY = (", 'DISPLAY_ONLY = (\n    "slimline.stages.pages",'),
        ("networks/architectures/efficientnet_lite.py", '"""EfficientNet-Lite in', '"""EfficientNet-Lite by'),
        ("training/loop.py", '"""The training loop', '"""A training loop'),
    ],
    ids=lambda edit: edit[0],
)
def test_display_only_and_unused_modules_change_no_key(read: Callable[..., dict[str, Code]], edit: Edit) -> None:
    before = read()
    assert changed(before, read(edit)) == set()


@pytest.mark.parametrize(
    ("edit", "stages"),
    [
        (("networks/architectures/efficientnet_lite.py", "Blocks(1, 3, 1, 1, 16)", "Blocks(1, 3, 1, 1, 24)"), BUILDING),
        (("networks/rows/efficientnet_lite.py", "expanded_conv_5", "expanded_conv_6"), BUILDING),
        (("networks/architectures/blocks.py", "stddev=0.09", "stddev=0.1"), BUILDING),
        (
            ("networks/architectures/heads.py", "dropout: float = 0.0", "dropout: float = 0.1"),
            {*BUILDING, "stack"} - {"base", "features"},
        ),
        (
            ("images/preprocessing_config.py", "crop_fraction: float = 0.875", "crop_fraction: float = 0.9"),
            {*BUILDING, "stack", "review", "export"},
        ),
        (("models/head_rows.py", "fc_1/weights", "fc_2/weights"), {*BUILDING, "stack"} - {"base", "features"}),
        (("training/optimizers.py", "1 < config.accumulate_steps", "2 < config.accumulate_steps"), {"train", "stack"}),
        (("images/views.py", "ATTEMPTS = 100", "ATTEMPTS = 99"), {"train"}),
        (("training/schedules.py", "math.pi", "3.1"), {"train", "stack"}),
        (("training/rules.py", "DIVERGED, HOPELESS = 20.0", "DIVERGED, HOPELESS = 21.0"), {"train", "stack"}),
        (("data/splitting/splits.py", "FREE = -1", "FREE = -2"), {"ingest"}),
        (("data/sources/folder.py", "path, 0, MAGIC_BYTES", "path, 1, MAGIC_BYTES"), {"ingest"}),
        (("data/label_errors.py", "SURE = 0.9", "SURE = 0.8"), {"review"}),
        (("data/planting.py", "SMALLEST_CLASS = 10", "SMALLEST_CLASS = 20"), {"review"}),
        (
            (
                "models/saved_model.py",
                "from __future__ import annotations",
                "from __future__ import annotations\n\nA = 1",
            ),
            {"base", "evaluate", "export"},
        ),
        (("scoring/curves.py", "POINTS = 201", "POINTS = 101"), {"evaluate", "crossval"}),
        (("evaluation/pooling.py", "ddof=1", "ddof=0"), {"crossval"}),
        (("exporting/writers.py", "OPSET = 17", "OPSET = 18"), {"export"}),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_code_that_affects_a_result_changes_the_keys_of_the_stages_that_import_it(
    read: Callable[..., dict[str, Code]], edit: Edit, stages: set[str]
) -> None:
    before = read()
    assert changed(before, read(edit)) == stages


def test_exports_key_includes_the_key_of_evaluate() -> None:
    # No content digest covers evaluate/logs/saved_model: equal metrics do not mean an equal SavedModel
    assert STAGES["export"].by_key == ("evaluate",)


def test_a_contract_forbids_every_cached_stage_to_import_pages() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    [sources] = [
        one["source_modules"] for one in contracts if one.get("forbidden_modules") == ["slimline.stages.pages"]
    ]
    assert sorted(sources) == sorted(f"slimline.stages.{name}" for name in CACHED)
