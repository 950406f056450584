"""Sweeps that are killed and started again, and processes that work on one sweep together."""

from __future__ import annotations

import json
import random
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.pipeline.sweeping.conftest import RATE, Sweeps
from tests.tiers import RELEASE, release

pytestmark = pytest.mark.slow

GRID = (f"{RATE}=0.1,0.3,7,0.9", "train.seed=1,2", "run.sweep.seeds=2", "train.wait_seconds=0.02")
SEARCH = (f"{RATE}=interval(0.0,1.0)", "run.sweep.points=12", "run.sweep.seeds=2", "train.wait_seconds=0.02")
KILLED = -signal.SIGKILL
DISTURBED = ("seconds", "run")
"""A run of the winner that was cut off has a version, too."""


def check_equal(disturbed: Sweeps, whole: Sweeps) -> None:
    """Check that a sweep that was killed has the results of an undisturbed one, and made nothing twice."""
    assert disturbed.lasting(without=DISTURBED) == whole.lasting(without=DISTURBED)
    assert disturbed.generations() == whole.generations()
    assert all(name.endswith("/1") for name in disturbed.generations())
    assert disturbed.about()["status"] == "completed"
    assert disturbed.about()["winner"] == whole.about()["winner"]
    best = disturbed.path() / "best"
    assert json.loads((best / "manifest.json").read_text())["status"] == "completed"
    assert [path.name for path in disturbed.path().parent.glob("s*")] == ["s001"]


KINDS = [("grid", "alone"), ("grid", "together"), ("search", "alone"), ("search", "together")]


@pytest.mark.parametrize(("kind", "how"), release(KINDS, only_release=[*KINDS[:1], *KINDS[2:]]))
def test_a_sweep_that_is_killed_at_random_moments_ends_as_an_undisturbed_one(
    make_sweeps: Callable[[str], Sweeps], kind: str, how: str
) -> None:
    typed, stack = {"grid": GRID, "search": SEARCH}[kind], {"STACK": "1"} if how == "together" else {}
    whole, disturbed = make_sweeps("whole"), make_sweeps("disturbed")
    started = time.monotonic()
    code = whole(*typed, **stack)[0]
    took = time.monotonic() - started
    draw, kills = random.Random(0), 0
    while kills < (20 if RELEASE else 6):
        found = disturbed(*typed, **stack, KILL_AFTER_SECONDS=f"{draw.uniform(0.05, took / 4):.3f}")
        if found[0] != KILLED:
            break
        kills += 1
    assert kills
    assert disturbed(*typed, **stack)[0] == code
    check_equal(disturbed, whole)


@pytest.mark.release
def test_a_sweep_that_is_killed_at_any_change_on_disk_ends_as_an_undisturbed_one(
    make_sweeps: Callable[[str], Sweeps],
) -> None:
    typed = (f"{RATE}=0.3,7", "run.sweep.seeds=2")
    whole = make_sweeps("whole")
    whole(*typed)
    draw = random.Random(1)
    for place in range(20 if RELEASE else 3):
        disturbed, change = make_sweeps(f"disturbed{place}"), 0
        for _ in range(3):
            change = draw.randint(1, 150)
            assert disturbed(*typed, KILL_AT_CHANGE=str(change))[0] in (KILLED, 2)
        assert disturbed(*typed)[0] == 2, change
        check_equal(disturbed, whole)


@pytest.mark.parametrize("number", release([signal.SIGINT, signal.SIGTERM], only_release=[signal.SIGTERM]))
def test_a_sweep_that_is_interrupted_says_so_and_continues(sweeps: Sweeps, number: signal.Signals) -> None:
    typed = (f"{RATE}=0.1,0.3,0.9", "train.wait_seconds=1")
    code, _, errors = sweeps(*typed, KILL_AFTER_SECONDS="2.5", KILL_WITH=str(int(number)))
    assert code == (130 if number == signal.SIGINT else -number)
    if number == signal.SIGINT:
        assert errors == ["Stopped by SIGINT. Finished work is kept. Run the same command again to resume."]
        assert sweeps.about()["status"] == "running"
    before = set(sweeps.calls("train"))
    code, output, _ = sweeps(*typed)
    assert code == 0
    assert len(sweeps.board()) == 3
    assert before  # something had begun
    assert not any(name.endswith("/2") for name in sweeps.generations())
    assert [line for line in output if "was cut off and is computed again" in line]


def test_a_cut_journal_and_a_stale_lock_are_told_and_cost_no_wait(sweeps: Sweeps) -> None:
    typed = (f"{RATE}=0.1,0.3,0.9", "run.sweep.seeds=2")
    sweeps(*typed)
    whole = sweeps.lasting(without=DISTURBED)
    journal = sweeps.path() / "journal.log"
    journal.write_bytes(journal.read_bytes()[:-20])
    (sweeps.path() / "journal.log.lock").symlink_to("nobody")
    started = time.monotonic()
    code, output, errors = sweeps(*typed)
    assert time.monotonic() - started < 20
    assert (code, errors) == (0, [])
    assert "journal.log: its last line was incomplete and was removed" in output
    assert "s001: removed the stale lock journal.log.lock" in output
    assert sweeps.lasting(without=DISTURBED) == whole
    assert all(name.endswith("/1") for name in sweeps.generations())


@pytest.mark.parametrize(
    "typed", [pytest.param(GRID, id="grid", marks=pytest.mark.release), pytest.param(SEARCH, id="search")]
)
def test_processes_that_join_compute_each_point_once(
    make_sweeps: Callable[[str], Sweeps], typed: tuple[str, ...]
) -> None:
    whole, shared = make_sweeps("whole"), make_sweeps("shared")
    code = whole(*typed)[0]
    expected = sorted(whole.calls("train"))
    with ThreadPoolExecutor(2) as pool:
        # a server of commands runs one command at a time: the second process is a new interpreter
        first = pool.submit(shared.start, *typed, "run.sweep.join=true")
        second = pool.submit(shared.start, *typed, "run.sweep.join=true")
        assert (first.result(), second.result()) == (code, code)
    assert sorted(shared.calls("train")) == expected
    without = (*DISTURBED, "overrides", "command")
    assert shared.lasting(without=without) == whole.lasting(without=without)
    assert shared.generations() == whole.generations()
    assert len(shared.runs()) == 1


def test_workers_compute_each_point_once(make_sweeps: Callable[[str], Sweeps]) -> None:
    whole, shared = make_sweeps("whole"), make_sweeps("shared")
    code = whole(*GRID)[0]
    assert shared.start(*GRID[:-1], "train.wait_seconds=0.4", "run.sweep.workers=3") == code
    assert sorted(shared.calls("train")) == sorted(whole.calls("train"))
    without = (*DISTURBED, "overrides", "command")
    assert shared.lasting(without=without) == whole.lasting(without=without)
    assert shared.generations() == whole.generations()
    assert not list(shared.path().glob("worker-*.log"))
    by = {json.loads(line).get("by") for line in (shared.path() / "journal.log").read_text().splitlines()} - {None}
    assert len(by) > 1, "no worker had time to compute a point"


@pytest.mark.release
def test_a_second_process_is_refused(sweeps: Sweeps) -> None:
    typed = (f"{RATE}=0.1,0.3", "train.wait_seconds=3")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(sweeps.start, *typed)
        while not sweeps.calls("train"):
            time.sleep(0.05)
        code, _, errors = sweeps(*typed)
        assert code == 2
        assert errors[0].startswith("The sweep s001 is being run by another process (")
        assert first.result() == 0
