"""The options of `train/augmentation`: their files, their ranges, and that they don't import TensorFlow."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from slimline.pipeline.errors import UserError
from slimline.stages.images.augmentation_config import CropConfig, RandAugmentConfig, RetrainConfig
from slimline.stages.images.augmentation_table import AUGMENTATIONS

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("option", AUGMENTATIONS)
def test_a_file_has_every_key_with_its_default(option):
    file = OmegaConf.to_container(OmegaConf.load(ROOT / f"conf/train/augmentation/{option}.yaml"))
    assert file.pop("defaults") == [f"{option}_schema"]
    assert file == dataclasses.asdict(AUGMENTATIONS[option].config())


def test_every_file_has_its_schema():
    files = {path.stem for path in (ROOT / "conf/train/augmentation").iterdir()}
    assert files == set(AUGMENTATIONS)


@pytest.mark.parametrize("module", ["augmentation_config", "augmentation_rows", "preprocessing_config"])
def test_configs_import_no_tensorflow(module):
    code = f"import sys, slimline.stages.images.{module} as _; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


@pytest.mark.parametrize(
    ("config", "values", "said"),
    [
        (CropConfig, {"min_area": 0.0}, "train.augmentation.min_area=0 "),
        (CropConfig, {"max_area": 1.5}, "train.augmentation.max_area=1.5"),
        (CropConfig, {"min_area": 0.5, "max_area": 0.4}, "min_area=0.5 is above train.augmentation.max_area=0.4"),
        (RandAugmentConfig, {"aspect_min": 2.0}, "aspect_min=2 is above train.augmentation.aspect_max=1.333"),
        (CropConfig, {"brightness": -0.1}, "train.augmentation.brightness"),
        (CropConfig, {"contrast": 1.1}, "train.augmentation.contrast"),
        (CropConfig, {"saturation": float("nan")}, "train.augmentation.saturation"),
        (CropConfig, {"hue": 0.6}, "train.augmentation.hue"),
        (RetrainConfig, {"random_crop": -1}, "train.augmentation.random_crop"),
        (RetrainConfig, {"random_scale": 101}, "train.augmentation.random_scale"),
        (RetrainConfig, {"random_brightness": 101}, "train.augmentation.random_brightness"),
        (RandAugmentConfig, {"layers": -1}, "train.augmentation.layers"),
        (RandAugmentConfig, {"magnitude": 31.0}, "train.augmentation.magnitude"),
    ],
)
def test_what_is_not_allowed_is_refused(config, values, said):
    with pytest.raises(UserError, match=said):
        config(**values)
