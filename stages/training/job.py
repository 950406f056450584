"""Inputs of a training: its config, the model and the data, which do not change while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.stages.data.storing.features import feature_scale, read_features, read_training_features
from slimline.stages.models.assemble import first_head_weights
from slimline.stages.models.card import Card, read_card, with_input
from slimline.stages.models.trained import initial_weights
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.weights.restore import in_scopes
from slimline.stages.training.config import Switch, TrainConfig
from slimline.stages.training.network import PhaseNetwork, phase_network
from slimline.stages.training.optimizer_config import check_scopes
from slimline.stages.training.rules import chance_loss

SPLITS = ("train", "validation")
MOST_CLASSES_NAMED = 20


@dataclass(frozen=True)
class Job:
    """Inputs of a training.

    `folder` is the artifact's folder, and `ingest` that of the ingested photos. `initial` holds the assembled model's
    variables by name. `features` holds the features [count, width] and labels [count] of the training photos (with
    those of their mirror images, if these were computed) and the validation photos, if a phase needs them; `scale` is
    the factor that multiplies the head's features. `networks` has one network per phase, and `class_weights` [classes]
    multiplies the losses. `signal()` returns the received signal, or None.
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
        """Return the names of the variables that the phases up to and including phase `number` change."""
        return list(dict.fromkeys(name for network in self.networks[: number + 1] for name in network.changing()))

    def chance_loss(self) -> float:
        """Return the loss of a uniform random guess, in nats; with class weights, its maximum."""
        return chance_loss(len(self.card.labels), self.class_weights)


def make_job(
    config: TrainConfig,
    out: Path,
    *,
    ingest: Artifact,
    base: Artifact,
    head: Artifact,
    features: Artifact | None,
    memo: Memo,
    signal: Callable[[], int | None],
) -> Job:
    """Read the inputs of a training, check the whole config against them, and build the network of each phase.

    Raises:
        UserError: no variable is in a scope, or a class weight names an unknown class.
    """
    card = replace(with_input(read_card(head.path, base.path), config.image_px), flips=config.average_flips)
    initial = initial_weights(base.path, head.path)
    arrays = read_arrays(features.path) if features else {}
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


def read_arrays(features: Path) -> dict[str, tuple[NDArray[np.float32], NDArray[np.int64]]]:
    """Return the features [count, width] and labels [count] of the training and validation photos, by split.

    If the mirror images of the training photos have features too, each epoch trains on both.
    """
    training, validation = SPLITS
    return {training: read_training_features(features), validation: read_features(features / f"{validation}.arrow")}


def make_network(
    config: TrainConfig, card: Card, names: Mapping[str, Any], number: int, *, cut: bool = True
) -> PhaseNetwork:
    """Build a phase's network, fused as in the config; `names` are all variables' names. See `phase_network`."""
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
    """Return the weight of each class [classes], 1 for classes that are not in `weights`; None if `weights` is empty.

    Raises:
        UserError: a name in `weights` is not a class.
    """
    if not weights:
        return None
    for name in weights:
        if name not in labels:
            more = ", ..." if len(labels) > MOST_CLASSES_NAMED else ""
            raise UserError(
                f"train.class_weights names {name!r}, which is not a class of these photos.",
                f"The classes are: {', '.join(labels[:MOST_CLASSES_NAMED])}{more}.",
            )
    return np.array([weights.get(name, 1.0) for name in labels], np.float32)
