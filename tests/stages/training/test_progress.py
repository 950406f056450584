"""Progress of training: the estimate of the remaining time, on a terminal and in a log."""

from __future__ import annotations

import io
import logging
import re

import pytest

from slimline.stages.training.progress import Pace, duration, training_progress


class Clock:
    """A clock that the test advances."""

    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock():
    return Clock()


def on_terminal(monkeypatch, columns):
    """Replace standard error by a terminal; not in a fixture, because pytest replaces the stream before each test."""
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    for name, value in {"TERM": "xterm", "NO_COLOR": "1", "COLUMNS": str(columns)}.items():
        monkeypatch.setenv(name, value)
    return screen


def frames(screen):
    return [frame.strip() for frame in re.split(r"\r|\n|\x1b\[[0-9;?]*[A-Za-z]", screen.getvalue()) if frame.strip()]


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "slimline.stages.training.progress"]


def test_the_remaining_time_uses_the_current_phases_steps(clock):
    pace = Pace([("head", 100), ("blocks", 50)], clock)
    clock.seconds += 9  # tracing
    pace.count("head", 1, 64)
    clock.seconds += 0.2
    pace.count("head", 10, 640)
    assert pace.left_seconds == pytest.approx((89 + 50) * 0.02)
    assert not pace.is_last
    clock.seconds += 30
    pace.count("blocks", 1, 32)
    clock.seconds += 8
    pace.count("blocks", 4, 128)
    assert pace.left_seconds == pytest.approx(45 * 2)
    assert pace.images_per_second == pytest.approx(16)
    assert pace.is_last


def test_a_phase_that_ended_early_has_no_remaining_steps(clock):
    pace = Pace([("head", 1000), ("blocks", 10)], clock)
    pace.count("head", 10, 10)
    clock.seconds += 3
    pace.count("blocks", 1, 1)
    assert pace.left_seconds == pytest.approx(9 * 3)


def test_the_second_report_replaces_the_time_of_tracing(clock):
    pace = Pace([("head", 30)], clock)
    clock.seconds += 10
    pace.count("head", 10, 10)
    clock.seconds += 5
    pace.pause()
    assert pace.left_seconds == pytest.approx(20 * 1.5)
    clock.seconds += 1
    pace.count("head", 10, 10)
    assert pace.left_seconds == pytest.approx(10 * 0.1)


def test_evaluation_counts_in_the_remaining_time_and_not_in_the_speed(clock):
    pace = Pace([("head", 30)], clock)
    pace.count("head", 10, 500)
    clock.seconds += 1
    pace.count("head", 10, 500)
    clock.seconds += 4
    pace.pause()
    assert pace.images_per_second == pytest.approx(500)
    assert pace.left_seconds == pytest.approx(10 * 0.5)


def test_an_unknown_phase_raises(clock):
    with pytest.raises(KeyError, match="tail"):
        Pace([("head", 30)], clock).count("tail", 1, 1)


def train(progress, clock, epochs, seconds):
    for epoch in range(1, epochs + 1):
        clock.seconds += seconds
        progress.update("head", epoch, epochs, 10, 640, 1 / epoch)
        progress.epoch({"loss": 1 / epoch, "validation_accuracy": 1 - 0.5 / epoch})


def test_a_short_training_logs_no_progress(clock, caplog):
    caplog.set_level(logging.INFO)
    with training_progress([("head", 300)], clock) as progress:
        train(progress, clock, 30, 0.07)
    assert lines(caplog) == []


def test_progress_is_logged_every_ten_seconds(clock, caplog):
    caplog.set_level(logging.INFO)
    with training_progress([("head", 300)], clock) as progress:
        train(progress, clock, 30, 1.0)
    assert lines(caplog) == [
        "training  head      epoch 10/30  loss 0.100  validation accuracy 95.0%  640 images/s  0:20 left",
        "training  head      epoch 20/30  loss 0.050  validation accuracy 97.5%  640 images/s  0:10 left",
        "training  head      epoch 30/30  loss 0.033  validation accuracy 98.3%  640 images/s  0:00 left",
    ]


def test_before_the_last_phase_the_remaining_time_is_a_lower_bound(clock, caplog):
    caplog.set_level(logging.INFO)
    with training_progress([("head", 10), ("blocks", 50)], clock) as progress:
        train(progress, clock, 1, 12.0)
    assert lines(caplog) == [
        "training  head      epoch 1/1  loss 1.000  validation accuracy 50.0%  53 images/s  >1:00 left"
    ]


def test_without_an_evaluation_no_accuracy_is_shown(clock, caplog):
    caplog.set_level(logging.INFO)
    with training_progress([("head", 20)], clock) as progress:
        clock.seconds += 10
        progress.update("head", 1, 2, 10, 1000, 0.25)
        progress.epoch({})
    assert lines(caplog) == ["training  head      epoch 1/2  loss 0.250  100 images/s  0:10 left"]


def test_a_terminal_shows_all_values_within_80_columns_and_is_cleared(clock, caplog, monkeypatch):
    screen = on_terminal(monkeypatch, columns=80)
    caplog.set_level(logging.INFO)
    with training_progress([("head", 300), ("blocks", 3000)], clock) as progress:
        clock.seconds += 40
        progress.update("head", 12, 30, 150, 49_600, 0.2134)
        progress.epoch({"validation_accuracy": 0.931})
    text = "head epoch 12/30  loss 0.213  validation 93.1%  1,240 images/s  >14:00 left"
    assert frames(screen)[-1] == text  # the bar has four columns, which are still empty
    assert screen.getvalue().endswith("\x1b[2K")  # the line is erased
    assert lines(caplog) == []


def test_the_bar_shows_the_fraction_of_the_time(clock, monkeypatch):
    screen = on_terminal(monkeypatch, columns=120)
    with training_progress([("[head]", 100)], clock) as progress:
        for _ in range(2):
            clock.seconds += 30
            progress.update("[head]", 1, 1, 25, 100, 0.5)
    text = "[head] epoch 1/1  loss 0.500  3 images/s  1:00 left "
    shown = frames(screen)[-1]
    assert shown.startswith(text)
    assert shown.count("━") == pytest.approx((120 - len(text)) / 2, abs=1)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0:00"), (14, "0:14"), (723, "12:03"), (3723, "1:02:03")])
def test_durations(seconds, text):
    assert duration(seconds) == text
