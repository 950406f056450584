from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline import run as run_module
from slimline.pipeline.artifact import Artifact, Facts, content_digest, write_text
from slimline.pipeline.run import Run, claim_version
from slimline.pipeline.stage import stage
from slimline.pipeline.store import Store

FORK = multiprocessing.get_context("fork")
KEY = "ab12"


@dataclass
class FitConfig:
    size: int = 1


@stage()
def fit(config: FitConfig, out: Path) -> Facts:
    return {}


@stage(resume=True)
def fit_on(config: FitConfig, out: Path) -> Facts:
    return {}


def make(out: Path) -> Facts:
    """Write a few files, and keep those that exist already."""
    (out / "shards").mkdir(exist_ok=True)
    for number in range(2):
        if not (out / "shards" / f"{number}.txt").exists():
            write_text(out / "shards" / f"{number}.txt", f"shard {number}")
    (out / "labels.txt").write_text("daisy\nrose\n")
    return {"count": 2, "reading_seconds": 0.5}


FILES = {"labels.txt": "daisy\nrose\n", "shards/0.txt": "shard 0", "shards/1.txt": "shard 1"}


def files_of(folder: Path) -> dict[str, str]:
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "artifact.json"]
    return {str(path.relative_to(folder)): path.read_text() for path in paths}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_an_artifact_is_made_once_and_then_found(store: Store) -> None:
    made, cached = store.obtain(fit, KEY, {"format": 1}, make)
    assert not cached
    assert made.path == store.root / "fit" / KEY / "1"
    assert files_of(made.path) == FILES
    assert (made.stage, made.key, made.generation, made.parts) == ("fit", KEY, 1, {"format": 1})
    assert made.facts == {"count": 2, "reading_seconds": 0.5}
    assert made.digest == content_digest(made.path, made.facts)
    assert store.obtain(fit, KEY, {}, fail) == (made, True)
    assert Store(store.root).find("fit", KEY) == made


def fail(out: Path) -> Facts:
    (out / "half").write_text("made")
    raise RuntimeError("in the middle")


def test_another_key_or_stage_is_made_separately(store: Store) -> None:
    store.obtain(fit, KEY, {}, make)
    assert store.obtain(fit, "cd34", {}, make)[1] is False
    assert store.obtain(fit_on, KEY, {}, make)[1] is False


def test_a_failure_commits_nothing(store: Store) -> None:
    with pytest.raises(RuntimeError, match="in the middle"):
        store.obtain(fit, KEY, {}, fail)
    assert store.find("fit", KEY) is None
    assert list(store.all_of("fit")) == []
    made, cached = store.obtain(fit, KEY, {}, make)
    assert (files_of(made.path), cached) == (FILES, False)


def test_facts_that_are_not_json_commit_nothing(store: Store) -> None:
    with pytest.raises(TypeError):
        store.obtain(fit, KEY, {}, lambda out: {"path": out})
    assert store.find("fit", KEY) is None


def test_a_stage_that_resumes_gets_its_partial_directory_back(store: Store) -> None:
    with pytest.raises(RuntimeError):
        store.obtain(fit_on, KEY, {}, fail)
    found: list[dict[str, str]] = []
    store.obtain(fit_on, KEY, {}, lambda out: found.append(files_of(out)) or {})
    assert found == [{"half": "made"}]


def test_a_stage_that_does_not_resume_starts_empty(store: Store) -> None:
    with pytest.raises(RuntimeError):
        store.obtain(fit, KEY, {}, fail)
    found: list[dict[str, str]] = []
    store.obtain(fit, KEY, {}, lambda out: found.append(files_of(out)) or {})
    assert found == [{}]


def test_force_makes_a_second_generation_and_leaves_the_first(store: Store) -> None:
    first, _ = store.obtain(fit, KEY, {}, make)
    second, cached = store.obtain(fit, KEY, {}, lambda out: make(out) | {"count": 9}, force=True)
    assert (second.generation, second.path.name, cached) == (2, "2", False)
    assert json.loads((first.path / "artifact.json").read_text())["facts"]["count"] == 2
    assert files_of(first.path) == FILES
    assert store.obtain(fit, KEY, {}, fail) == (second, True)


def test_the_tenth_generation_is_newer_than_the_ninth(store: Store) -> None:
    for number in range(1, 11):
        made, _ = store.obtain(fit, KEY, {}, lambda out: {"count": number}, force=True)  # noqa: B023
        assert made.generation == number
    found = store.find("fit", KEY)
    assert found is not None
    assert found.facts == {"count": 10}


def test_all_artifacts_come_latest_first(store: Store) -> None:
    for key in ("a", "b", "c"):
        store.obtain(fit, key, {}, make)
    os.utime(store.root / "fit" / "b", (2**32, 2**32))
    os.utime(store.root / "fit" / "c", (1, 1))
    assert [artifact.key for artifact in store.all_of("fit")] == ["b", "a", "c"]
    assert list(store.all_of("nothing")) == []


def test_two_processes_make_the_same_key_once(store: Store, tmp_path: Path) -> None:
    barrier, results = FORK.Barrier(2), FORK.Queue()

    def make_slowly(out: Path) -> Facts:
        with (tmp_path / "made").open("a") as file:
            file.write("once\n")
        time.sleep(0.3)
        return make(out)

    def work() -> None:
        barrier.wait(10)
        made, cached = store.obtain(fit, KEY, {}, make_slowly)
        results.put((made.digest, cached))

    processes = [FORK.Process(target=work) for _ in range(2)]
    for process in processes:
        process.start()
    found = [results.get(timeout=10) for _ in processes]
    for process in processes:
        process.join(10)
    assert (tmp_path / "made").read_text() == "once\n"
    assert sorted(cached for _, cached in found) == [False, True]
    assert found[0][0] == found[1][0]


def test_two_processes_never_claim_the_same_version(tmp_path: Path) -> None:
    barrier, results = FORK.Barrier(4), FORK.Queue()

    def work() -> None:
        mkdir = Path.mkdir
        Path.mkdir = lambda *given, **named: (time.sleep(0.002), mkdir(*given, **named))  # type: ignore[method-assign]
        barrier.wait(10)
        results.put([claim_version(tmp_path / "toy").name for _ in range(10)])

    processes = [FORK.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    claimed = [name for _ in processes for name in results.get(timeout=10)]
    for process in processes:
        process.join(10)
    assert sorted(claimed) == [f"v{number:03d}" for number in range(1, 41)]


# A crash between any two writes: the same small run is killed at its first change on disk, at its second, and so on.

CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "os.link", "os.truncate"}


def changes_the_disk(event: str, arguments: tuple[Any, ...]) -> bool:
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) and arguments[0] != os.devnull
    return event in CHANGES


def killed_at(change: int, work: Callable[[], object]) -> bool:
    """Do the work in a process that dies just before its n-th change on disk; return whether it died."""
    pid = os.fork()
    if pid == 0:
        seen, lock = 0, threading.Lock()

        def hook(event: str, arguments: tuple[Any, ...]) -> None:
            nonlocal seen
            if changes_the_disk(event, arguments):
                with lock:
                    seen += 1
                    if seen == change:
                        os._exit(9)

        try:
            sys.addaudithook(hook)
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 9)
    return code == 9


def small_run(root: Path, resume: bool) -> Artifact:
    """Run one stage as the runner does."""
    run = Run(root / "toy", "run: {}\n", [])
    store = Store(root / "store")
    store.contents.digest(root / "photo.jpg")
    artifact, cached = store.obtain(fit_on if resume else fit, KEY, {}, make)
    run.record(artifact.stage, cached=cached, seconds=0.1, facts=artifact.facts, artifact=artifact)
    run.finish()
    return artifact


def check_nothing_is_incomplete(root: Path, stage_name: str, whole: Artifact) -> None:
    found = Store(root / "store").find(stage_name, KEY)
    if found:
        assert files_of(found.path) == FILES
        assert found.digest == content_digest(found.path, found.facts) == whole.digest
    for path in (root / "toy").glob("v*/*.json"):
        json.loads(path.read_text())
    latest = root / "toy" / "latest"
    if latest.is_symlink():
        assert json.loads((latest / "manifest.json").read_text())["status"] == "completed"


@pytest.mark.slow
@pytest.mark.parametrize("resume", [False, True], ids=["from scratch", "resumed"])
def test_a_crash_at_any_moment_leaves_nothing_incomplete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, resume: bool
) -> None:
    monkeypatch.setattr(run_module, "describe_environment", lambda: {"plugins": {}})
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole" / "photo.jpg").write_text("a")
    whole = small_run(tmp_path / "whole", resume)
    crashes = 0
    while True:
        root = tmp_path / str(crashes)
        root.mkdir()
        (root / "photo.jpg").write_text("a")
        if not killed_at(crashes + 1, lambda: small_run(root, resume)):  # noqa: B023
            break
        crashes += 1
        check_nothing_is_incomplete(root, whole.stage, whole)
        again = small_run(root, resume)
        assert again.digest == whole.digest, f"after a crash at change {crashes}"
        assert again.generation == 1
        check_nothing_is_incomplete(root, whole.stage, whole)
        assert (root / "toy" / "latest" / "artifacts" / whole.stage / "labels.txt").read_text() == "daisy\nrose\n"
    assert crashes > 25


@pytest.mark.slow
def test_a_crash_while_a_second_generation_is_made_leaves_the_first(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    first, _ = store.obtain(fit, KEY, {}, make)
    crashes = 0
    while killed_at(crashes + 1, lambda: store.obtain(fit, KEY, {}, make, force=True)):
        crashes += 1
        assert store.find("fit", KEY) == first
        assert files_of(first.path) == FILES
    assert crashes > 8
    second = store.find("fit", KEY)
    assert second is not None
    assert (second.generation, second.digest) == (2, first.digest)
