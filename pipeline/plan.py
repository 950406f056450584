"""Plans: what a run would do for each stage, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slimline.pipeline.artifact import Artifact, canonical_json
from slimline.pipeline.errors import Undecided
from slimline.pipeline.keys import find_key
from slimline.pipeline.store import Store
from slimline.pipeline.tasks import Task

MOST_REASONS = 3
WIDTH = 10
"""The width of the column of names: more than the longest name of a stage."""


@dataclass(frozen=True)
class Step:
    """One task of a plan: its key, if it can be known already, and why it would run (empty: it is cached)."""

    stage: str
    key: str | None
    reason: str

    def line(self, width: int = WIDTH) -> str:
        """Format the step as one line of a plan; `width` is that of the column of names."""
        state = "runs  " if self.reason else "cached"
        return f"{self.stage:<{width}}{state}  {(self.key or '')[:12]:<12}  {self.reason}".rstrip()


def make_plan(
    tasks: Iterable[Task],
    configs: dict[str, Any],
    store: Store,
    force: Iterable[str] = (),
    plan_only: bool = False,
) -> list[Step]:
    """Resolve each task's config in place, with the stage's `resolve`, and return what a run would do.

    A stage that needs the output of a stage that would run has no key yet: the digest of that output is unknown.
    """
    made: dict[str, Artifact] = {}
    steps = []
    for task in {task.name: task for task in tasks}.values():
        stage, key, reason = task.stage, None, ""
        try:
            if stage.resolve:
                configs[task.name] = stage.resolve(configs[task.name], plan_only)
        except Undecided as undecided:
            reason = str(undecided)
        config = configs[task.name]
        open_inputs = [name for name, ones in task.sources(config).items() if not made.keys() >= set(ones)]
        if not stage.cache:
            reason = reason or "always"
        elif not reason and open_inputs:
            reason = f"input: {', '.join(open_inputs)}"
        elif not reason:
            keyed = find_key(stage, config, task.inputs(config, made), store.code, store.contents)
            key = keyed.key
            artifact = store.find(stage.name, key)
            if stage.name in force:
                reason = "forced: run.force names it"
            elif artifact:
                made[task.name] = replace(artifact, choices=keyed.choices)
            else:
                reason = why(keyed.parts, store.all_of(stage.name))
        steps.append(Step(task.name, key, reason))
    return steps


def why(parts: Mapping[str, Any], earlier: Iterable[Artifact]) -> str:
    """Describe the differences from the nearest earlier key: the one with the fewest, and the latest of equals."""
    nearest: list[str] | None = None
    for artifact in earlier:
        found = list(_differences(parts, artifact.parts))
        if nearest is None or len(found) < len(nearest):
            nearest = found
    if nearest is None:
        return "first time"
    shown = "; ".join(nearest[:MOST_REASONS])
    rest = len(nearest) - MOST_REASONS
    return f"{shown}; and {rest} more" if rest > 0 else shown


def _differences(now: Mapping[str, Any], before: Mapping[str, Any]) -> Iterator[str]:
    if now.get("format") != before.get("format"):
        yield f"store format {before.get('format')} -> {now.get('format')}"
    new, old = _flat(now.get("config", {})), _flat(before.get("config", {}))
    for name in _changed(new, old):
        yield f"config: {name} {_short(old.get(name, 'absent'))} -> {_short(new.get(name, 'absent'))}"
    for part in ("code", "inputs", "versions"):
        new, old = now.get(part, {}), before.get(part, {})
        for name in _changed(new, old):
            label = {"code": "code", "inputs": "input", "versions": "version"}[part]
            change = f" {old.get(name, 'absent')} -> {new.get(name, 'absent')}" if part == "versions" else ""
            yield f"{label}: {name}{change}"


def _changed(new: Mapping[str, Any], old: Mapping[str, Any]) -> list[str]:
    """Return the names whose values differ as JSON: 1, 1.0 and true are three values."""
    both = sorted({*new, *old})
    return [
        name
        for name in both
        if name not in new or name not in old or canonical_json(new[name]) != canonical_json(old[name])
    ]


def _flat(values: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(values, Mapping) or (prefix and not values):
        return {prefix: values}
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{prefix}.{name}" if prefix else name))
    return flat


def _short(value: Any) -> str:
    """Format a value; a digest is shortened to its first digits."""
    text = str(value)
    return f"{text[:8]}…" if len(text) == 64 and all(digit in "0123456789abcdef" for digit in text) else text
