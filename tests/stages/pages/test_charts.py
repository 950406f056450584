"""Figures: their numbers, and that Plotly shows their texts literally."""

from __future__ import annotations

import base64
import gzip

from slimline.stages.pages.charts import (
    curves_figure,
    history_figure,
    packed_plotly,
    plotly_text,
    rate_figure,
    reliability_figure,
)

HISTORY = {
    "epoch": [1, 2, 3, 4, 5],
    "phase": ["head", "head", "blocks", "blocks", "all"],
    "loss": [5.0, 4.0, 3.0, 2.0, 1.0],
    "validation_loss": [6.0, 5.0, 4.0, 3.0, 2.0],
}
NASTY = '</script><img src=x onerror="alert(1)">\u2028'


def test_the_history_marks_the_start_of_each_phase():
    figure = history_figure(HISTORY, "loss")
    assert [trace["y"] for trace in figure["data"]] == [HISTORY["loss"], HISTORY["validation_loss"]]
    assert [(note["text"], note["x"]) for note in figure["layout"]["annotations"]] == [("blocks", 2.5), ("all", 4.5)]
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [2.5, 4.5]
    plain = history_figure({name: values for name, values in HISTORY.items() if name != "phase"}, "loss")
    assert plain["layout"]["shapes"] == []


def test_the_reliability_diagram_shows_each_bin():
    figure = reliability_figure([{"count": 3, "confidence": 0.5, "accuracy": 0.25}])
    assert (figure["data"][1]["x"], figure["data"][1]["y"], figure["data"][1]["text"]) == ([0.5], [0.25], ["3 photos"])


def test_each_class_has_a_curve():
    rows = [
        {"class": "a", "curve": "roc", "x": 0.0, "y": 0.5},
        {"class": "a", "curve": "precision_recall", "x": 1.0, "y": 0.1},
        {"class": "<b>", "curve": "roc", "x": 0.123456, "y": 1.0},
    ]
    figure = curves_figure(rows, "roc", ("x", "y"))
    assert [(trace["name"], trace["x"], trace["y"]) for trace in figure["data"]] == [
        ("a", [0.0], [0.5]),
        ("&lt;b&gt;", [0.1235], [1.0]),
    ]


def test_a_learning_rate_range_test_marks_the_suggested_rate():
    figure = rate_figure([0.001, 0.01, 0.1], [3.0, 1.0, 2.0], 0.01)
    [trace] = figure["data"]
    assert (trace["x"], trace["y"]) == ([0.001, 0.01, 0.1], [3.0, 1.0, 2.0])
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [0.01]
    [note] = figure["layout"]["annotations"]
    assert (note["text"], note["x"]) == ("0.01", -2.0)


def test_the_texts_of_a_figure_are_not_interpreted():
    history = {**HISTORY, "phase": ["head"] + 4 * [NASTY]}
    [note] = history_figure(history, "loss")["layout"]["annotations"]
    assert note["text"] == plotly_text(NASTY)
    assert not {"<", ">", '"'} & set(plotly_text(NASTY))


def test_the_packed_plotly_is_complete_and_small():
    packed = packed_plotly()
    assert len(packed) < 2_200_000
    assert b"Plotly" in gzip.decompress(base64.b64decode(packed))[:5_000_000]
    assert packed == packed_plotly()
