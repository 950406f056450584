"""The folds of a cross-validation, as settings of the stages that each fold runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from slimline.pipeline.errors import UserError
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.splitting.config import SplitBy, SplitConfig
from slimline.stages.evaluation.config import EvaluateConfig, Split


def fold_name(fold: int) -> str:
    """Return the name of a fold's part of a run; `fold` is the value of `ingest.split.fold`."""
    return f"fold {fold}"


def fold_settings(configs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the settings of `ingest` and `evaluate` for each fold, from the configs of all stages.

    Raises:
        UserError: a setting contradicts a cross-validation, which tests every photo of every fold.
    """
    for needed in ("ingest", "evaluate"):
        if needed not in configs:
            raise UserError(
                f"crossval needs the stage {needed}, which this experiment does not have.",
                f"Choose an option for it: {needed}=...",
            )
    ingest, evaluate = configs["ingest"], configs["evaluate"]
    _check_split(ingest)
    _check_evaluation(evaluate)
    folds = ingest.split.folds
    tested = replace(evaluate, split=Split.test)
    splits = [replace(ingest.split, by=SplitBy.folds, fold=fold, test=SplitConfig().test) for fold in range(folds)]
    return {fold_name(split.fold): {"ingest": replace(ingest, split=split), "evaluate": tested} for split in splits}


def _check_split(ingest: IngestConfig) -> None:
    split = ingest.split
    if split.by is not SplitBy.hash:
        raise UserError(
            f"ingest.split.by={split.by.value} cannot be used with crossval: it tests each photo in one of"
            f" ingest.split.folds={split.folds} folds, whatever split the source states.",
            "Remove it.",
        )
    if split.fold:
        raise UserError(
            f"ingest.split.fold={split.fold} cannot be used with crossval: it tests every fold.",
            f"Remove it. For one fold alone: +experiment=flowers ingest.split.by=folds ingest.split.fold={split.fold}",
        )
    if split.test:
        raise UserError(
            f"ingest.split.test={split.test:g} cannot be used with crossval: it tests all photos.",
            f"Set the number of folds instead: ingest.split.folds={max(2, min(100, round(100 / split.test)))}",
        )


def _check_evaluation(evaluate: EvaluateConfig) -> None:
    if evaluate.model is not None:
        raise UserError(
            f"evaluate.model={evaluate.model} cannot be used with crossval: it tests models that it trains.",
            "Remove it.",
        )
    if evaluate.split is not Split.validation:
        raise UserError(
            f"evaluate.split={evaluate.split.value} cannot be used with crossval: each fold is tested.", "Remove it."
        )
    for one in fields(evaluate.at_least):
        if (least := getattr(evaluate.at_least, one.name)) is not None:
            raise UserError(
                f"evaluate.at_least.{one.name}={least:g} cannot be used with crossval: there is one model per fold.",
                "Remove it, and compare the result in metrics.json yourself.",
            )
