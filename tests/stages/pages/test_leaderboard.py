"""The leaderboard: its table, charts, curves and cautions, escaping, many points, and the page in a browser."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import write_json
from slimline.pipeline.errors import UserError
from slimline.stages.pages.leaderboard import PAGE, leaderboard_page, write_leaderboard
from slimline.stages.pages.leaderboard_charts import make_axis, parallel_figure
from slimline.stages.pages.leaderboard_curves import MOST_CURVES, read_curves
from slimline.stages.pages.leaderboard_table import WIDTH, figure, measures, printed_table
from slimline.stages.pages.sweep_folder import read_sweep, short_names
from tests.browser import accessibility_faults, needs_browser, opened
from tests.stages.pages.hostile import HOSTILE, Seen, harmless
from tests.stages.pages.sweep_making import LOSS, TOP1, point, write_history, write_run, write_sweep

RATE = "train.optimizer.learning_rate"
NAN = "The training diverged: the loss is NaN.\nUse a lower train.optimizer.learning_rate."


def grid(count: int = 12) -> list[dict[str, Any]]:
    """Return points of a grid whose score depends on the rate most, best first."""
    points = [
        point(number, 0.9 - 0.01 * (number // 2) - 0.001 * (number % 2), {"head": head, RATE: 0.1 / (1 + number // 2)})
        for number in range(count)
        for head in [("mlp", "linear")[number % 2]]
    ]
    return sorted(points, key=lambda one: -one["score"])


def page_of(folder: Path) -> str:
    write_leaderboard(folder)
    return (folder / PAGE).read_text(encoding="utf-8")


def section(text: str, title: str) -> str:
    [found] = re.findall(rf"<h2>{title}</h2>(.*?)</section>", text, re.S)
    return found


def cells(text: str) -> list[list[str]]:
    """Return the texts of the leaderboard's rows, without the commands."""
    [body] = re.findall(r'id="board">.*?<tbody>(.*?)</tbody>', text, re.S)
    rows = re.findall(r"<tr.*?>(.*?)</tr>", body, re.S)
    return [[re.sub("<.*?>", "", cell) for cell in re.findall(r"<td.*?>(.*?)</td>", row, re.S)[:-1]] for row in rows]


def test_the_table_has_a_row_for_each_point(tmp_path):
    points = [*grid(2), point(7, None, {"head": "linear", RATE: 5.0}, error=NAN)]
    points[0]["run"] = "v004"
    folder = write_sweep(tmp_path, points, columns=["train.epochs"])
    with pytest.raises(UserError, match=r"the column train\.epochs is missing"):
        write_leaderboard(folder)
    folder = write_sweep(tmp_path, [{**one, "train.epochs": 25.0} for one in points], "s004", columns=["train.epochs"])
    write_run(folder, "v004")
    text = page_of(folder)
    assert "<h1>Sweep s004 of flowers: 3 points</h1>" in text
    assert cells(text) == [
        ["1", "0", "0.9000", "0.1000", "25", "mlp", "0.1", "1.5 s", "completed", "v004&nbsp;winner"],
        ["2", "1", "0.8990", "0.1010", "25", "linear", "0.1", "1.5 s", "completed", ""],
        ["", "7", "", "", "25", "linear", "5", "1.5 s", "failed: The training diverged: the loss is NaN.", ""],
    ]
    assert '<a href="../../v004/report.html">v004</a>' in text
    assert NAN in section(text, "Points that did not complete")
    numbers = text.partition("<nav")[0]
    for said in ("<b>0.9000</b>best train.validation_top1", "<b>2</b>completed", "<b>1</b>failed", "<b>12.5 s</b>time"):
        assert said in numbers
    about = section(text, "Sweep and its command")
    assert "train.validation_top1, higher is better" in about and "train.validation_loss, lower is better" in about
    assert (
        "-m +experiment=flowers &#39;ingest.images=my photos/&#39; head=... train.optimizer.learning_rate=..." in about
    )


def test_facts_and_settings_may_be_texts_or_switches(tmp_path):
    network, nesterov = "base.network", "train.optimizer.nesterov"
    rows = [
        point(number, score, {nesterov: not number}, **{network: name})
        for number, (score, name) in enumerate([(0.9, "mobilenet_v2"), (None, None)])
    ]
    folder = write_sweep(tmp_path, rows, columns=[network])
    assert [row[4:6] for row in cells(page_of(folder))] == [["mobilenet_v2", "true"], ["", "false"]]
    assert "mobilenet_v2" in printed_table(read_sweep(folder))


def test_a_report_that_does_not_exist_is_not_linked(tmp_path):
    text = page_of(write_sweep(tmp_path, [{**grid(2)[0], "run": "v004"}]))
    assert "v004" in text and "../../v004" not in text


def test_the_command_is_copied_exactly(tmp_path):
    one = point(0, 0.5, {"head": "mlp"}, command="slimline 'ingest.images=my \"best\" photos' head=mlp")
    page = Seen(page_of(write_sweep(tmp_path, [one])))
    assert one["command"] in page.texts
    assert [row["aria-label"] for row in page.all("button") if row.get("class") == "copy"] == [
        "copy the command of point 0"
    ]


def test_seeds_have_an_interval_and_a_caution(tmp_path):
    """Student's interval of the mean of three values: the mean plus and minus 4.3027 times s / sqrt(3)."""
    seeds = {"spread": 0.01, "artifacts": [None] * 3, "members": [None] * 3}
    rows = [
        point(0, 0.9, {"head": "mlp"}, scores=[0.89, 0.9, 0.91], **seeds),
        point(1, 0.88, {"head": "linear"}, scores=[0.87, 0.88, 0.89], **seeds),
        point(2, 0.8, {"head": "other"}, scores=[0.8, None, None], **seeds),
    ]
    folder = write_sweep(tmp_path, rows, seeds=3)
    text = page_of(folder)
    assert [row[3] for row in cells(text)] == ["0.8752 to 0.9248", "0.8552 to 0.9048", ""]
    said = "over 3 seeds has a 95% interval of 0.8752 to 0.9248. 1 of the 2 other points is in it"
    assert said in section(text, "How sure the order is")
    assert printed_table(read_sweep(folder)).splitlines()[1].split()[:4] == ["1", "0.9000", "0.1000", "0.0248"]


def test_the_interval_of_an_accuracy_ends_at_1(tmp_path):
    rows = [point(0, 0.95, {"head": "mlp"}, scores=[0.9, 1.0])]
    assert cells(page_of(write_sweep(tmp_path, rows, seeds=2)))[0][3] == "0.3147 to 1.0000"
    metrics = [{"name": LOSS, "maximize": False}]
    assert cells(page_of(write_sweep(tmp_path, rows, "s004", seeds=2, metrics=metrics)))[0][3] == "0.3147 to 1.5853"


def test_the_pareto_front_is_marked(tmp_path):
    adds = "base.multiply_adds"
    metrics = [{"name": TOP1, "maximize": True}, {"name": adds, "maximize": False}]
    rows = [
        point(0, 0.9, {"base": "large"}, **{adds: 4e8}, pareto=True),
        point(1, 0.85, {"base": "middle"}, **{adds: 5e8}, pareto=False),
        point(2, 0.8, {"base": "small"}, **{adds: 1e8}, pareto=True),
        point(3, None, {"base": "broken"}, **{adds: None}, pareto=None),
    ]
    folder = write_sweep(tmp_path, rows, metrics=metrics)
    text = page_of(folder)
    assert [row[2:6] for row in cells(text)] == [
        ["0.9000", "400.0M", "0.1000", "yes"],
        ["0.8500", "500.0M", "0.1500", ""],
        ["0.8000", "100.0M", "0.2000", "yes"],
        ["", "", "", ""],
    ]
    shown = parallel_figure(read_sweep(folder))
    assert [(trace["name"], trace["x"].count(None)) for trace in shown["data"]] == [
        ("other points", 1),
        ("Pareto front", 2),
    ]
    lines = printed_table(read_sweep(folder)).splitlines()
    assert [line.split()[0] for line in lines[1:4]] == ["*1", "2", "*3"]
    assert lines[-1] == "* on the Pareto front"
    assert text.count("Not computed: it takes two settings that vary") == 2


@pytest.mark.parametrize("status", ["failed", "skipped", "pruned"])
def test_points_without_a_score_are_listed_with_their_whole_error_once(status, tmp_path):
    rows = [
        *grid(2),
        *(point(5 + one, None, {"head": "mlp", RATE: 9.0 + one}, status=status, error=NAN) for one in (0, 1)),
    ]
    found = section(page_of(write_sweep(tmp_path, rows)), "Points that did not complete")
    assert f"<h3>{status}: 2 points</h3>" in found
    assert found.count(NAN) == 1
    assert '<td>6</td><td class="text">head=mlp learning_rate=10</td>' in found


def test_a_sweep_whose_points_all_failed_has_no_winner(tmp_path):
    folder = write_sweep(tmp_path, [point(0, None, {"head": "mlp"}), point(1, None, {"head": "linear"})])
    text = page_of(folder)
    assert "No point has a score" in text
    assert "plotly" not in text  # there is no chart, so that the page is small
    assert cells(text)[0] == ["", "0", "", "", "mlp", "1.5 s", "failed: The loss is NaN.", ""]
    assert "failed" in printed_table(read_sweep(folder)).splitlines()[1]


def test_one_point_and_a_sweep_that_runs(tmp_path):
    folder = write_sweep(tmp_path, grid(1), status="running")
    text = page_of(folder)
    assert "This sweep is not complete: its status is running." in text
    assert "it takes 8 points with a score, and there are 1" in text
    assert [trace["name"] for trace in parallel_figure(read_sweep(folder))["data"]] == ["best"]


@pytest.mark.slow
def test_importance_is_shown_with_how_much_it_explains(tmp_path):
    found = section(page_of(write_sweep(tmp_path, grid(24))), "Importance of each setting")
    shares = dict(re.findall(r'<td class="text">([\w.]+)</td><td>([\d.]+)%</td>', found))
    assert list(shares) == [RATE, "head"]
    assert float(shares[RATE]) > 90
    assert "cross-validated R²" in found


def test_hostile_texts_are_safe_wherever_they_are_shown(tmp_path):
    """A folder's name and a setting's name cannot be hostile on their own, but nothing may depend on that."""
    rows = [
        point(number, score, {HOSTILE: f"{HOSTILE}{number}", RATE: 0.1 * number}, error=HOSTILE, command=HOSTILE)
        for number, score in enumerate([0.9, 0.8, None])
    ]
    rows[1]["run"] = HOSTILE
    about = {"experiment": HOSTILE, "fixed": [HOSTILE], "command": [HOSTILE], "status": HOSTILE}
    folder = write_sweep(tmp_path, rows, target=HOSTILE, **about)
    write_history(folder, rows[0]["artifacts"][0])
    page = harmless(leaderboard_page(read_sweep(folder)))
    assert page.text.count(HOSTILE) > 20
    assert any(attributes.get("title") == HOSTILE for attributes in page.all("button"))


@pytest.mark.slow
def test_curves_are_those_of_the_best_points(tmp_path):
    points = grid(14)
    for number, one in enumerate(points):
        one |= {"artifacts": ["../../../store/stack/key/1"], "members": [number]}
    points[1] |= {"artifacts": ["../../../store/train/gone/1"], "members": [None]}
    points[2] |= {"artifacts": [None]}
    points[3] |= {"artifacts": ["../../../store/train/alone/1"], "members": [None]}
    folder = write_sweep(tmp_path, points)
    write_history(folder, "../../../store/stack/key/1", members=14)
    write_history(folder, "../../../store/train/alone/1")
    curves, missing = read_curves(read_sweep(folder))
    assert [curve.row["rank"] for curve in curves] == [1, 4, 5, 6, 7, 8, 9, 10]
    assert [row["rank"] for row in missing] == [2, 3]
    assert curves[0].measures["validation_accuracy"] == pytest.approx([0.6, 0.7, 0.8])
    assert curves[1].epochs == [1, 2, 3]
    assert curves[2].measures["validation_accuracy"] == pytest.approx([0.64, 0.74, 0.84])
    found = section(page_of(folder), "Learning curves")
    assert "Shown: 8 of 14 points with a score" in found
    assert "No history was found for 2 of the best points." in found
    assert MOST_CURVES == 10


def test_a_page_without_any_history_says_so(tmp_path):
    found = section(page_of(write_sweep(tmp_path, grid(3))), "Learning curves")
    assert "No history was found for 3 of the best points." in found
    assert "Shown" not in found


@pytest.mark.slow
def test_validation_photos_say_how_many_points_may_be_as_good(tmp_path):
    """Wilson's interval of 90 of 100: 82.6% to 94.5%, which contains the points down to 0.829."""
    points = grid(20)
    folder = write_sweep(tmp_path, points)
    write_history(folder, points[0]["artifacts"][0], photos=100)
    said = (
        "On 100 validation photos, the best train.validation_top1 has a 95% interval of 0.8256 to 0.9448. 15 of the 19"
    )
    assert said in page_of(folder)
    other = write_sweep(tmp_path, [{**grid(1)[0], "run": "v004", "artifacts": [None]}, *grid(2)[1:]], "s004")
    assert "validation photos, the best" not in page_of(other)
    write_run(other, "v004", stages={"ingest": {"facts": {"validation": 50}}})
    assert "On 50 validation photos" in page_of(other)


def test_ties_are_said(tmp_path):
    rows = [point(number, 0.8667, {"head": str(number)}, **{LOSS: 0.1 * number}) for number in range(8)]
    text = page_of(write_sweep(tmp_path, rows))
    assert "8 points share the best value, 0.8667; train.validation_loss decides between them." in text
    assert "the order of the points decides" in page_of(write_sweep(tmp_path, rows, "s004", tie=None))


@pytest.mark.parametrize(
    ("metric", "fixed", "said"),
    [
        ("evaluate.top1", [], True),
        ("export.saved_model_top1", [], True),
        ("evaluate.top1", ["evaluate.split=validation"], False),
        ("export.size_mb", [], False),
        ("export.latency_seconds", [], False),
        ("train.validation_top1", [], False),
    ],
)
def test_a_choice_on_test_photos_is_cautioned_against(metric, fixed, said, tmp_path):
    rows = [point(0, 0.5, {"head": "mlp"}, **{metric: 0.5})]
    text = page_of(write_sweep(tmp_path, rows, metrics=[{"name": metric, "maximize": True}], fixed=fixed))
    assert ("the test photos were used to choose" in text) == said


def test_axes_are_logarithmic_where_the_values_are():
    axis = make_axis("rate", [0.001, 0.01, None, 0.1])
    assert axis.places == [0, 0.5, None, 1]
    assert axis.ticks == [(0, "0.001"), (0.5, "0.01"), (1, "0.1")]
    assert make_axis("smoothing", [0.0, 0.1, 0.2]).places == [0, 0.5, 1]
    assert make_axis("uniform", [0.01, 0.05, 0.1]).places[1] == pytest.approx(0.4444)
    assert make_axis("head", ["mlp", None, "linear"]).places == [1, None, 0]
    assert make_axis("one", [3, 3]).places == [0.5, 0.5]
    assert make_axis("none", [None]).places == [None]
    assert [text for _, text in make_axis("many", [float(one) for one in range(101)]).ticks] == [
        "0", "25", "50", "75", "100"
    ]  # fmt: skip
    assert len(make_axis("texts", [f"text {one:03d}" for one in range(100)]).ticks) <= 8


def test_numbers_are_short():
    assert [figure(one) for one in (None, 3, 3.0, 0.012345, 383_907_552.0, "mlp", 12_000)] == [
        "", "3", "3", "0.01235", "383.9M", "mlp", "12,000"
    ]  # fmt: skip
    assert measures([1.0, 0.98765, None, 0.0001]) == ["1.0000", "0.9877", "", "0.0001"]
    assert measures([25.0, 30.0]) == ["25", "30"]
    assert short_names(["a.rate", "b.rate", "a.c.head"]) == ["a.rate", "b.rate", "head"]


def test_the_terminal_shows_the_best_points_within_its_width(tmp_path):
    points = [{**one, "head": "a rather long name of a head " * 3} for one in grid(24)]
    lines = printed_table(read_sweep(write_sweep(tmp_path, points))).splitlines()
    assert max(map(len, lines)) <= WIDTH == 100
    assert lines[-1] == "and 4 more points"
    assert lines[0].split() == ["rank", "validation_top1", "validation_loss", "seconds", "point", "what", "varied"]


def test_the_page_is_the_same_when_it_is_written_again(tmp_path):
    folder = write_sweep(tmp_path, grid(6))
    assert page_of(folder) == page_of(folder)
    assert sorted(path.name for path in folder.iterdir()) == ["leaderboard.html", "leaderboard.parquet", "sweep.json"]


@pytest.mark.slow
def test_a_thousand_points_stay_small(tmp_path):
    rows = grid(1000)
    folder = write_sweep(tmp_path, rows)
    began = time.process_time()
    text = page_of(folder)
    assert time.process_time() - began < 20  # 2 s on an idle machine
    own = len(text) - len(re.findall(r'id="plotly">(.*?)</script>', text)[0])
    assert own < 1_200_000
    assert len(cells(text)) == 1000


def test_damaged_and_later_files_are_answered(tmp_path):
    with pytest.raises(UserError, match=r"is not the folder of a sweep: it has no sweep\.json"):
        write_leaderboard(tmp_path)
    folder = write_sweep(tmp_path, [])
    with pytest.raises(UserError, match="has no points yet"):
        write_leaderboard(folder)
    (folder / "leaderboard.parquet").unlink()
    with pytest.raises(UserError, match="has no points yet"):
        write_leaderboard(folder)
    folder = write_sweep(tmp_path, grid(2), "s005")
    (folder / "leaderboard.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match=r"leaderboard\.parquet is damaged \(ArrowInvalid"):
        write_leaderboard(folder)
    folder = write_sweep(tmp_path, grid(2), "s006")
    record = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    write_json(folder / "sweep.json", {name: value for name, value in record.items() if name != "metrics"})
    with pytest.raises(UserError, match=r"is damaged \(KeyError: 'metrics'\)"):
        write_leaderboard(folder)
    (folder / "sweep.json").write_text('{"format": 1', encoding="utf-8")
    with pytest.raises(UserError, match=r"sweep\.json is damaged \(JSONDecodeError"):
        write_leaderboard(folder)
    write_json(folder / "sweep.json", {**record, "format": 2})
    with pytest.raises(UserError, match=r"later version of Slimline: its format is 2; this version reads 1\."):
        write_leaderboard(folder)


@pytest.fixture
def realistic(tmp_path) -> Path:
    rows = [*grid(30), point(99, None, {"head": "mlp", RATE: 5.0}, error=NAN)]
    rows[0]["run"] = "v004"
    folder = write_sweep(tmp_path, rows)
    for one in rows[:10]:
        write_history(folder, one["artifacts"][0], photos=100)
    write_run(folder, "v004")
    write_leaderboard(folder)
    return folder / PAGE


@needs_browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_opens_it_from_disk(realistic, scheme):
    with opened(color_scheme=scheme, viewport={"width": 1100, "height": 900}) as page:
        page.goto(realistic.as_uri())
        page.wait_for_function("typeof Plotly === 'object'")
        for place in page.query_selector_all(".chart"):
            place.scroll_into_view_if_needed()
            page.wait_for_function("chart => chart.dataset.drawn", arg=place)
        page.click("#board summary")
        assert page.said == []
        assert [url for url in page.asked if not url.startswith(("file:", "data:", "blob:"))] == []
        assert accessibility_faults(page) == []


@needs_browser
def test_columns_are_sorted_with_the_keyboard(realistic):
    with opened() as page:
        page.goto(realistic.as_uri())
        rank, _, _, _, head, rate = page.query_selector_all("#board th button")[:6]
        first = "document.querySelector('#board tbody').rows[0].cells[{}].textContent"
        rate.focus()
        page.keyboard.press("Enter")
        assert rate.evaluate("button => button.parentElement.getAttribute('aria-sort')") == "ascending"
        assert page.evaluate(first.format(5)) == figure(0.1 / 15)
        page.keyboard.press("Enter")
        assert rate.evaluate("button => button.parentElement.getAttribute('aria-sort')") == "descending"
        assert page.evaluate(first.format(5)) == "5"
        head.click()
        assert page.evaluate(first.format(4)) == "linear"
        assert rate.evaluate("button => button.parentElement.getAttribute('aria-sort')") == "none"
        rank.click()
        rank.click()
        assert page.evaluate(first.format(0)) == "30"
        last = "[...document.querySelectorAll('#board tbody tr')].at(-1).cells[1].textContent"
        assert page.evaluate(last) == "99"  # without a rank: last in both directions
        assert page.said == []


@needs_browser
def test_a_command_is_copied_or_selected(realistic):
    command = read_sweep(realistic.parent).rows[0]["command"]
    with opened() as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(realistic.as_uri())
        page.click("#board .copy")
        page.wait_for_function("document.querySelector('.said').textContent")
        assert page.inner_text(".said") == f"Copied: {command}"
        assert page.evaluate("navigator.clipboard.readText()") == command
        page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('denied')); }")
        page.click("#board .copy")
        page.wait_for_function("document.querySelector('.said').textContent.includes('Ctrl-C')")
        assert page.evaluate("String(getSelection())").strip() == command
        assert page.said == []


@needs_browser
def test_it_fits_a_phone_and_can_be_printed(realistic, tmp_path):
    with opened(viewport={"width": 360, "height": 740}, is_mobile=True) as page:
        page.goto(realistic.as_uri())
        page.wait_for_function("typeof Plotly === 'object'")
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.pdf(path=str(tmp_path / "board.pdf"))
        assert (tmp_path / "board.pdf").stat().st_size > 20_000
        assert page.said == []


@needs_browser
def test_a_thousand_points_are_usable(tmp_path):
    folder = write_sweep(tmp_path, grid(1000))
    write_leaderboard(folder)
    with opened() as page:
        page.goto((folder / PAGE).as_uri())
        page.wait_for_function("typeof Plotly === 'object'")
        chart = page.query_selector(".chart")
        began = time.perf_counter()
        chart.scroll_into_view_if_needed()
        page.wait_for_function("chart => chart.dataset.drawn", arg=chart)
        page.click("#board th button >> nth=2")
        assert time.perf_counter() - began < 10  # 0.6 s on an idle machine
        assert page.evaluate("document.querySelector('#board tbody').rows.length") == 1000
        assert page.said == []
