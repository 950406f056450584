"""Imports in advance: begun for stages that will run, awaited by them, and with the errors of an ordinary import."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from threading import Event, main_thread
from typing import Any

import pytest

from slimline.pipeline.artifact import Artifact, Facts
from slimline.pipeline.run import read_manifest
from slimline.pipeline.warm_up import WarmUp, with_imports
from tests.pipeline.conftest import STAGES, Toys

Write = Callable[..., str]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Return a function that writes an importable module and returns its name."""
    monkeypatch.syspath_prepend(tmp_path)
    names: list[str] = []

    def write(name: str, *lines: str) -> str:
        (tmp_path / f"{name}.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
        names.append(name)
        return name

    yield write
    for name in names:
        sys.modules.pop(name, None)


def toy(**imports: tuple[str, ...]) -> Mapping[str, Any]:
    return with_imports(STAGES, imports)


def test_a_stage_waits_for_its_imports_which_a_thread_makes_in_order(module: Write) -> None:
    first = module("warm_first", "import threading", "thread = threading.current_thread()")
    second = module("warm_second", "import sys, time", "time.sleep(0.2)", "before = 'warm_first' in sys.modules")
    seen: list[bool] = []

    def work(config: object, out: Path, *, fit: Artifact | None = None) -> Facts:
        seen.append("warm_second" in sys.modules)
        return {"count": 1}

    stage = replace(STAGES["fit"], function=work, imports=(first, second))
    warm_up = WarmUp([stage])
    assert warm_up.awaited(stage)(None, Path()) == {"count": 1}
    assert seen == [True]
    assert sys.modules[first].thread is not main_thread()
    assert sys.modules[second].before
    assert warm_up.awaited(stage).function.__module__ == work.__module__, (
        "a key covers the code of the stage's own module"
    )


def test_what_is_imported_already_starts_nothing() -> None:
    stage = replace(STAGES["fit"], imports=("json", "pathlib"))
    assert WarmUp([stage]).awaited(stage) is stage


def test_the_error_of_an_import_is_the_runs_error(module: Write, toys: Toys) -> None:
    toys.stages.update(toy(fit=(module("warm_broken", "raise ImportError('libbroken.so is missing')"),)))
    with pytest.raises(ImportError, match=r"libbroken\.so is missing"):
        toys.execute()
    manifest = read_manifest(toys.folder / "runs" / "toy" / "v001")
    assert manifest["status"] == "failed"
    assert "libbroken.so is missing" in manifest["error"]
    assert list(manifest["stages"]) == ["gather"]


def test_only_stages_that_run_begin_their_imports(module: Write, toys: Toys) -> None:
    names = {name: module(f"warm_{name}", "") for name in ("gather", "fit", "tell")}
    toys.stages.update(toy(**{stage: (name,) for stage, name in names.items()}))
    toys.execute({"plan": True})
    assert not sys.modules.keys() & set(names.values())
    toys.execute()
    assert sys.modules.keys() >= set(names.values())
    for name in names.values():
        del sys.modules[name]
    toys.execute()
    assert toys.calls == ["tell"]
    assert sys.modules.keys() & set(names.values()) == {"warm_tell"}


def test_the_end_of_a_run_begins_no_further_import(module: Write) -> None:
    begun, go = Event(), Event()
    sys.modules["warm_events"] = type(sys)("warm_events")
    vars(sys.modules["warm_events"]).update(begun=begun, go=go)
    slow = module("warm_slow", "from warm_events import begun, go", "begun.set()", "go.wait(30)")
    late = module("warm_late", "")
    warm_up = WarmUp([replace(STAGES["fit"], imports=(slow, late))])
    assert begun.wait(30)
    warm_up.end()
    go.set()
    warm_up._executor.shutdown(wait=True)
    assert slow in sys.modules
    assert late not in sys.modules
    del sys.modules["warm_events"]
