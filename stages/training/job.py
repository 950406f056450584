"""What a training is given: its config, the model and the data, none of which changes while it runs."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.stages.data.storing.features import feature_scale, read_features
from slimline.stages.models.assemble import first_head_weights
from slimline.stages.models.card import Card, read_card, with_input
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.weights.checkpoint import read_checkpoint
from slimline.stages.networks.weights.restore import in_scopes
from slimline.stages.training.config import Switch, TrainConfig
from slimline.stages.training.network import PhaseNetwork, phase_network
from slimline.stages.training.optimizer_config import check_scopes

SPLITS = ("train", "validation")
MOST_CLASSES_NAMED = 20


@dataclass(frozen=True)
class Job:
    """What a training is given.

    `folder` is the artifact's, `ingest` that of the photos. `initial` holds the assembled model's variables by name;
    `features` holds train's and validation's features [count, width] and labels [count], where a phase wants them, and
    `scale` is what the head's features are multiplied by. `networks` has one for each phase, and `class_weights`
    [classes] multiplies the losses. `signal()` returns the signal that asks to stop, or None.
    """

    config: TrainConfig
    card: Card
    folder: Path
    ingest: Path
    initial: Mapping[str, Any]
    features: Mapping[str, tuple[NDArray[np.float32], NDArray[np.int64]]]
    scale: float
    networks: Sequence[PhaseNetwork]
    class_weights: NDArray[np.float32] | None
    memo: Memo
    signal: Callable[[], int | None]

    def changed(self, number: int) -> list[str]:
        """Name the variables that the phases up to one, and that one, change."""
        return list(dict.fromkeys(name for network in self.networks[: number + 1] for name in network.changing()))

    def chance_loss(self) -> float:
        """Return the loss of naming classes at random, in nats; at most, where classes have weights."""
        weights = self.class_weights
        return math.log(len(self.card.labels)) * (1.0 if weights is None else max(1.0, float(weights.max())))


def make_job(
    config: TrainConfig,
    out: Path,
    *,
    ingest: Artifact,
    head: Artifact,
    features: Artifact | None,
    memo: Memo,
    signal: Callable[[], int | None],
) -> Job:
    """Read what a training needs, check the whole config against it, and make the network of each phase.

    Raises:
        UserError: a scope names no variable, or a weight no class.
    """
    card = replace(with_input(read_card(head.path), config.image_px), flips=config.average_flips)
    initial = read_checkpoint(head.path / "model.ckpt")
    arrays = {split: read_features(features.path / f"{split}.arrow") for split in SPLITS} if features else {}
    weights = class_weights(config.class_weights, card.labels)
    check_scopes(config.optimizer, list(initial))
    return Job(
        config=config,
        card=card,
        folder=out,
        ingest=ingest.path,
        initial=initial,
        features=arrays,
        scale=float(feature_scale(arrays["train"][0])) if config.on_features(0) and first_head_weights(card) else 1.0,
        networks=[make_network(config, card, initial, number) for number in range(len(config.phases))],
        class_weights=weights,
        memo=memo,
        signal=signal,
    )


def make_network(
    config: TrainConfig, card: Card, names: Mapping[str, Any], number: int, *, cut: bool = True
) -> PhaseNetwork:
    """Make a phase's network, fused as the config has it; `names` are all variables'. See `phase_network`."""
    return phase_network(
        card,
        config.phases[number],
        [name for name in names if in_scopes(name, [SCOPE])],
        fuse=config.fused.batch_norm is Switch.always,
        pointwise=config.fused.pointwise is Switch.always,
        on_features=config.on_features(number),
        cut=cut,
    )


def class_weights(weights: Mapping[str, float], labels: Sequence[str]) -> NDArray[np.float32] | None:
    """Return each class's weight [classes] by the weights given by name, 1 where none is; None where none is given.

    Raises:
        UserError: a name is not a class.
    """
    if not weights:
        return None
    for name in weights:
        if name not in labels:
            more = ", ..." if len(labels) > MOST_CLASSES_NAMED else ""
            raise UserError(
                f"train.class_weights names {name!r}, which is no class of these photos.",
                f"The classes are: {', '.join(labels[:MOST_CLASSES_NAMED])}{more}.",
            )
    return np.array([weights.get(name, 1.0) for name in labels], np.float32)
