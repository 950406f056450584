"""Classify: an exported model names photos from every kind of source, reports unusable ones, in limited memory."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.errors import UserError
from slimline.stages.classify import classify
from slimline.stages.data.checking.usable_photos import Looked, count_photos, usable_photos
from slimline.stages.evaluate import evaluate
from slimline.stages.evaluation.config import EvaluateConfig
from slimline.stages.export import export
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.models.formats import FILES, Format
from slimline.stages.models.opened import OpenedModel
from slimline.stages.serving.answers import COLUMNS
from slimline.stages.serving.classify_config import ClassifyConfig, Kind
from slimline.stages.serving.classify_settle import settle_images
from slimline.stages.serving.scored_photos import scored_photos
from tests.stages.toy_training import CLASSES, config, draw_photos, phase

pytestmark = pytest.mark.slow

FORMATS = [Format.saved_model, Format.frozen_graph, Format.litert, Format.onnx]


@pytest.fixture(scope="module")
def exported(toys) -> Path:
    """A run's folder, with the files that classify reads."""
    made = {"ingest": toys.ingest}
    for name, function, asked in (
        ("train", toys.train, config(phase("head", epochs=8))),
        ("evaluate", evaluate, EvaluateConfig(seed=0)),
        ("export", export, ExportConfig(FORMATS)),
    ):
        out = toys.folder / "run/artifacts" / name
        out.mkdir(parents=True)
        facts = function(asked, out, **(made if name != "train" else {}))
        made[name] = Artifact(name, "k", 1, out, name[0], 0.0, facts, {})
    return toys.folder / "run"


@pytest.fixture(scope="module")
def photos(toys) -> Path:
    folder = toys.folder / "given"
    draw_photos(folder, 20)
    return folder


def run(asked: ClassifyConfig, out: Path) -> dict:
    out.mkdir(exist_ok=True)
    return classify(settle_images(asked, False), out, base=None)


def rows(out: Path) -> list[dict]:
    return pq.read_table(out / "predictions.parquet").to_pylist()


@pytest.mark.parametrize("one", FORMATS)
def test_every_format_gives_photos_the_same_names(exported, photos, tmp_path, one):
    model = exported / "artifacts/export" / FILES[one]
    facts = run(ClassifyConfig([str(photos)], str(model), write=list(Kind)), tmp_path / "one")
    run(ClassifyConfig([str(photos)], str(exported)), tmp_path / "whole")
    found, wanted = rows(tmp_path / "one"), rows(tmp_path / "whole")
    assert facts["images"] == 20
    assert [row["path"] for row in found] == [str(path) for path in sorted(photos.rglob("*.png")) for _ in CLASSES]
    assert [row["rank"] for row in found] == [1, 2, 3] * 20
    assert [row["name"] for row in found] == [row["name"] for row in wanted]
    assert [row["score"] for row in found] == pytest.approx([row["score"] for row in wanted], abs=1e-4)
    lines = (tmp_path / "one/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == found
    with (tmp_path / "one/predictions.csv").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert [(row["path"], row["name"], float(row["score"])) for row in table] == [
        (row["path"], row["name"], row["score"]) for row in found
    ]


def test_most_photos_are_named_right(exported, photos, tmp_path):
    run(ClassifyConfig([str(photos)], str(exported), top=1), tmp_path / "out")
    assert np.mean([Path(row["path"]).parent.name == row["name"] for row in rows(tmp_path / "out")]) > 0.6


def test_photos_inside_a_parquet_file_get_the_same_names_as_files(exported, photos, tmp_path):
    paths, given = sorted(photos.rglob("*.png")), tmp_path / "given"
    given.mkdir()
    images = [{"bytes": path.read_bytes(), "path": path.name} for path in paths] + [{"bytes": None, "path": "x"}]
    pq.write_table(pa.table({"number": range(21), "image": images}), given / "given.parquet")
    run(ClassifyConfig([str(photos)], str(exported)), tmp_path / "files")
    assert count_photos([given / "given.parquet", *paths]) == 41
    with pytest.raises(UserError, match=r"1 of 21 photos could not be classified"):
        run(ClassifyConfig([str(given)], str(exported)), tmp_path / "out")
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found[::3]] == [f"{given}/given.parquet#{number}" for number in range(20)]
    assert [row["score"] for row in found] == pytest.approx(
        [row["score"] for row in rows(tmp_path / "files")], abs=1e-6
    )


def test_a_table_without_images_is_refused(exported, tmp_path):
    pq.write_table(pa.table({"number": [1]}), tmp_path / "given.parquet")
    with pytest.raises(UserError, match="has no column of images; it has: number"):
        run(ClassifyConfig([str(tmp_path / "given.parquet")], str(exported)), tmp_path / "out")


def test_unusable_photos_are_reported_and_the_others_are_named(exported, photos, tmp_path, capsys):
    good = sorted(photos.rglob("*.png"))[0]
    folder = tmp_path / "mixed"
    folder.mkdir()
    (folder / "a.png").write_bytes(good.read_bytes())
    (folder / "b.png").write_bytes(good.read_bytes()[:60])
    (folder / "c.jpg").write_bytes(b"")
    (folder / "d.jpg").symlink_to(tmp_path / "nowhere")
    (folder / "e.png").write_bytes(good.read_bytes())
    listed = [
        str(folder / f"{letter}.{kind}") for letter, kind in zip("abce", ("png", "png", "jpg", "png"), strict=True)
    ]
    with pytest.raises(UserError, match=r"2 of 4 photos could not be classified; .*failures\.jsonl says why"):
        run(ClassifyConfig(listed, str(exported), top=1), tmp_path / "out")
    assert [Path(row["path"]).name for row in rows(tmp_path / "out")] == ["a.png", "e.png"]
    lines = (tmp_path / "out/failures.jsonl").read_text(encoding="utf-8").splitlines()
    failures = [json.loads(line) for line in lines]
    assert [Path(row["path"]).name for row in failures] == ["b.png", "c.jpg"]
    assert all(row["reason"] for row in failures)
    assert "b.png\nnot classified: " in capsys.readouterr().out


def test_a_photo_below_the_threshold_is_unknown(exported, photos, tmp_path, capsys):
    facts = run(ClassifyConfig([str(photos)], str(exported), threshold=1.0), tmp_path / "all")
    assert facts["unknown"] == sum(row["rejected"] for row in rows(tmp_path / "all")[::3]) >= 10
    said = capsys.readouterr().out
    first = rows(tmp_path / "all")[0]
    assert (
        f"unknown: the best guess, {first['name']}, has the score {first['score']:.5f}, below the threshold 1.00000"
        in said.splitlines()
    )
    assert run(ClassifyConfig([str(photos)], str(exported), threshold=0.0), tmp_path / "none")["unknown"] == 0
    own = run(ClassifyConfig([str(photos)], str(exported)), tmp_path / "own")
    kept = json.loads((exported / "artifacts/export/model.json").read_text(encoding="utf-8"))["threshold"] or 0.0
    assert own["threshold"] == kept
    best = [row for row in rows(tmp_path / "own") if row["rank"] == 1]
    assert [row["rejected"] for row in best] == [row["score"] < kept for row in best]


def test_the_number_of_printed_photos_is_limited(exported, photos, tmp_path, capsys):
    run(ClassifyConfig([str(photos)], str(exported), shown=2), tmp_path / "out")
    said = capsys.readouterr().out
    assert said.count(".png\n") == 2
    assert "and 18 more" in said
    assert len(rows(tmp_path / "out")) == 60


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_photos_stay_in_order_and_few_are_in_memory(batch_size):
    sizes = []

    def score(encoded):
        sizes.append(len(encoded))
        return np.array([[int(one), 0.0] for one in encoded])

    taken = []

    def given():
        for number in range(20):
            taken.append(number)
            yield Looked(
                str(number), b"" if number % 5 == 0 else str(number).encode(), "bad" if number % 5 == 0 else ""
            )

    model = OpenedModel(["a", "b"], 0.0, True, score, 2)
    seen = []
    for photo, scores in scored_photos(model, given(), batch_size):
        seen.append(photo.name)
        assert len(taken) - len(seen) < 4 * batch_size
        assert (scores is None) if photo.reason else (scores[0] == int(photo.name))
    assert seen == [str(number) for number in range(20)]
    assert sum(sizes) == 16


def test_without_usable_photos_the_network_is_not_run():
    model = OpenedModel(["a"], 0.0, True, lambda encoded: pytest.fail("the network was run"), 1)
    assert [scores for _, scores in scored_photos(model, [Looked("x", reason="bad")], 4)] == [None]


def test_too_many_pixels_are_refused_by_the_header(tmp_path):
    from PIL import Image

    from slimline.stages.data.checking.usable_photos import LIMITS

    Image.new("L", (300, 300)).save(tmp_path / "large.png")
    [found] = usable_photos([tmp_path / "large.png"], LIMITS._replace(pixels=80_000))
    assert "300" in found.reason


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "nowhere"}, "classify.model=nowhere contains no exported model"),
        ({"images": ["nowhere/*.jpg"]}, "does not exist, and matches no files"),
        ({"threshold": 2.0}, "classify.threshold"),
        ({"batch_size": 0}, "classify.batch_size"),
    ],
)
def test_missing_files_are_refused_before_anything_runs(asked, said):
    with pytest.raises(UserError, match=said):
        settle_images(replace(ClassifyConfig(**asked)), False)


def test_file_names_that_are_not_text_are_written_as_escapes(exported, photos, tmp_path):
    good = sorted(photos.rglob("*.png"))[0].read_bytes()
    folder = tmp_path / "odd"
    folder.mkdir()
    name = bytes(folder) + b"/caf\xe9.png"
    with open(name, "wb") as file:  # noqa: PTH123  # a path of bytes
        file.write(good)
    run(ClassifyConfig([str(folder)], str(exported), write=list(Kind)), tmp_path / "out")
    assert rows(tmp_path / "out")[0]["path"].endswith("caf\\xe9.png")
    assert list(COLUMNS) == list(rows(tmp_path / "out")[0])
