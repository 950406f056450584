"""Text tables: alignment, nothing is cut, and no colors or markup."""

from __future__ import annotations

import pytest

from slimline.pipeline.text_table import text_table


def test_texts_are_left_aligned_and_numbers_right_aligned() -> None:
    assert text_table(["run", "top1"], [["v1", "0.5"], ["v123", "12"]], texts=(0,)).splitlines() == [
        "run   top1",
        "v1     0.5",
        "v123    12",
    ]


def test_without_titles_there_is_no_header() -> None:
    assert text_table((), [["a", "b"], ["ccc", "d"]], texts=(0, 1)) == "a    b\nccc  d"


def test_without_rows_there_is_only_the_header() -> None:
    assert text_table(["run", "top1"], [], texts=(0,)) == "run  top1"


@pytest.mark.parametrize("columns", ["20", "200"])
def test_no_cell_is_cut_or_colored_on_any_terminal(monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    for name, value in {"COLUMNS": columns, "FORCE_COLOR": "1", "TERM": "xterm-256color"}.items():
        monkeypatch.setenv(name, value)
    cells = ["[bold]Conv2D[/bold] [BiasAdd, Relu]", " ".join(["train.epochs=1"] * 100), ":smiley: 日本"]
    assert text_table((), [cells], texts=(0, 1, 2)) == "  ".join(cells)


def test_a_width_breaks_cells_at_spaces_and_keeps_within_it() -> None:
    lines = text_table((), [["base", "one, two, three, four, five"]], texts=(0, 1), width=20).splitlines()
    assert lines == ["base  one, two,", "      three, four,", "      five"]
