"""Descriptions of exported models: their class names, their preprocessing, and their calibration."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from slimline.pipeline.artifact import write_text
from slimline.pipeline.errors import UserError
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.models.card import Card
from slimline.stages.models.formats import DESCRIPTION
from slimline.stages.networks.weights.user_weights import RANDOM
from slimline.stages.scoring.calibration import Calibration

VERSION = 1


class Description(NamedTuple):
    """What a model needs that its own file may not contain."""

    labels: list[str]
    preprocessing: Preprocessing
    calibration: Calibration
    network: str
    base_weights: str

    @property
    def trained(self) -> bool:
        """Whether the base has trained weights, not random ones."""
        return self.base_weights != RANDOM


def describe(card: Card, calibration: Calibration) -> Description:
    """Return a trained model's description."""
    return Description(card.labels, card.preprocessing, calibration, card.network, card.weights)


def description_json(one: Description) -> str:
    """Return a description as JSON; the documentation explains its keys."""
    values: dict[str, Any] = {
        "version": VERSION,
        "network": one.network,
        "base_weights": one.base_weights,
        "labels": one.labels,
        "preprocessing": asdict(one.preprocessing),
        **one.calibration._asdict(),
    }
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"


def write_description(folder: Path, one: Description) -> None:
    """Write `model.json` into a folder."""
    write_text(folder / DESCRIPTION, description_json(one))


def parse_description(text: str, origin: Path) -> Description:
    """Read a description from JSON.

    Raises:
        UserError: Slimline didn't write it, or a newer version did.
    """
    try:
        values = json.loads(text)
        if values["version"] != VERSION:
            raise ValueError(f"it has version {values['version']}, but only version {VERSION} is supported")
        return Description(
            values["labels"],
            Preprocessing(**values["preprocessing"]),
            Calibration(values["temperature"], values["threshold"]),
            values["network"],
            values["base_weights"],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"{origin} doesn't describe a model: {error}.",
            "Choose a model that Slimline exported, with its model.json.",
        ) from error


def read_description(model: Path) -> Description:
    """Read the `model.json` next to a model's file.

    Raises:
        UserError: it doesn't exist, or can't be read.
    """
    path = model.parent / DESCRIPTION
    if not path.is_file():
        raise UserError(
            f"{model} has no {DESCRIPTION} next to it, which contains its class names and its preprocessing.",
            f"Copy {DESCRIPTION} from the folder of the export to {path}.",
        )
    return parse_description(path.read_text(encoding="utf-8"), path)
