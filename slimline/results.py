"""Results of a run, read from its directory: settings, metrics, predictions and the model."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slimline.pipeline.errors import UserError
from slimline.pipeline.listing import DAMAGED
from slimline.pipeline.run import METRICS, VERSION, failures_of, read_manifest

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from slimline.stages.models.opened import OpenedModel
    from slimline.stages.serving.classified import Classified

log = logging.getLogger(__name__)

MANIFEST, LATEST = "manifest.json", "latest"
EVALUATION, CROSS_VALIDATION, PREDICTIONS = "artifacts/evaluate", "artifacts/crossval", "predictions.parquet"
OWN_COLUMNS = ("sha256", "label", "predicted", "score", "fold")
CLASS_COLUMN = "probability_"
"""The prefix of a class's column, so that a class named `label` or `score` does not collide with another column."""

BATCH_SIZE = 16
MOST_LISTED = 10


class Run:
    """A run, as `slimline.run` and `slimline.load` return it.

    Each property reads its file every time it is used, so it shows the progress of a run in another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.manifest['status']})"

    @property
    def manifest(self) -> Mapping[str, Any]:
        """The record of the run: `status`, `overrides`, `seconds`, and `stages` with their key, seconds and facts.

        `status` is `running`, `completed` or `failed`. A failed run also has its `error`.
        """
        return read_manifest(self.path)

    @property
    def failures(self) -> list[str]:
        """What the run could not do while it kept the rest, such as one of several export formats; normally empty."""
        return failures_of(self.manifest)

    @property
    def facts(self) -> dict[str, dict[str, Any]]:
        """The facts that each stage reports, by the stage's name: counts, measurements, timings."""
        return {name: dict(entry["facts"]) for name, entry in self.manifest["stages"].items()}

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the model: `top1`, `balanced_accuracy`, `per_class`, `confusion_matrix` and more.

        The dictionary is empty if the run evaluated nothing.
        """
        found: dict[str, Any] = json.loads((self.path / METRICS).read_text(encoding="utf-8"))
        return found

    @property
    def config(self) -> DictConfig:
        """The config of the run, read-only, with all defaults and choices filled in: `run.config.train.epochs`."""
        from omegaconf import DictConfig, OmegaConf

        config = OmegaConf.load(self.path / "config.yaml")
        assert isinstance(config, DictConfig)
        OmegaConf.set_readonly(config, True)
        return config

    def predictions(self) -> Any:
        """Return the model's predictions for the evaluated photos, one row per photo.

        Returns:
            A pandas `DataFrame` if pandas is installed, else a `pyarrow.Table`. Its columns are `path` (inside the
            folder of photos), `sha256`, `label` (the true class), `predicted`, `score` (the predicted class's
            probability), and `probability_<class>` for each class. Those of a cross-validation have the column `fold`
            after `score`.

        Raises:
            UserError: the run evaluated nothing.

        Example:
            >>> import slimline
            >>> table = slimline.load("runs/flowers/latest").predictions()
            >>> len(table)
            10
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        cross_validation = self.path / CROSS_VALIDATION
        folder = cross_validation if cross_validation.is_dir() else self.path / EVALUATION
        if not (folder / PREDICTIONS).is_file():
            raise UserError(
                f"{self.path} has no predictions: its stages are {self._stages()}.",
                "Load a run that has the stage evaluate, such as one made by slimline.run('flowers').",
            )
        measured = json.loads((folder / METRICS).read_text(encoding="utf-8"))
        rows = pq.read_table(folder / PREDICTIONS)
        scores = rows["probabilities"].combine_chunks()
        classes = list(measured["per_class"])
        names = [name for name in OWN_COLUMNS if name in rows.column_names]
        columns = {"path": rows["filename"], **{name: rows[name] for name in names}}
        for number, name in enumerate(classes):
            columns[CLASS_COLUMN + name] = scores.flatten()[number :: len(classes)]
        table = pa.table(columns)
        try:
            import pandas  # noqa: F401
        except ImportError:
            return table
        return table.to_pandas()

    def classify(self, paths: str | PathLike[str] | Iterable[str | PathLike[str]], top: int = 5) -> list[Classified]:
        """Classify photos with this run's model. The model is opened at the first call and kept.

        Args:
            paths: One or more photos, folders of photos, globs, or Parquet files with photos inside.
            top: The number of classes to return for each photo, the most likely first.

        Returns:
            For each photo, in order: its `path`; `guesses`, a list of (name, score); `unknown`, true if no score
            reaches `threshold`, which is None if the model has none; and `reason`, which says why a photo could not be
            used, or is empty. Files in a folder that are not photos are left out; a line is logged that counts them.

        Raises:
            UserError: a path does not exist, or the run has no model.

        Example:
            >>> import slimline
            >>> [photo] = slimline.load("runs/flowers/latest").classify("photo.jpg", top=2)
            >>> name, score = photo.guesses[0]
        """
        from slimline.stages.serving.classified import classified_photos
        from slimline.stages.serving.classify_settle import find_inputs
        from slimline.stages.serving.left_out import LeftOut

        given = [paths] if isinstance(paths, (str, PathLike)) else paths
        photos = find_inputs([fspath(path) for path in given])
        if not photos:
            return []
        model = self._model
        left_out = LeftOut()
        found = []
        for photo in classified_photos(
            model, photos, model.labels, threshold=model.threshold, top=top, batch_size=BATCH_SIZE
        ):
            if not photo.guesses:
                left_out.add(photo)
            if not photo.skipped:
                found.append(photo)
        if line := left_out.line(len(found) - left_out.count):
            log.info(line)
        return found

    @cached_property
    def _model(self) -> OpenedModel:
        from slimline.running_tensorflow import check_running_tensorflow

        check_running_tensorflow()
        from slimline.stages.models.formats import EVALUATED_MODEL, find_model
        from slimline.stages.models.opened_export import open_model

        evaluated = self.path / EVALUATION / EVALUATED_MODEL
        if not (self.path / "artifacts/export").exists() and not evaluated.exists():
            raise UserError(
                f"{self.path} has no model that can classify photos: its stages are {self._stages()}.",
                "Load a run that has the stage export or evaluate, such as one made by slimline.run('flowers').",
            )
        exported = (self.path / "artifacts/export").exists()
        return open_model(find_model(str(self.path if exported else evaluated), "slimline.load"), BATCH_SIZE)

    def _stages(self) -> str:
        return ", ".join(self.manifest["stages"]) or "none"


def load_run(path: str | PathLike[str]) -> Run:
    """Open a run's directory: see `slimline.load`."""
    given = Path(path).expanduser()
    found = given.resolve()  # follow `latest` now: a later run does not change this one
    if (found / MANIFEST).is_file():
        try:
            whole = {"status", "stages"} <= read_manifest(found).keys()
        except DAMAGED:
            whole = False
        if not whole:
            raise UserError(f"{found / MANIFEST} is damaged, so the run cannot be opened.", _what_to_load(given))
        return Run(found)
    raise UserError(f"{path} is not a run: it has no {MANIFEST} (looked in {given.absolute()}).", _what_to_load(given))


def _what_to_load(given: Path) -> str:
    """Suggest runs to load: those below the path, or below its nearest existing parent folder."""
    folder = next((one for one in (given, *given.parents) if one.is_dir()), Path())
    for pattern in ("", "*/", "*/*/", "runs/*/*/"):
        versions = [path.parent for path in folder.glob(pattern + MANIFEST)]
        newest = sorted(
            (path for path in versions if VERSION.fullmatch(path.name)),
            key=lambda path: (path / MANIFEST).stat().st_mtime,
            reverse=True,
        )
        if newest:
            links = sorted({path.parent / LATEST for path in newest if (path.parent / LATEST).exists()})
            shown = [str(path) for path in (*links, *newest)]
            more = f" and {len(shown) - MOST_LISTED} more" if len(shown) > MOST_LISTED else ""
            return f"Load one of: {', '.join(shown[:MOST_LISTED])}{more}."
    return "Pass the directory of a run, such as runs/flowers/latest. slimline.run('flowers') makes one."
