"""Training as a whole: its phases in turn, each from where the one before it was best."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from slimline.pipeline.errors import UserError
from slimline.pipeline.memo import Memo
from slimline.stages.backend.hardware import bfloat16_rewriting
from slimline.stages.models.card import Card
from slimline.stages.networks.architectures.heads import SCOPE
from slimline.stages.networks.weights.restore import in_scopes
from slimline.stages.training.config import PhaseConfig, Switch, TrainConfig
from slimline.stages.training.history import History
from slimline.stages.training.network import PhaseNetwork, phase_network
from slimline.stages.training.optimizer_config import check_scopes
from slimline.stages.training.state import TrainState

log = logging.getLogger(__name__)

Features = Mapping[str, tuple[NDArray[np.float32], NDArray[np.int64]]]


@dataclass
class Job:
    """What a training's phases share.

    `initial` holds the assembled model's variables by name, `features` train's and validation's features and labels
    where a phase wants them. `signal()` tells whether one came that ends the work, and which; `folder` is the
    artifact's. `examples` and `seconds` add up what was trained on in this process, and for how long; `validated` is in
    the end what the best weights make of the validation photos: logits [count, classes] and labels [count].
    """

    config: TrainConfig
    card: Card
    ingest: Path
    initial: Mapping[str, Any]
    features: Features
    memo: Memo
    state: TrainState
    history: History
    signal: Callable[[], int | None]
    folder: Path
    examples: int = 0
    seconds: float = 0.0
    validated: tuple[NDArray[np.float32], NDArray[np.int64]] = field(init=False)
    class_weights: NDArray[np.float32] | None = field(init=False)
    networks: list[PhaseNetwork] = field(init=False)

    def __post_init__(self) -> None:
        """Check the whole config against the network and the classes, and cut the network for each phase.

        Raises:
            UserError: a scope names no variable, or a weight no class.
        """
        self.class_weights = _class_weights(self.config, self.card.labels)
        check_scopes(self.config.optimizer, list(self.initial))
        self.networks = [
            self.network(phase, on_features=self.config.on_features(number))
            for number, phase in enumerate(self.config.phases)
        ]

    def network(self, phase: PhaseConfig, *, on_features: bool = False, cut: bool = True) -> PhaseNetwork:
        """Make a phase's network, fused as the config has it; see `phase_network`."""
        return phase_network(
            self.card,
            phase,
            [name for name in self.initial if in_scopes(name, [SCOPE])],
            fuse=self.config.fused.batch_norm is Switch.always,
            pointwise=self.config.fused.pointwise is Switch.always,
            on_features=on_features,
            cut=cut,
        )

    def steps_left(self, photos: int) -> list[tuple[str, int]]:
        """Return each phase's name and how many steps it has yet to do at most, by the number of training photos."""
        position, names, left = self.state.position, self.config.phase_names(), []
        for number, phase in enumerate(self.config.phases):
            steps = photos // min(phase.batch_size or self.config.batch_size, photos)
            done = position.epoch * steps + position.step if number == position.phase else 0
            left.append((names[number], 0 if number < position.phase else phase.epochs * steps - done))
        return left

    def changed(self, number: int) -> list[str]:
        """Name the variables that the phases up to one, and that one, change."""
        return list(dict.fromkeys(name for network in self.networks[: number + 1] for name in network.changing()))

    def facts(self) -> dict[str, Any]:
        """Return what is worth knowing of the training."""
        best, rows = self.state.position.best, self.history.rows
        facts = {
            "validation_top1": best["validation_accuracy"],
            "validation_loss": best["validation_loss"],
            "epochs": len(rows),
            "best_epoch": best["epoch"],
        }
        if self.state.position.gap is not None:
            facts["batch_norm_gap"] = self.state.position.gap
        if self.seconds:
            facts["examples_per_second"] = self.examples / self.seconds
        return facts


def _class_weights(config: TrainConfig, labels: list[str]) -> NDArray[np.float32] | None:
    if not config.class_weights:
        return None
    for name in config.class_weights:
        if name not in labels:
            raise UserError(
                f"train.class_weights names {name!r}, which is no class of these photos.",
                f"The classes are: {', '.join(labels[:20])}{', ...' if len(labels) > 20 else ''}.",
            )
    return np.array([config.class_weights.get(name, 1.0) for name in labels], np.float32)


def train_phases(job: Job, bar: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Run the phases that are left; return the best and the last weights, by name, for features as the base gives them.

    Raises:
        UserError: the loss is no number or grows without bounds, or the disk is full.
        Stopped: a signal came; a checkpoint is kept.
    """
    from slimline.stages.training.phase import PhaseRun

    state = job.state
    best = {**job.initial, **(state.best_values() if state.position.best_state else {})}
    last: dict[str, Any] = {}
    if state.resumed:
        log.info("train     goes on in phase %d, epoch %d", state.position.phase + 1, state.position.epoch + 1)
    with bfloat16_rewriting(job.config.fused.bfloat16 is Switch.always):
        for number in range(state.position.phase, len(job.config.phases)):
            run = PhaseRun(job, number, best, bar)
            run.train()
            last = {**best, **run.trainer.weights()}
            best = run.finish()
    first = f"{SCOPE}/{'fc_1' if (job.card.head or {}).get('widths') else 'Logits'}/weights"
    scale = np.float32(state.position.scale)  # what the head's features were multiplied by goes into its first weights
    return {**best, first: best[first] * scale}, {**last, first: last[first] * scale}
