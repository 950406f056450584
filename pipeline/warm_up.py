"""Warm-up: a thread imports what the stages need, while the main thread plans and reads what is cached."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from types import ModuleType

from slimline.pipeline.stage import Stage


class WarmUp:
    """Imports the modules that stages name in `imports`, in a thread, one after the other, in the order of `add`.

    A stage must not run before `wait(stage)` returns: if two threads import parts of one package at the same time,
    either can see the other's part half initialized.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(1, "warm-up")
        self._imports: dict[str, Future[ModuleType]] = {}

    def add(self, stages: Iterable[Stage]) -> None:
        """Begin to import the modules of stages that will run, without those that are imported already."""
        for name in (name for stage in stages for name in stage.imports):
            if name not in sys.modules and name not in self._imports:
                self._imports[name] = self._executor.submit(import_module, name)

    def wait(self, stage: Stage) -> None:
        """Wait until the modules of a stage are imported.

        Raises:
            Exception: what the import of one of them raised.
        """
        for name in stage.imports:
            if name in self._imports:
                self._imports[name].result()
