"""Obtaining an artifact: the one in the store, or a new one from the stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from slimline.pipeline.artifact import Artifact, Facts, empty_folder
from slimline.pipeline.code import Choices
from slimline.pipeline.errors import UserError
from slimline.pipeline.keys import find_key, given_artifacts, key_parts, make_key, settled_choices
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
    keyed = find_key(stage, config, inputs, store.code, store.contents)
    given = _memo(stage, keyed.choices, store, force)

    def make(out: Path) -> Facts:
        facts = stage(config, out, **inputs, **given)
        now = key_parts(stage, config, given_artifacts(inputs), keyed.code, store.contents)
        if make_key(now) != keyed.key:
            empty_folder(out)
            raise UserError(
                f"The input files of {stage.name} changed while they were read.",
                "Nothing was kept. Run the same command again.",
            )
        return facts

    artifact, cached = store.obtain(stage, keyed.key, keyed.parts, make, force)
    return replace(artifact, choices=keyed.choices), {**artifact.facts, **notes_of(given)}, cached


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
