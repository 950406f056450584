"""Plans: what a run would do for each stage, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from slimline.pipeline.artifact import Artifact, canonical_json
from slimline.pipeline.errors import Undecided, UserError
from slimline.pipeline.keys import key_parts, make_key, settled_choices
from slimline.pipeline.stage import Stage
from slimline.pipeline.store import Store

MOST_REASONS = 3


@dataclass(frozen=True)
class Step:
    """One stage of a plan: its key, if it can be known already, and why it would run (empty: it is cached)."""

    stage: str
    key: str | None
    reason: str

    def line(self) -> str:
        """Format the step as one line of a plan."""
        state = "runs  " if self.reason else "cached"
        return f"{self.stage + ' ':<10}{state}  {(self.key or '')[:12]:<12}  {self.reason}".rstrip()


def order_stages(stages: Mapping[str, Stage], configs: Mapping[str, Any], targets: Iterable[str]) -> list[Stage]:
    """List the stages that the targets need, inputs first; stages that are never cached come last.

    A stage that follows others is listed after each of them, so it can occur more than once.
    """
    ordered: dict[str, Stage] = {}

    def visit(name: str) -> None:
        stage = stages[name]
        for wanted in sorted(stage.required) if stage.follows else stage.needs(configs[name]):
            if wanted not in configs:
                raise UserError(
                    f"{name} needs the stage {wanted}, which this experiment does not have.",
                    f"Choose an option for it: {wanted}=...",
                )
            if wanted not in ordered:
                visit(wanted)
        if not stage.follows:
            ordered[name] = stage

    for target in targets:
        visit(target)
    followers = [stage for stage in stages.values() if stage.follows and stage.name in configs]
    found: list[Stage] = []
    for stage in sorted(ordered.values(), key=lambda stage: not stage.cache):
        found.append(stage)
        made = {one.name for one in found}
        found += [one for one in followers if stage.name in one.follows and one.required <= made]
    return found


def make_plan(
    stages: Iterable[Stage],
    configs: dict[str, Any],
    store: Store,
    force: Iterable[str] = (),
    plan_only: bool = False,
) -> list[Step]:
    """Resolve each stage's config in place, with the stage's `resolve`, and return what a run would do.

    A stage that needs the output of a stage that would run has no key yet: the digest of that output is unknown.
    """
    made: dict[str, Artifact] = {}
    steps = []
    for stage in {stage.name: stage for stage in stages}.values():
        key, reason = None, ""
        try:
            if stage.resolve:
                configs[stage.name] = stage.resolve(configs[stage.name], plan_only)
        except Undecided as undecided:
            reason = str(undecided)
        config = configs[stage.name]
        open_inputs = [name for name in stage.needs(config) if name not in made]
        if not stage.cache:
            reason = reason or "always"
        elif not reason and open_inputs:
            reason = f"input: {', '.join(open_inputs)}"
        elif not reason:
            inputs = {name: made[name] for name in stage.needs(config)}
            choices = settled_choices(stage, config, inputs)
            parts = key_parts(stage, config, inputs, store.code.read(stage, choices), store.contents)
            key = make_key(parts)
            artifact = store.find(stage.name, key)
            if stage.name in force:
                reason = "forced: run.force names it"
            elif artifact:
                made[stage.name] = replace(artifact, choices=choices)
            else:
                reason = why(parts, store.all_of(stage.name))
        steps.append(Step(stage.name, key, reason))
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
