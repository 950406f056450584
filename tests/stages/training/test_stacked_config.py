"""Which points of a sweep train together, and the key of a stack."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.cli import CONF, STAGES
from slimline.pipeline.code import Code
from slimline.pipeline.composing import compose_config
from slimline.pipeline.config import register_schemas
from slimline.pipeline.content import ContentDigests
from slimline.pipeline.keys import key_parts, make_key, settled_choices
from slimline.pipeline.refusals import REFUSALS, explain
from slimline.pipeline.settings import config_keys
from slimline.stages.images.augmentation_config import CropConfig
from slimline.stages.models.head_config import Activation, HeadConfig, MlpConfig
from slimline.stages.table import TOGETHER
from slimline.stages.training.config import BatchNorm, FusedConfig, Keep, PhaseConfig, Switch, TrainConfig
from slimline.stages.training.optimizer_config import AdamConfig, MomentumConfig, OptimizerConfig
from slimline.stages.training.schedule_config import Schedule

LINEAR, MLP = HeadConfig(seed=0), MlpConfig(seed=0)
TRAIN = TrainConfig(optimizer=MomentumConfig(), network="toy", seed=0)
PHASE = PhaseConfig()
stacked = TOGETHER["train"]


@dataclass
class OwnHead(HeadConfig):
    """A plug-in's head."""

    kind: str = "own"

    def __post_init__(self) -> None: ...


@dataclass
class OwnOptimizer(OptimizerConfig):
    """An optimizer that is not in the table."""


def point(head: HeadConfig = LINEAR, **settings: Any) -> dict[str, Any]:
    return {"ingest": object(), "base": object(), "head": head, "train": replace(TRAIN, **settings)}


def optimized(**settings: Any) -> dict[str, Any]:
    return point(optimizer=MomentumConfig(**settings))


@pytest.mark.parametrize(
    "other",
    [
        optimized(learning_rate=0.003),
        optimized(momentum=0.5, weight_decay=0.1),
        optimized(schedule=Schedule.plateau, plateau_factor=0.5),
        point(label_smoothing=0.1, seed=4, patience_epochs=3, keep=Keep.last),
        point(phases=[replace(PHASE, epochs=5, weight_decay=0.1, learning_rate_factor=2.0)]),
        point(HeadConfig(seed=3, dropout=0.5)),
        point(average_flips=True),
        point(checkpoint_seconds=1.0),
    ],
)
def test_points_that_differ_in_numbers_train_together(other: dict[str, Any]) -> None:
    assert stacked.alike(other) == stacked.alike(point()) is not None


@pytest.mark.parametrize(
    "other",
    [
        point(MLP),
        point(MlpConfig(seed=0, widths=[64])),
        point(MlpConfig(seed=0, activation=Activation.tanh)),
        point(batch_size=32),
        point(phases=[replace(PHASE, batch_size=32)]),
        point(optimizer=AdamConfig()),
        optimized(nesterov=True),
        optimized(clip_norm=1.0),
        optimized(clip_value=1.0),
        optimized(ema_decay=0.9),
    ],
)
def test_points_that_differ_in_more_than_numbers_are_in_different_stacks(other: dict[str, Any]) -> None:
    assert None not in (stacked.alike(other), stacked.alike(point()))
    assert stacked.alike(other) != stacked.alike(point())


@pytest.mark.parametrize(
    "other",
    [
        point(phases=[PHASE, PHASE]),
        point(phases=[replace(PHASE, trainable=["head", "upper"])]),
        point(phases=[replace(PHASE, batch_norm=BatchNorm.update)]),
        point(augmentation=CropConfig()),
        point(image_px=240),
        point(mixup=0.1),
        point(balance=True),
        point(class_weights={"rose": 2.0}),
        point(find_learning_rate=True),
        point(profile_steps=5),
        point(fused=FusedConfig(bfloat16=Switch.always)),
        optimized(accumulate_steps=2),
        optimized(learning_rate_factors={"Head": 0.1}),
        point(optimizer=OwnOptimizer()),
        point(OwnHead(seed=0)),
        {"ingest": object(), "train": TRAIN},
        {"head": LINEAR},
    ],
)
def test_a_point_that_asks_for_more_trains_alone(other: dict[str, Any]) -> None:
    assert stacked.alike(other) is None


def test_the_config_holds_the_points_in_their_order() -> None:
    points = [point(MLP), point(seed=1)]
    found = stacked.config(points)
    assert [(one.head, one.train) for one in found.members] == [(one["head"], one["train"]) for one in points]
    [references] = settled_choices(stacked.stage, found, {}).values()
    assert [one.rpartition(":")[2] for one in references] == ["LINEAR", "MLP", "make_head"]


@pytest.fixture
def key(tmp_path: Path) -> Any:
    def make(*points: dict[str, Any]) -> str:
        parts = key_parts(stacked.stage, stacked.config(points), {}, Code({}, {}), ContentDigests(tmp_path / "digests"))
        return make_key(parts)

    return make


def test_a_key_depends_on_every_member_and_their_order_and_not_on_untracked_settings(key: Any) -> None:
    one, other = point(), point(MLP, seed=1)
    assert key(one, other) == key(
        point(checkpoint_seconds=1.0), {**other, "train": replace(other["train"], profile_steps=9)}
    )
    different = [key(one, other), key(other, one), key(one), key(one, point(MLP, seed=2)), key(one, point(seed=1))]
    different += [key(one, {**other, "head": replace(MLP, dropout=0.1)}), key(one, other, other)]
    assert len(set(different)) == len(different)


def test_the_key_of_a_stack_is_made_of_these_parts(key: Any) -> None:
    assert key(point()) == "f416977f28e05c9c7b90691dc9844e53"


def test_stack_is_an_unknown_name_to_users() -> None:
    assert "stack" not in STAGES and "stack" not in config_keys(STAGES.values()).names
    register_schemas(STAGES.values())

    def answer(name: str) -> str:
        with pytest.raises(REFUSALS) as caught:
            compose_config(["+experiment=flowers", f"{name}=x"], [CONF], STAGES.values())
        return str(explain(caught.value, config_keys(STAGES.values())))

    assert answer("stack") == answer("unheardof").replace("unheardof", "stack")
    assert "stack is not a setting of this config" in answer("stack")
