"""Images for TensorBoard: the confusion matrix."""

from __future__ import annotations

import numpy as np
import pytest

from slimline.stages.training.tensorboard_images import confusion_picture

LABELS = ["daisy", "rose", "tulip"]


@pytest.mark.parametrize("labels", [LABELS, [f"a flower with a long name {number}" for number in range(40)]])
def test_a_confusion_cell_is_as_dark_as_its_share_of_the_row(labels):
    classes = len(labels)
    matrix = np.zeros([classes, classes], np.int64)
    matrix[0, 1], matrix[1, 1], matrix[1, 2] = 7, 1, 3
    picture = confusion_picture(matrix, labels)
    blue = np.argwhere(np.all(picture == (8, 48, 107), axis=2))
    gray = np.all(picture == (214, 214, 214), axis=2)
    across, down = (np.flatnonzero(gray.mean(axis=axis) > 0.3) for axis in (1, 0))  # the lines between cells
    (top, bottom), (left, right) = across[[0, -1]], down[[0, -1]]
    cell = (bottom - top) / classes
    assert (right - left) / classes == pytest.approx(cell)
    assert np.all((blue - (top, left)) // cell == (0, 1))
    places = (np.array([[1, 1], [1, 2], [2, 2]]) + 0.15) * cell + (top, left)  # not on the digits of the count
    shades = [picture[row, column].tolist() for row, column in places.round().astype(int)]
    quarter, most = ([round(255 + share * (full - 255)) for full in (8, 48, 107)] for share in (0.25, 0.75))
    assert shades == [quarter, most, [255, 255, 255]]
    assert len(np.unique(picture[:, : left - 1])) > 10, "no labels on the left"
    assert len(np.unique(picture[bottom + 1 :])) > 10, "no labels below"


def test_a_label_in_another_alphabet_is_readable():
    def label(text):
        return confusion_picture(np.eye(2, dtype=np.int64), [text, ""])

    assert not np.array_equal(label("ромашка"), label("василёк"))
    assert not np.array_equal(label("é"), label("è"))
