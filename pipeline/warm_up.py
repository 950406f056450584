"""Warm-up: a thread imports what the stages need, while the run is set up and other stages work."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from functools import wraps
from importlib import import_module
from types import ModuleType
from typing import Any

from slimline.pipeline.artifact import Facts
from slimline.pipeline.stage import Stage


def with_imports(stages: Mapping[str, Stage], imports: Mapping[str, tuple[str, ...]]) -> dict[str, Stage]:
    """Return stages that import these modules, listed by the stages' names, in advance.

    Only a process that is a command of its own may do so: while TensorFlow is imported, what is written to the error
    stream's descriptor is discarded, and an application's log may go there.
    """
    return {name: replace(stage, imports=imports.get(name, ())) for name, stage in stages.items()}


class WarmUp:
    """Imports the modules that stages name in `imports`, in a thread, in order, without those imported already."""

    def __init__(self, stages: Iterable[Stage]) -> None:
        """Begin with the imports of `stages`, which will run."""
        self._executor = ThreadPoolExecutor(1, "warm-up")
        self._imports: dict[str, Future[ModuleType]] = {}
        for name in dict.fromkeys(name for stage in stages for name in stage.imports):
            if name not in sys.modules:
                self._imports[name] = self._executor.submit(import_module, name)

    def awaited(self, stage: Stage) -> Stage:
        """Return a stage that first waits until its modules are imported, and raises what their import raised.

        If two threads import parts of one package at the same time, either can see the other's part half initialized.
        """
        pending = [self._imports[name] for name in stage.imports if name in self._imports]

        @wraps(stage.function)
        def work(*arguments: Any, **inputs: Any) -> Facts:
            for one in pending:
                one.result()
            return stage.function(*arguments, **inputs)

        return replace(stage, function=work) if pending else stage

    def end(self) -> None:
        """Begin no further import, so that nothing delays the end of the command."""
        self._executor.shutdown(wait=False, cancel_futures=True)
