"""State of a training on disk: one complete checkpoint at every moment, whatever interrupts the writing."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.weights.checkpoint import write_checkpoint
from slimline.stages.training import state as train_state
from slimline.stages.training.state import Position, TrainState, clear_when_full

ROOT = Path(__file__).parents[3]


def values(number):
    return {"a/weights": np.full([2, 3], number, np.float32), "b": np.float32(number)}


def number_of(found):
    assert set(found) == {"a/weights", "b"}
    [number] = {*found["a/weights"].ravel().tolist(), float(found["b"])}
    return number


def saved(folder, number):
    """Save the best weights, then a checkpoint."""
    state = TrainState(folder)
    state.position.epoch = number
    state.position.rows = [{"phase": "head", "epoch": 1, "loss": 0.1 + 0.2}]
    state.save_best(values(10 * number))
    state.save(values(number))
    return state


def test_a_saved_state_is_loaded_again(tmp_path):
    assert not TrainState(tmp_path / "s").resumed
    assert TrainState(tmp_path / "s").position == Position()
    state = saved(tmp_path / "s", 1)
    again = TrainState(tmp_path / "s")
    assert again.resumed
    assert asdict(again.position) == asdict(state.position)
    assert again.position.rows[0]["loss"] == 0.1 + 0.2
    assert (number_of(again.values()), number_of(again.best_values())) == (1, 10)


def test_only_the_last_checkpoint_of_each_kind_is_kept(tmp_path):
    for number in (1, 2, 3):
        saved(tmp_path, number)
    assert sorted({path.name.partition(".")[0] for path in tmp_path.iterdir()}) == ["best-3", "position", "state-3"]
    assert number_of(TrainState(tmp_path).values()) == 3


def test_the_best_weights_take_effect_with_the_next_checkpoint(tmp_path):
    saved(tmp_path, 1)
    state = TrainState(tmp_path)
    state.save_best(values(99))
    assert number_of(state.best_values()) == 99
    assert number_of(TrainState(tmp_path).best_values()) == 10


class Killed(BaseException):
    pass


@pytest.mark.parametrize("name", ["write_checkpoint", "write_json", "fsync"])
@pytest.mark.parametrize("calls", [0, 1, 2, 3])
@pytest.mark.parametrize("after", [True, False])
def test_the_last_checkpoint_is_intact_after_a_kill_anywhere(tmp_path, monkeypatch, name, calls, after):
    saved(tmp_path, 1)
    real, count = getattr(train_state, name), [0]

    def killed(*arguments):
        count[0] += 1
        if count[0] > calls and not after:
            raise Killed
        real(*arguments)
        if count[0] > calls:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(train_state, name, killed)
        with suppress(Killed):
            saved(tmp_path, 2)
    found = TrainState(tmp_path)
    number = found.position.epoch
    assert number in (1, 2)
    assert (number_of(found.values()), number_of(found.best_values())) == (number, 10 * number)
    saved(tmp_path, 3)
    assert (number_of(TrainState(tmp_path).values()), number_of(TrainState(tmp_path).best_values())) == (3, 30)


FULL = [
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)),
    OSError(errno.EFBIG, os.strerror(errno.EFBIG)),
    tf.errors.ResourceExhaustedError(None, None, "state-2.data; No space left on device"),
    tf.errors.UnknownError(None, None, "state-2.data; File too large"),
]


@pytest.mark.parametrize("error", FULL)
@pytest.mark.parametrize("name", ["write_checkpoint", "write_json"])
def test_a_full_disk_is_reported_and_the_last_checkpoint_is_intact(tmp_path, monkeypatch, error, name):
    saved(tmp_path, 1)

    def fail(*_):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(train_state, name, fail)
        with pytest.raises(UserError) as caught:
            saved(tmp_path, 2)
    assert str(caught.value).splitlines() == [
        f"Cannot write a checkpoint to {tmp_path}: no space left on device.",
        "Free disk space, then run the same command again: it resumes from the last checkpoint, which is intact.",
    ]
    found = TrainState(tmp_path)
    assert (found.position.epoch, number_of(found.values()), number_of(found.best_values())) == (1, 1, 10)


@pytest.mark.parametrize(
    "error", [PermissionError(errno.EACCES, "no"), tf.errors.NotFoundError(None, None, "no"), ZeroDivisionError("no")]
)
def test_other_errors_are_not_changed(tmp_path, error):
    with pytest.raises(type(error), match="no"), clear_when_full(tmp_path / "x"):
        raise error


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from slimline.pipeline.errors import UserError
from slimline.stages.training.state import TrainState
state = TrainState(Path(sys.argv[1]))
state.position.epoch = 2
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    state.save({"a": np.zeros(1_000_000, np.float32)})
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_file_size_limit_is_reported_as_a_full_disk(tmp_path):
    saved(tmp_path, 1)
    command = [sys.executable, "-c", LIMITED, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=False)
    assert f"Cannot write a checkpoint to {tmp_path}" in done.stdout, done.stderr
    found = TrainState(tmp_path)
    assert (found.position.epoch, number_of(found.values())) == (1, 1)


def test_files_of_an_incomplete_checkpoint_are_ignored(tmp_path):
    saved(tmp_path, 1)
    write_checkpoint(tmp_path / "state-2", values(7))
    (tmp_path / "state-2.index").write_bytes(b"half")
    assert number_of(TrainState(tmp_path).values()) == 1
    saved(tmp_path, 2)
    assert number_of(TrainState(tmp_path).values()) == 2
