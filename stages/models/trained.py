"""Trained models: a base, a head and a training, of which each artifact holds only what it added or changed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from slimline.stages.models.card import Card, read_card
from slimline.stages.networks.architectures.head_scope import SCOPE
from slimline.stages.networks.weights.checkpoint import read_checkpoint, variable_names
from slimline.stages.networks.weights.parts import BEST, MODEL


class TrainedModel(NamedTuple):
    """The folders of a model's artifacts. Those of head and train of earlier versions hold the whole model."""

    base: Path
    head: Path
    train: Path

    def card(self) -> Card:
        """Read the model's card."""
        return read_card(self.train, self.base)

    def weights(self) -> dict[str, Any]:
        """Read all variables by name, with the best weights of those that were trained."""
        return read_checkpoint(self.train / BEST, [self.head / MODEL, self.base / MODEL])


def trained_head_only(train: Path) -> bool:
    """Return whether a training changed variables of the head only, so that the layers below are those of the base.

    Of a training by an earlier version, whose checkpoint holds the whole model, that is not known: False.
    """
    return all(name.startswith(f"{SCOPE}/") for name in variable_names(train / BEST))


def initial_weights(base: Path, head: Path) -> dict[str, Any]:
    """Read all variables of a head on its base by name, before a training."""
    return read_checkpoint(head / MODEL, [base / MODEL])
