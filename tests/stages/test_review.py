"""Review: a row and a picture for each label that the features contradict, shown on the dataset page with a test."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.pipeline.artifact import Artifact
from slimline.stages.data import reviewing
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.reviewing import PLANTED_FILE
from slimline.stages.data.settle import settle_source
from slimline.stages.data.splitting.config import SPLITS
from slimline.stages.data.storing.pictures import FILE, Role, read_pictures
from slimline.stages.dataset import DatasetConfig, dataset
from slimline.stages.ingest import ingest
from slimline.stages.review import ReviewConfig, review

WIDTH = 8
WRONG = "bee/3 <b>&.jpg"


@pytest.fixture(scope="module")
def ingested(tmp_path_factory) -> Artifact:
    folder, out = tmp_path_factory.mktemp("photos"), tmp_path_factory.mktemp("ingest")
    draw = np.random.default_rng(0)
    for label in ("ant", "bee"):
        (folder / label).mkdir()
        for number in range(40):
            pixels = draw.integers(0, 256, (24, 32, 3), dtype=np.uint8)
            name = WRONG if (label, number) == ("bee", 3) else f"{label}/{number}.jpg"
            Image.fromarray(pixels).save(folder / name)
    facts = ingest(settle_source(IngestConfig(images=str(folder), seed=0), False), out)
    return Artifact("ingest", "k", 1, out, "d", 0.0, facts, {})


@pytest.fixture(scope="module")
def features(ingested, tmp_path_factory) -> Artifact:
    """Give each photo features near its label's center, except for one photo near the other label's center."""
    out, draw = tmp_path_factory.mktemp("features"), np.random.default_rng(1)
    rows = pq.read_table(ingested.path / "index.parquet").to_pylist()
    for split in SPLITS:
        own = [row for row in rows if row["split"] == split]
        at = [(row["label"] == "bee") != (row["path"] == WRONG) for row in own]
        values = [(np.full(WIDTH, 4.0 * side) + draw.normal(0, 1, WIDTH)).astype(np.float32) for side in at]
        table = {
            "sha256": [row["sha256"] for row in own],
            "label": pa.array([int(row["label"] == "bee") for row in own], pa.int64()),
            "features": pa.array(values, pa.list_(pa.float32(), WIDTH)),
        }
        with pa.OSFile(str(out / f"{split}.arrow"), "wb") as sink:
            made = pa.table(table)
            with pa.ipc.new_file(sink, made.schema) as writer:
                writer.write_table(made, max_chunksize=16)
    return Artifact("features", "k", 1, out, "d", 0.0, {}, {})


def run(out: Path, ingested: Artifact, features: Artifact, **settings):
    out.mkdir()
    facts = review(ReviewConfig(seed=0, **settings), out, ingest=ingested, features=features)
    return facts, pq.read_table(out / "label_errors.parquet").to_pylist()


def test_a_wrong_label_has_a_row(ingested, features, tmp_path):
    facts, rows = run(tmp_path / "out", ingested, features)
    assert [(row["path"], row["label"], row["named"]) for row in rows] == [(WRONG, "bee", "ant")]
    assert rows[0]["score"] > 0.5 > rows[0]["label_score"]
    assert rows[0]["split"] in SPLITS
    assert rows[0]["margin"] == pytest.approx(rows[0]["score"] - rows[0]["label_score"])
    assert (facts["images"], facts["unreviewed"], facts["candidates"]) == (80, 0, 1)
    assert facts["cross_validated_top1"] == pytest.approx(79 / 80)


def test_planted_errors_are_listed_with_their_ranks(ingested, features, tmp_path):
    facts, _ = run(tmp_path / "out", ingested, features)
    rows = pq.read_table(tmp_path / "out" / PLANTED_FILE).to_pylist()
    assert len(rows) == facts["planted"] == 4  # 5% of 80
    assert all({row["label"], row["planted"]} == {"ant", "bee"} for row in rows)
    found = [row["rank"] for row in rows if row["rank"]]
    assert len(found) == facts["planted_found"] >= 3
    assert found == sorted(found)
    assert 1 <= found[0] <= found[-1] <= facts["planted_candidates"]
    paths = {row["sha256"]: row["path"] for row in pq.read_table(ingested.path / "index.parquet").to_pylist()}
    assert all(paths[row["sha256"]] == row["path"] for row in rows)
    assert f"a test found {len(found)} of 4 planted errors" in facts["headline"]


def everything_doubtful(doubts, test):
    return doubts._replace(doubtful=np.ones(len(doubts.named), bool)), test


def test_it_writes_a_picture_and_no_page(ingested, features, tmp_path):
    run(tmp_path / "out", ingested, features)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["label_errors.parquet", FILE, PLANTED_FILE]
    [picture] = read_pictures(tmp_path / "out")
    assert (picture.row, picture.role, picture.other) == (0, Role.label_error, None)
    assert Image.open(io.BytesIO(picture.jpeg)).size == (32, 24)


def test_the_same_photos_give_the_same_bytes(ingested, features, tmp_path):
    for name in ("one", "two"):
        run(tmp_path / name, ingested, features)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes(), path.name


def test_pictures_are_of_the_most_confident_rows_and_limited(ingested, features, monkeypatch, tmp_path):
    monkeypatch.setattr(reviewing, "MOST_PICTURES", 3)
    doubt = reviewing.doubt_labels
    monkeypatch.setattr(reviewing, "doubt_labels", lambda *given: everything_doubtful(*doubt(*given)))
    facts, rows = run(tmp_path / "out", ingested, features)
    assert facts["candidates"] == len(rows) == 80
    assert rows == sorted(rows, key=lambda row: -row["margin"])
    assert [one.row for one in read_pictures(tmp_path / "out")] == [0, 1, 2]


def test_the_data_sets_page_shows_label_errors_after_review(ingested, features, tmp_path):
    facts, _ = run(tmp_path / "out", ingested, features)
    review = Artifact("review", "k", 1, tmp_path / "out", "d", 0.0, facts, {})
    pages = {}
    for name, given in (("before", None), ("after", review)):
        (tmp_path / name).mkdir()
        dataset(DatasetConfig(), tmp_path / name, ingest=ingested, review=given)
        pages[name] = (tmp_path / name / "dataset.html").read_text("utf-8")
    heading = "<h2>Candidates for label errors</h2>"
    assert heading not in pages["before"]
    section = pages["after"].partition(heading)[2].partition("</section>")[0]
    assert "bee/3 &lt;b&gt;&amp;.jpg" in section
    assert WRONG not in pages["after"]
    [encoded] = [part.partition('"')[0] for part in section.split('src="data:image/jpeg;base64,')[1:]]
    assert base64.b64decode(encoded) == read_pictures(tmp_path / "out")[0].jpeg
    assert pages["after"].startswith(pages["before"][: pages["before"].index("<nav")])


def test_blocks_limit_the_number_of_photos_at_a_time(ingested, features, monkeypatch, tmp_path):
    seen, doubt = [], reviewing.doubt_labels
    monkeypatch.setattr(
        reviewing, "doubt_labels", lambda *arguments: seen.append(len(arguments[1])) or doubt(*arguments)
    )
    monkeypatch.setattr(ReviewConfig, "__post_init__", lambda self: None)  # a smaller block than the settings allow
    facts, rows = run(tmp_path / "out", ingested, features, block_photos=48)
    assert len(seen) > 1
    assert sum(seen) == facts["images"] == 80
    assert max(seen) <= 48 + 16  # at most one batch more
    assert len(rows) <= 2
