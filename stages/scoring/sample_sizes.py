"""Sample sizes: how many photos a figure needs. Every mark of few photos, on a terminal or a page, is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

LEAST_EVALUATED = 50
"""With fewer photos the 95% interval of an accuracy of 90% is wider than 17 points."""

LEAST_OF_CLASS, LEAST_TRAINING_OF_CLASS = 10, 20
"""With fewer evaluated photos the interval of a class's recall is wider than 28 points, whatever the recall."""

LEAST_VALIDATION = 50
"""With fewer validation photos nothing is calibrated: see `slimline.stages.scoring.calibration`."""


def enough_to_calibrate(validation_photos: int) -> bool:
    """Say whether there are enough validation photos to fit a temperature and a reject threshold."""
    return validation_photos >= LEAST_VALIDATION


def few_photos(evaluated: Mapping[str, int], training: Mapping[str, int] | None) -> dict[str, Any]:
    """Return what there are few photos of, as JSON values, from the numbers of photos by class.

    `split` is true if all evaluated photos are few. `classes` holds the numbers of evaluated and training photos of
    each class that has few of either; `training` is None if the training photos are not known.
    """
    counts = {name: (count, None if training is None else training.get(name, 0)) for name, count in evaluated.items()}
    return {
        "split": sum(evaluated.values()) < LEAST_EVALUATED,
        "classes": {
            name: {"evaluated": tested, "training": trained}
            for name, (tested, trained) in counts.items()
            if few_of_class(tested, trained)
        },
    }


def few_of_class(evaluated: int, training: int | None, split: str = "test") -> str:
    """Return the numbers of a class's photos that are too low, such as `6 test, 14 training`, or an empty text."""
    low = [f"{evaluated:,} {split}"] if evaluated < LEAST_OF_CLASS else []
    if training is not None and training < LEAST_TRAINING_OF_CLASS:
        low.append(f"{training:,} training")
    return ", ".join(low)


def marks(few: Mapping[str, Any] | None, split: str) -> dict[str, str]:
    """Return for each class with few photos the numbers that are too low; `few` is None in earlier versions' runs."""
    classes = few["classes"] if few else {}
    return {name: few_of_class(row["evaluated"], row["training"], split) for name, row in classes.items()}
