"""Calibration on few validation photos: which temperature gives the best probabilities for photos that are new.

    python benchmarks/small_calibration.py runs/flowers/latest

Some of the run's photos of each class are drawn. The train stage trains a head on five sixths of them, and the others
validate it. All photos that were not drawn test three temperatures: the one that is fitted to the validation photos;
the one that is fitted to the training photos by 5-fold cross-validation (a head for each fold, trained for as many
epochs); and 1. The best possible temperature is fitted to the test photos themselves.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedKFold

from slimline.pipeline.artifact import Artifact, read_artifact
from slimline.pipeline.composing import compose_config
from slimline.pipeline.config import typed_configs
from slimline.pipeline.memo import Memo
from slimline.stages.data.storing.features import read_features
from slimline.stages.models.head import write_head
from slimline.stages.models.trained import TrainedModel
from slimline.stages.scoring.calibration import fit_temperature
from slimline.stages.scoring.metrics import proper_scores
from slimline.stages.scoring.probabilities import probabilities
from slimline.stages.table import STAGES
from slimline.stages.training.config import Keep

ROOT = Path(__file__).parents[1]
SIZES = ((2, 20), (3, 20), (5, 10), (5, 15), (5, 40), (5, 70))
"""The numbers of classes, and of the photos that are drawn of each."""

DRAWS, FOLDS, VALIDATION = 10, 5, 1 / 6


class Lab:
    """The features of a run's photos, and heads trained on some of them by the run's train stage."""

    def __init__(self, run: Path, folder: Path) -> None:
        config = compose_config(["+experiment=flowers"], [ROOT / "conf"], STAGES.values()).config
        self.configs = typed_configs(config, STAGES)[1]
        self.folder, self.count = folder, 0
        self.base = self._read(run, "base")
        splits = [read_features(run / f"artifacts/features/{name}.arrow") for name in ("train", "validation", "test")]
        self.features, self.labels = (np.concatenate(columns) for columns in zip(*splits, strict=True))

    def _read(self, run: Path, stage: str) -> Artifact:
        path = (run / "artifacts" / stage).resolve()
        return read_artifact(path, int(path.name))

    def _new(self, name: str) -> Path:
        self.count += 1
        made = self.folder / f"{self.count}-{name}"
        made.mkdir()
        return made

    def logits(self, classes: list[int], train: NDArray[Any], validation: NDArray[Any], **settings: Any) -> Any:
        """Train on photos by their numbers; return the logits of all photos, and the best epoch."""
        ingest, features, head, out = map(self._new, ("ingest", "features", "head", "train"))
        (ingest / "labels.txt").write_text("".join(f"{name}\n" for name in classes), encoding="utf-8")
        for split, rows in (("train", train), ("validation", validation)):
            values = pa.FixedSizeListArray.from_arrays(
                pa.array(self.features[rows].reshape(-1)), self.features.shape[1]
            )
            numbers = pa.array([classes.index(label) for label in self.labels[rows]], pa.int64())
            table = pa.table({"sha256": [str(row) for row in rows], "label": numbers, "features": values})
            with pa.OSFile(str(features / f"{split}.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as to:
                to.write_table(table)
        given = {
            "base": self.base,
            "ingest": Artifact("ingest", "k", 1, ingest, "i", 0.0, {"train": len(train)}, {}),
            "features": Artifact("features", "k", 1, features, "f", 0.0, {}, {}),
        }
        facts = write_head(self.configs["head"], head, self.base, given["ingest"])
        given["head"] = Artifact("head", "k", 1, head, "h", 0.0, facts, {})
        config = STAGES["train"].resolve(replace(self.configs["train"], **settings), False)
        facts = STAGES["train"](config, out, **given, memo=Memo(self.folder / "memo", {}, {}))
        values = TrainedModel(self.base.path, head, out).weights()
        return self.features @ values["Head/Logits/weights"] + values["Head/Logits/biases"], facts["best_epoch"]


def measure(lab: Lab, classes: int, photos: int, seed: int) -> dict[str, float]:
    """Return the temperatures of one draw, and the log loss of the test photos with each."""
    draw = np.random.default_rng(seed)
    names = sorted(draw.choice(np.unique(lab.labels), classes, replace=False).tolist())
    own = [draw.permutation(np.flatnonzero(lab.labels == name)) for name in names]
    drawn = draw.permutation(np.concatenate([rows[:photos] for rows in own]))
    test = np.concatenate([rows[photos:] for rows in own])
    validation, train = np.split(drawn, [round(VALIDATION * len(drawn))])
    truth = np.array([names.index(label) if label in names else -1 for label in lab.labels])
    logits, epochs = lab.logits(names, train, validation)
    unseen = np.zeros((len(train), classes), np.float32)
    for fit, rest in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(train, truth[train]):
        found, _ = lab.logits(
            names, train[fit], train[rest], keep=Keep.last, patience_epochs=10_000, phases=phases(lab, epochs)
        )
        unseen[rest] = found[train[rest]]
    temperatures = {
        "validation": fit_temperature(logits[validation], truth[validation]),
        "cross-validation": fit_temperature(unseen, truth[train]),
        "1": 1.0,
        "best possible": fit_temperature(logits[test], truth[test]),
    }
    losses = {
        name: proper_scores(truth[test], probabilities(logits[test] / one))["log_loss"]
        for name, one in temperatures.items()
    }
    return {"photos": len(validation), "top1": float(np.mean(logits[test].argmax(axis=1) == truth[test]))} | {
        f"{name} {what}": value
        for name in temperatures
        for what, value in (("temperature", temperatures[name]), ("loss", losses[name]))
    }


def phases(lab: Lab, epochs: int) -> list[Any]:
    """Return the one phase of the head, for a number of epochs."""
    [phase] = lab.configs["train"].phases
    return [replace(phase, epochs=epochs)]


def main(run: Path) -> None:
    """Print a row for each size: the medians of the temperatures with their range, and the mean losses."""
    with tempfile.TemporaryDirectory() as folder:
        lab = Lab(run, Path(folder))
        for classes, photos in SIZES:
            rows = [measure(lab, classes, photos, seed) for seed in range(DRAWS)]
            columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
            print(
                f"{classes} classes of {photos}: {columns['photos'][0]:.0f} validation photos,"
                f" top-1 {columns['top1'].mean():.1%}"
            )
            for name in ("validation", "cross-validation", "1", "best possible"):
                found, losses = columns[f"{name} temperature"], columns[f"{name} loss"]
                print(
                    f"  {name:<17} temperature {np.median(found):.2f} ({found.min():.2f} to {found.max():.2f}),"
                    f" log loss {losses.mean():.3f} (at most {losses.max():.3f})",
                    flush=True,
                )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
