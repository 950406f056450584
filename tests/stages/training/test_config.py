"""Configuration of train: names and feeds of phases, and rejected values."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.images.augmentation_config import AugmentationConfig, CropConfig
from slimline.stages.training.config import (
    CacheConfig,
    PhaseConfig,
    TrainConfig,
)

ROOT = Path(__file__).parents[3]


def phases(*trainables, **settings):
    return [PhaseConfig(trainable=list(one), **settings) for one in trainables]


@pytest.mark.parametrize(
    ("trainable", "name"),
    [
        (["head"], "head"),
        (["all"], "all"),
        (["InceptionV3/Mixed_7c"], "Mixed_7c"),
        (["InceptionV3/Mixed_7c+"], "Mixed_7c+"),
        (["InceptionV3/Mixed_7b", "InceptionV3/Mixed_7c", "head"], "Mixed_7b+2"),
    ],
)
def test_a_phase_is_named_after_its_trainable_scopes(trainable, name):
    assert PhaseConfig(trainable=trainable).name == name


def test_repeated_names_of_phases_are_numbered():
    config = TrainConfig(phases=phases(["head"], ["all"], ["head"], ["all"], ["head"]))
    assert config.phase_names() == ["head", "all", "head-2", "all-2", "head-3"]


@pytest.mark.parametrize(
    ("trainables", "on_features"),
    [
        ([["head"]], [True]),
        ([["head"], ["all"]], [True, False]),
        ([["head"], ["head"]], [True, True]),
        ([["all"], ["head"]], [False, False]),  # the cached features are not those of the trained base
        ([["A/b"], ["head"], ["head"]], [False, False, False]),
    ],
)
def test_a_head_is_trained_on_features_while_the_base_is_unchanged(trainables, on_features):
    config = TrainConfig(phases=phases(*trainables))
    assert [config.on_features(number) for number in range(len(trainables))] == on_features
    assert config.reads_features() == any(on_features)


@pytest.mark.parametrize(
    ("augment", "augmentation", "augmented"),
    [
        (True, CropConfig(), True),
        (False, CropConfig(), False),
        (True, AugmentationConfig(), False),
        (False, AugmentationConfig(), False),
    ],
)
def test_an_augmented_head_reads_photos(augment, augmentation, augmented):
    config = TrainConfig(phases=phases(["head"], augment=augment), augmentation=augmentation)
    assert config.augments(config.phases[0]) == augmented
    assert config.reads_features() != augmented


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: PhaseConfig(trainable=[]).check("train.phases.1"), "train.phases.1.trainable=[] is empty"),
        (lambda: PhaseConfig(trainable=["all", "head"]).check("train.phases.1"), "combines all with other names"),
        (lambda: PhaseConfig(epochs=0).check("train.phases.1"), "train.phases.1.epochs=0"),
        (
            lambda: PhaseConfig(learning_rate_factor=0.0).check("train.phases.1"),
            "train.phases.1.learning_rate_factor=0",
        ),
        (lambda: PhaseConfig(input_px=8).check("train.phases.1"), "train.phases.1.input_px=8"),
        (lambda: PhaseConfig(weight_decay=-1.0).check("train.phases.1"), "train.phases.1.weight_decay=-1"),
        (lambda: PhaseConfig(batch_size=0).check("train.phases.1"), "train.phases.1.batch_size=0"),
        (lambda: TrainConfig(phases=[]), "train.phases=[] is empty"),
        (lambda: TrainConfig(label_smoothing=1.0), "train.label_smoothing=1"),
        (lambda: TrainConfig(mixup=-0.1), "train.mixup=-0.1"),
        (lambda: TrainConfig(batch_norm_decay=1.1), "train.batch_norm_decay=1.1"),
        (lambda: TrainConfig(patience_epochs=0), "train.patience_epochs=0"),
        (lambda: TrainConfig(class_weights={"ant": -1.0}), "train.class_weights.ant=-1"),
        (lambda: CacheConfig(views=-1), "train.cache.views=-1"),
        (lambda: CacheConfig(budget_mb=-1), "train.cache.budget_mb=-1"),
    ],
)
def test_invalid_values_are_rejected_and_named(make, said):
    with pytest.raises(UserError, match=re.escape(said)):
        make()


def test_the_train_stage_does_not_import_tensorflow():
    code = "import slimline.stages.train, sys; assert 'tensorflow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
