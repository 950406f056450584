from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from slimline.pipeline.sweeping.folder import STALE, SweepFolder, existing_sweeps, find_sweep, new_sweep

FORK = multiprocessing.get_context("fork")


def begun(parent: Path, digest: str, **asked: object) -> SweepFolder:
    folder = new_sweep(parent)
    folder.note(digest=digest, asked=asked)
    return folder


def test_sweeps_are_numbered_and_listed_newest_first(tmp_path: Path) -> None:
    assert [new_sweep(tmp_path).name for _ in range(3)] == ["s001", "s002", "s003"]
    (tmp_path / "sweeps" / "s1000").mkdir()
    (tmp_path / "sweeps" / "s01").mkdir()
    (tmp_path / "sweeps" / "notes").mkdir()
    assert new_sweep(tmp_path).name == "s1001"
    assert [one.name for one in existing_sweeps(tmp_path)] == ["s1001", "s1000", "s003", "s002", "s001"]


def test_processes_never_claim_the_same_number(tmp_path: Path) -> None:
    barrier, results = FORK.Barrier(4), FORK.Queue()

    def work() -> None:
        mkdir = Path.mkdir
        Path.mkdir = lambda *given, **named: (time.sleep(0.001), mkdir(*given, **named))  # type: ignore[method-assign]
        barrier.wait(10)
        results.put([new_sweep(tmp_path).name for _ in range(6)])

    processes = [FORK.Process(target=work) for _ in range(4)]
    for process in processes:
        process.start()
    claimed = [name for _ in processes for name in results.get(timeout=10)]
    for process in processes:
        process.join(10)
    assert sorted(claimed) == [f"s{number:03d}" for number in range(1, 25)]


def test_a_sweep_is_found_by_what_was_asked_the_newest_first(tmp_path: Path) -> None:
    begun(tmp_path, "a")
    begun(tmp_path, "a")
    begun(tmp_path, "b")
    new_sweep(tmp_path)  # a process was killed before it could note anything
    found = find_sweep(tmp_path, "a", None, {})
    assert found is not None
    assert found.name == "s002"
    assert find_sweep(tmp_path, "c", None, {}) is None


def test_a_sweep_is_found_by_its_name_if_it_was_asked_the_same(tmp_path: Path) -> None:
    begun(tmp_path, "a", settings={"train.epochs": "3"}, varied={"train.rate": ["1", "2"]})
    begun(tmp_path, "a")
    found = find_sweep(tmp_path, "a", "s001", {})
    assert found is not None
    assert found.name == "s001"
    now = {"settings": {"train.epochs": "4"}, "varied": {"train.rate": ["1", "2"]}}
    with pytest.raises(UserError) as caught:
        find_sweep(tmp_path, "b", "s001", now)
    assert str(caught.value).splitlines()[0] == (
        "run.sweep.resume=s001: this sweep was asked something else "
        '(settings: {"train.epochs": "3"}, now {"train.epochs": "4"}).'
    )
    with pytest.raises(UserError) as caught:
        find_sweep(tmp_path, "a", "s007", {})
    assert str(caught.value).splitlines() == [
        f"run.sweep.resume=s007 does not exist in {tmp_path / 'sweeps'}.",
        "There are: s002, s001.",
    ]


def test_a_long_difference_is_cut(tmp_path: Path) -> None:
    begun(tmp_path, "a", varied={"rate": [str(number) for number in range(1000)]})
    with pytest.raises(UserError) as caught:
        find_sweep(tmp_path, "b", "s001", {"varied": {"rate": ["1"]}})
    assert max(map(len, str(caught.value).splitlines())) < 250


def test_notes_are_added_to_the_record(tmp_path: Path) -> None:
    folder = new_sweep(tmp_path)
    folder.note(digest="a", runs={})
    folder.note(runs={"7": "v004"}, status="completed")
    assert folder.about == {"format": 1, "status": "completed", "digest": "a", "runs": {"7": "v004"}}


def test_a_stale_lock_of_the_journal_is_removed_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = new_sweep(tmp_path)
    (folder.path / STALE).symlink_to("no-such-target")  # as Optuna makes it
    started = time.monotonic()
    with caplog.at_level("INFO", logger="slimline.pipeline"):
        folder.recover()
    assert time.monotonic() - started < 1
    assert not (folder.path / STALE).is_symlink()
    assert [record.getMessage() for record in caplog.records] == [f"s001: removed the stale lock {STALE}"]
    caplog.clear()
    folder.recover()
    assert caplog.records == []


def hold(path: Path, ready: object, release: object) -> None:
    folder = SweepFolder(path)
    with folder.owned(join=False), folder.claim(3) as mine:
        assert mine
        ready.set()  # type: ignore[attr-defined]
        release.wait(20)  # type: ignore[attr-defined]
        os._exit(9)  # without cleaning up, as a killed process


def test_another_process_is_refused_unless_it_joins_and_a_dead_one_holds_nothing(tmp_path: Path) -> None:
    folder = begun(tmp_path, "a")
    ready, release = FORK.Event(), FORK.Event()
    process = FORK.Process(target=hold, args=(folder.path, ready, release))
    process.start()
    assert ready.wait(10)
    with pytest.raises(UserError) as caught, folder.owned(join=False):
        pass
    assert f"The sweep s001 is being run by another process ({os.uname().nodename}, process {process.pid})." in str(
        caught.value
    )
    assert "run.sweep.join=true" in str(caught.value)
    with folder.owned(join=True) as held, folder.claim(3) as mine, folder.claim(4) as other:
        assert (held, mine, other) == (False, False, True)
    release.set()
    process.join(10)
    assert process.exitcode == 9
    with folder.owned(join=False) as held, folder.claim(3) as mine:
        assert (held, mine) == (True, True)
    assert folder.about["by"].endswith(f"process {os.getpid()}")


def test_the_folder_of_claims_is_removed_at_the_end(tmp_path: Path) -> None:
    folder = new_sweep(tmp_path)
    folder.clear_claims()
    with folder.claim(0):
        assert (folder.path / ".claims" / "00000").exists()
    (folder.path / ".claims" / "00007").touch()  # of a killed process
    folder.clear_claims()
    assert not (folder.path / ".claims").exists()
