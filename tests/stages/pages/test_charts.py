"""Figures: their numbers, and that Plotly shows their texts as they are."""

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


def test_history_marks_where_a_phase_begins():
    figure = history_figure(HISTORY, "loss")
    assert [trace["y"] for trace in figure["data"]] == [HISTORY["loss"], HISTORY["validation_loss"]]
    assert [(note["text"], note["x"]) for note in figure["layout"]["annotations"]] == [("blocks", 2.5), ("all", 4.5)]
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [2.5, 4.5]
    plain = history_figure({name: values for name, values in HISTORY.items() if name != "phase"}, "loss")
    assert plain["layout"]["shapes"] == []


def test_reliability_draws_each_bin():
    figure = reliability_figure([{"count": 3, "confidence": 0.5, "accuracy": 0.25}])
    assert (figure["data"][1]["x"], figure["data"][1]["y"], figure["data"][1]["text"]) == ([0.5], [0.25], ["3 photos"])


def test_a_curve_a_class():
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


def test_a_learning_rate_test_marks_the_rate_that_it_suggests():
    figure = rate_figure([0.001, 0.01, 0.1], [3.0, 1.0, 2.0], 0.01)
    [trace] = figure["data"]
    assert (trace["x"], trace["y"]) == ([0.001, 0.01, 0.1], [3.0, 1.0, 2.0])
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert [shape["x0"] for shape in figure["layout"]["shapes"]] == [0.01]
    [note] = figure["layout"]["annotations"]
    assert (note["text"], note["x"]) == ("0.01", -2.0)


def test_no_text_of_a_figure_is_taken_for_formatting():
    history = {**HISTORY, "phase": ["head"] + 4 * [NASTY]}
    [note] = history_figure(history, "loss")["layout"]["annotations"]
    assert note["text"] == plotly_text(NASTY)
    assert not {"<", ">", '"'} & set(plotly_text(NASTY))


def test_plotly_is_there_whole_and_small():
    packed = packed_plotly()
    assert len(packed) < 2_200_000
    assert b"Plotly" in gzip.decompress(base64.b64decode(packed))[:5_000_000]
    assert packed == packed_plotly()
