"""Augmentations of plug-ins: an option with settings, applied by (seed, image, epoch), in the key only if chosen."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from slimline.pipeline.errors import UserError
from slimline.pipeline.plugins import installed_plugins
from slimline.stages.backend.tensorflow import tf
from slimline.stages.images.augmentation import augment
from slimline.stages.images.augmentation_choice import chosen_augmentation
from slimline.stages.images.augmentation_config import CropConfig
from slimline.stages.images.augmentation_table import AUGMENTATIONS
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.table import STAGES
from tests.pipeline.plugin_making import install

ROOT = Path(__file__).parents[3]
FILES = {
    "darkbox/__init__.py": "",
    "darkbox/rows.py": """
        from dataclasses import dataclass
        from slimline.stages.images.augmentation_config import AugmentationConfig, CropConfig
        from slimline.stages.images.augmentation_row import AugmentationRow

        @dataclass
        class NoiseConfig(AugmentationConfig):
            strength: float = 8.0

        NOISE = AugmentationRow(NoiseConfig, "darkbox.noise:noise")
        TAKEN = AugmentationRow(CropConfig, "darkbox.noise:noise")
        """,
    "darkbox/noise.py": """
        from slimline.stages.backend.tensorflow import tf
        from slimline.stages.images.decoding import decode_part

        def noise(encoded, wanted, config, seeds):
            image, _ = decode_part(encoded, lambda size: (0, 0, size[0], size[1]), exif=False)
            image = tf.image.resize(image, [wanted.input_px, wanted.input_px])
            return image + config.strength * tf.random.stateless_normal(image.shape, seeds[0])
        """,
    "darkbox/conf/train/augmentation/noise.yaml": "defaults:\n  - noise_schema\n\nstrength: 4.0  # of 255\n",
}
WANTED = Preprocessing(input_px=8, offset=127.5, scale=127.5)


def forget() -> None:
    installed_plugins.cache_clear()
    for name in ("plugins", "references"):
        vars(AUGMENTATIONS).pop(name, None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "darkbox"]:
        del sys.modules[name]


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    forget()
    yield tmp_path / "site"
    forget()


def gray() -> Any:
    file = io.BytesIO()
    Image.fromarray(np.full((16, 16, 3), 128, np.uint8)).save(file, "PNG")
    return tf.constant(file.getvalue())


def test_a_plugins_augmentation_depends_on_the_seed(site: Path) -> None:
    install(site, "dark-box", {"slimline.augmentations": {"noise": "darkbox.rows:NOISE"}}, FILES)
    before = chosen_augmentation(CropConfig())
    config = STAGES["train"].schemas["augmentation/noise"](strength=2.0)
    assert "darkbox.noise" not in sys.modules
    table = "slimline.stages.images.augmentation_table"
    assert chosen_augmentation(config) == {table: ["darkbox.rows:NOISE", "darkbox.noise:noise"]}
    assert before[table] == ["slimline.stages.images.augmentation_rows:CROP", "slimline.stages.images.views:crop"]
    first, same, other = (
        augment(gray(), WANTED, config, tf.constant(seed)).numpy() for seed in ([1, 2], [1, 2], [1, 3])
    )
    assert first.shape == (8, 8, 3) and np.array_equal(first, same) and not np.array_equal(first, other)
    assert 1.5 < np.std(first * 127.5) < 2.5


def test_a_row_with_the_config_of_another_is_refused(site: Path) -> None:
    install(site, "dark-box", {"slimline.augmentations": {"taken": "darkbox.rows:TAKEN"}}, FILES)
    with pytest.raises(
        UserError, match=r"'taken' .* dark-box 1\.0 has the config CropConfig, which 'crop' has already\.\nFix the"
    ):
        chosen_augmentation(CropConfig())


def test_its_settings_are_known_to_the_command_line(tmp_path: Path) -> None:
    install(tmp_path / "site", "dark-box", {"slimline.augmentations": {"noise": "darkbox.rows:NOISE"}}, FILES)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(tmp_path / "site")])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "pipeline", "+experiment=flowers", "train/augmentation=noise", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert "    strength: 4.0" in run("--cfg", "job").stdout.splitlines()
    assert run("train.augmentation.strenght=3").stderr.splitlines() == [
        "train.augmentation.strenght is not a setting of this config. Did you mean train.augmentation.strength?",
        "train.augmentation has: aspect_max, aspect_min, brightness, contrast, fast, flip, flip_left_right, hue, "
        "layers, magnitude, max_area, min_area, random_brightness, random_crop, random_scale, saturation, strength.",
    ]
