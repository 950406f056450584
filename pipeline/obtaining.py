"""Obtaining an artifact: the one in the store, or a new one from the stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Artifact, Facts, empty_folder
from slimline.pipeline.code import Choices
from slimline.pipeline.errors import UserError
from slimline.pipeline.keys import given_artifacts, key_parts, make_key, settled_choices
from slimline.pipeline.memo import Memo
from slimline.pipeline.stage import Inputs, Stage
from slimline.pipeline.store import Store


def obtain(
    stage: Stage, config: Any, inputs: Mapping[str, Inputs], store: Store, force: bool = False
) -> tuple[Artifact, Facts, bool]:
    """Return the artifact of a stage, its facts with the notes of its memo, and whether it was in the store already.

    Raises:
        UserError: the stage cannot do its work, or its input files changed while it read them.
    """
    present = given_artifacts(inputs)
    choices = settled_choices(stage, config, present)
    given = _memo(stage, choices, store, force)
    artifact, cached = _obtain(stage, config, present, choices, {**inputs, **given}, store, force)
    return replace(artifact, choices=choices), {**artifact.facts, **notes_of(given)}, cached


def given_memo(stage: Stage, config: Any, inputs: Mapping[str, Inputs], store: Store, force: bool) -> dict[str, Any]:
    """Return the memo of a stage that takes one, as its argument; with `force` the memo is emptied."""
    return _memo(stage, settled_choices(stage, config, given_artifacts(inputs)), store, force)


def notes_of(given: Mapping[str, Any]) -> Facts:
    """Return the facts that a memo adds to those of its stage."""
    memo = given.get("memo")
    return memo.notes if isinstance(memo, Memo) else {}


def _memo(stage: Stage, choices: Choices, store: Store, force: bool) -> dict[str, Any]:
    if not stage.wants_memo:
        return {}
    relevant = {table: () if table in stage.memo_without else chosen for table, chosen in choices.items()}
    return {"memo": store.memo(stage.name, store.code.read(stage, relevant), fresh=force)}


def _obtain(
    stage: Stage,
    config: Any,
    present: Mapping[str, Artifact],
    choices: dict[str, list[str]],
    given: Mapping[str, Any],
    store: Store,
    force: bool,
) -> tuple[Artifact, bool]:
    code = store.code.read(stage, choices)
    parts = key_parts(stage, config, present, code, store.contents)
    key = make_key(parts)

    def make(out: Path) -> Facts:
        facts = stage(config, out, **given)
        if make_key(key_parts(stage, config, present, code, store.contents)) != key:
            empty_folder(out)
            raise UserError(
                f"The input files of {stage.name} changed while they were read.",
                "Nothing was kept. Run the same command again.",
            )
        return facts

    return store.obtain(stage, key, parts, make, force)
