"""Figures: their numbers, and that no text in them can end a script or become HTML."""

from __future__ import annotations

import base64
import gzip
import json
import re

from slimline.stages.pages.charts import (
    as_script,
    chart,
    charts_script,
    curves_figure,
    history_figure,
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


def test_no_text_ends_a_script():
    written = as_script({NASTY: [1, NASTY]})
    assert "<" not in written
    assert "\u2028" not in written
    assert json.loads(written) == {NASTY: [1, NASTY]}
    place = chart({"data": [{"name": NASTY}]}, 'words "quoted" <b>')
    assert 'aria-label="words &quot;quoted&quot; &lt;b&gt;"' in place
    assert place.count("</script>") == 1


def test_plotly_is_there_whole_and_small():
    written = charts_script()
    assert len(written) < 2_200_000
    packed = re.search(r'id="plotly">([^<]*)</script>', written).group(1)
    assert b"Plotly" in gzip.decompress(base64.b64decode(packed))[:5_000_000]
    assert written == charts_script()
