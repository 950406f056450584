"""Curves: compared with curves by hand, and thinned for many photos."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

from slimline.stages.scoring.curves import POINTS, class_curves, write_curves


def test_curves_of_five_photos():
    positive, score = np.array([True, False, True, False, False]), np.array([0.9, 0.8, 0.4, 0.3, 0.2])
    curves = class_curves(positive, score)
    roc = curves["roc"][:, :2].tolist()
    assert roc == pytest.approx(np.array([[0, 0], [0, 0.5], [1 / 3, 0.5], [1 / 3, 1], [1, 1]]))
    recall, precision, threshold = curves["precision_recall"].T
    assert (recall[0], precision[0], threshold[0]) == (1.0, 2 / 5, 0.2)
    assert (recall[-1], precision[-1]) == (0.0, 1.0)
    assert (0.5, 1.0, 0.9) in list(zip(recall, precision, threshold, strict=True))


@pytest.mark.parametrize("positive", [True, False])
def test_photos_of_one_kind_only_have_no_curve(positive):
    assert class_curves(np.full(3, positive), np.array([0.1, 0.2, 0.3])) == {}


def test_a_long_curve_keeps_its_ends_and_its_area():
    draw = np.random.default_rng(0)
    score = draw.random(20_000)
    curve = class_curves(draw.random(20_000) < score, score)["roc"]
    assert len(curve) == POINTS
    assert curve[0, :2].tolist() == [0, 0]
    assert curve[-1, :2].tolist() == [1, 1]
    # The area is P(U > V) of densities 2u and 2(1 - v): 5/6.
    assert np.trapezoid(curve[:, 1], curve[:, 0]) == pytest.approx(5 / 6, abs=0.01)


def test_one_row_per_point(tmp_path):
    scores = np.array([[0.7, 0.2, 0.1], [0.2, 0.7, 0.1], [0.6, 0.3, 0.1]])
    write_curves(np.array([0, 1, 0]), scores, ["ant", "bee", "cow"], tmp_path / "curves.parquet")
    rows = pq.read_table(tmp_path / "curves.parquet").to_pylist()
    assert {row["class"] for row in rows} == {"ant", "bee"}  # there are no photos of cows
    assert {row["curve"] for row in rows} == {"roc", "precision_recall"}
    assert set(rows[0]) == {"class", "curve", "x", "y", "threshold"}
    write_curves(np.array([0]), scores[:1], ["ant", "bee", "cow"], tmp_path / "none.parquet")
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0
