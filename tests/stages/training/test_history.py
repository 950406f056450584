"""Training history: its rows, and the contents of its file."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.stages.training.history import add_epoch, write_history

MEASURES = {"loss": 0.5, "accuracy": 0.75, "validation_loss": 0.625, "validation_accuracy": 0.5}


def test_the_table_has_one_row_per_epoch_and_null_for_missing_measures(tmp_path):
    rows = []
    add_epoch(rows, phase="head", epoch=1, **MEASURES)
    add_epoch(rows, phase="blocks", epoch=2, **MEASURES, gradient_norm=np.float32(0.25))
    write_history(tmp_path / "history.parquet", rows)
    table = pq.read_table(tmp_path / "history.parquet")
    assert table.to_pylist() == [
        {"phase": "head", "epoch": 1, **MEASURES, "gradient_norm": None},
        {"phase": "blocks", "epoch": 2, **MEASURES, "gradient_norm": 0.25},
    ]


def test_an_epoch_must_come_after_the_last_one():
    rows = [{"phase": "head", "epoch": 1, "loss": 0.5}]
    add_epoch(rows, phase="head", epoch=2, loss=np.float32(0.25))
    assert rows == [
        {"phase": "head", "epoch": 1, "loss": 0.5},
        {"phase": "head", "epoch": 2, "loss": 0.25},
    ]
    assert type(rows[1]["loss"]) is float  # as JSON has it
    with pytest.raises(ValueError, match="after epoch 2"):
        add_epoch(rows, phase="head", epoch=2, loss=0.125)
    assert len(rows) == 2
