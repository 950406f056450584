"""Several points of a sweep in one artifact: what the framework has to know about the stage that computes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from slimline.pipeline.stage import Stage

MEMBERS = "members"
"""The fact of such a stage: for each point, in order, the facts of the stage that it replaces, or `{"error": text}`."""


@dataclass(frozen=True)
class Together:
    """A stage that computes the work of another stage for several points of a sweep at once.

    `alike` takes the typed and resolved configs of a point, by stage, and returns a text: points of equal text can be
    computed together. None: the point must be computed alone. `config` takes the configs of such points and returns
    the config of `stage`, whose fact `members` then has an entry for each point, in their order.
    """

    stage: Stage
    alike: Callable[[Mapping[str, Any]], str | None]
    config: Callable[[Sequence[Mapping[str, Any]]], Any]
