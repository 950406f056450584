"""Benchmark of `features.flips`: heads that also train on the mirror images' features, against heads that do not.

    python benchmarks/mirrored_features.py ../shared/data/flower_photos [RUNS]

Two settings: `+experiment=flowers`, and the head phase of `+experiment=flowers_best` at its base's own image size
(needs the extra `lite`; its fine-tuning, which continues from that head, is not measured). In each, 5-fold
cross-validation over all photos, twice, with different folds: every photo is twice a test photo. The comparison is
paired: photos that become right ("fixed") against photos that become wrong ("broken"). The difference is more than
chance if it exceeds 2 sqrt(fixed + broken), twice its standard deviation.

Test photos are scored on their features, once as they are and once averaged with their mirror images'
(`train.average_flips`). A folder RUNS keeps the runs, so that an interrupted benchmark continues.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

import numpy as np
import pyarrow as pa
import yaml
from numpy.typing import NDArray

import slimline
from slimline.stages.data.storing.features import MIRRORED, feature_arrays
from slimline.stages.models.trained import TrainedModel

ROOT = Path(__file__).parent.parent
FOLDS, SALTS = 5, ("", "1")
FLIPS = (False, True)


def head_phase_of_flowers_best() -> list[str]:
    """Return the overrides that leave only the head phase of `flowers_best`, on images of the base's own size."""
    experiment = yaml.safe_load((ROOT / "conf/experiment/flowers_best.yaml").read_text(encoding="utf-8"))
    phase = {**experiment["train"]["phases"][0], "trainable": "[head]"}
    settings = ",".join(f"{name}:{str(value).lower()}" for name, value in phase.items())
    return [f"train.phases=[{{{settings}}}]", "train.image_px=null"]


SETTINGS = {"flowers": [], "flowers_best": head_phase_of_flowers_best()}


@dataclass(frozen=True)
class Fold:
    """A fold's test photos, and the head's weights [width, classes] and biases [classes] without and with flips."""

    sha256s: list[str]
    features: NDArray[np.float32]
    labels: NDArray[np.int64]
    heads: dict[bool, tuple[NDArray[np.float32], NDArray[np.float32]]]


def read_rows(path: Path) -> tuple[list[str], NDArray[np.float32], NDArray[np.int64]]:
    """Read sha256s, features and labels of a features file."""
    features, labels, sha256s = feature_arrays(pa.ipc.open_file(pa.memory_map(str(path))).read_all())
    return sha256s.to_pylist(), features, labels


def trained_folds(
    experiment: str, photos: Path, runs: Path, mirrored: dict[str, NDArray[np.float32]]
) -> Iterator[Fold]:
    """Train both heads of each fold, and collect the features of the training photos' mirror images by sha256."""
    for salt in SALTS:
        for fold in range(FOLDS):
            heads = {}
            for flips in FLIPS:
                run = slimline.run(
                    experiment,
                    f'ingest.images="{photos}"',
                    "ingest.split.by=folds",
                    f"ingest.split.folds={FOLDS}",
                    f"ingest.split.fold={fold}",
                    f'ingest.split.salt="{salt}"',
                    *SETTINGS[experiment],
                    f"features.flips={str(flips).lower()}",
                    f'run.directory="{runs}"',
                    "run.targets=[train]",
                )
                folders = (run.path / "artifacts" / stage for stage in TrainedModel._fields)
                values = TrainedModel(*folders).weights()
                biases = values["Head/Logits/biases"]
                heads[flips] = values["Head/Logits/weights"].reshape(-1, len(biases)), biases
            features = run.path / "artifacts/features"
            sha256s, values, _ = read_rows(features / f"{MIRRORED}.arrow")
            mirrored.update(zip(sha256s, values, strict=True))
            tested = read_rows(features / "test.arrow")
            print(f"{experiment}, salt {salt!r}, fold {fold}: {len(tested[0])} test photos", flush=True)
            yield Fold(*tested, heads)


def measure(experiment: str, photos: Path, runs: Path) -> None:
    """Cross-validate a setting, and print both comparisons."""
    mirrored: dict[str, NDArray[np.float32]] = {}
    folds = list(trained_folds(experiment, photos, runs, mirrored))
    labels = np.concatenate([fold.labels for fold in folds])
    names = [name for fold in folds for name in fold.sha256s]
    known = np.array([name in mirrored for name in names])
    right: dict[tuple[bool, bool], NDArray[np.bool_]] = {}
    for averaged in (False, True):
        for flips in FLIPS:
            logits = []
            for fold in folds:
                weights, biases = fold.heads[flips]
                features = fold.features
                if averaged:
                    others = [mirrored.get(name, own) for name, own in zip(fold.sha256s, features, strict=True)]
                    features = (features + np.array(others)) / 2
                logits.append(features @ weights + biases)
            right[averaged, flips] = np.concatenate(logits).argmax(axis=1) == labels
    for averaged in (False, True):
        compared = known if averaged else np.ones(len(labels), bool)
        without, with_flips = (right[averaged, flips][compared] for flips in FLIPS)
        fixed, broken = int((with_flips & ~without).sum()), int((without & ~with_flips).sum())
        needed = 2 * sqrt(fixed + broken)
        print(
            f"{experiment}, {'predictions averaged with mirror images' if averaged else 'photos as they are'}:"
            f" top-1 of {len(without):,} {without.mean():.2%} without, {with_flips.mean():.2%} with features.flips;"
            f" fixed {fixed}, broken {broken}, difference {fixed - broken} ({(fixed - broken) / len(without):+.2%}),"
            f" 2 sqrt(fixed + broken) {needed:.1f}: {'more than chance' if fixed - broken > needed else 'no gain'}",
            flush=True,
        )


def main() -> None:
    """Measure both settings."""
    photos = Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory() as name:
        runs = Path(sys.argv[2]).resolve() if len(sys.argv) > 2 else Path(name)
        for experiment in SETTINGS:
            measure(experiment, photos, runs)


if __name__ == "__main__":
    main()
