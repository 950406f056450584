"""Classify: an exported model names photos from every kind of source, reports unusable ones, in limited memory."""

from __future__ import annotations

import csv
import json
import shutil
import tarfile
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.errors import UserError
from slimline.pipeline.run_lines import stage_line
from slimline.stages.classify import classify
from slimline.stages.data.checking.input_files import input_files
from slimline.stages.data.checking.usable_photos import Looked, count_photos, usable_photos
from slimline.stages.evaluate import evaluate
from slimline.stages.evaluation.config import EvaluateConfig
from slimline.stages.export import export
from slimline.stages.exporting.config import ExportConfig
from slimline.stages.models.formats import FILES, Format
from slimline.stages.models.opened import OpenedModel
from slimline.stages.models.opened_export import open_model
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
        given = {"train": {}, "evaluate": toys.trained(made["train"]) if "train" in made else {}}.get(name, made)
        facts = function(asked, out, **given)
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
    assert count_photos(input_files([given / "given.parquet", *paths])) == 41
    facts = run(ClassifyConfig([str(given)], str(exported)), tmp_path / "out")
    assert facts["failures"][0].splitlines()[:2] == [
        "1 of 21 photos could not be classified:",
        f"  {given}/given.parquet#20: its row holds no bytes",
    ]
    found = rows(tmp_path / "out")
    assert [row["path"] for row in found[::3]] == [f"{given}/given.parquet#{number}" for number in range(20)]
    assert [row["score"] for row in found] == pytest.approx(
        [row["score"] for row in rows(tmp_path / "files")], abs=1e-6
    )


def test_a_hub_repository_is_a_folder_whose_tables_hold_the_photos(exported, photos, tmp_path):
    folder = tmp_path / "hub/plain_text"
    folder.mkdir(parents=True)
    (folder.parent / "README.md").write_text("configs")
    for name, part in (("train", slice(0, 12)), ("test", slice(12, None))):
        images = [{"bytes": path.read_bytes(), "path": path.name} for path in sorted(photos.rglob("*.png"))[part]]
        pq.write_table(pa.table({"image": images}), folder / f"{name}-00000-of-00001.parquet")
    facts = run(ClassifyConfig([str(folder.parent)], str(exported)), tmp_path / "out")
    assert facts["images"] == 20
    assert facts["headline"].startswith("left out 1 other file (.md)\nscores ")


def test_unusable_photos_are_reported_and_the_others_are_kept(exported, photos, tmp_path, capsys):
    good = sorted(photos.rglob("*.png"))[0].read_bytes()
    folder = tmp_path / "mixed"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.png").write_bytes(good)
    (folder / "broken.png").write_bytes(good[:60])
    (folder / "nothing.jpg").write_bytes(b"")
    (folder / "gone.jpg").symlink_to(tmp_path / "nowhere")
    (folder / "notes.txt").write_text("not a photo")
    (folder / "no extension").write_bytes(good)
    facts = run(ClassifyConfig([str(folder)], str(exported), top=1), tmp_path / "out")
    assert (facts["images"], facts["left_out"]) == (11, 3)
    line = stage_line("classify", "ran", "", 1.0, facts, classify.shown)
    assert line.split("s  ")[1].startswith("images 11, left_out 3, unknown ")
    assert facts["headline"].splitlines()[0].startswith("left out 3 of 14: ")
    assert facts["headline"].splitlines()[0].endswith("; also 1 other file (.txt)")
    told = facts["failures"][0].splitlines()
    assert told[0] == "3 of 14 photos could not be classified:"
    assert [line.split(":")[0] for line in told[1:4]] == [
        f"  {folder}/{name}" for name in ("broken.png", "gone.jpg", "nothing.jpg")
    ]
    assert told[4] == f"All reasons: {tmp_path / 'out/failures.jsonl'}"
    assert [Path(row["path"]).name for row in rows(tmp_path / "out")] == [
        *(f"{number}.png" for number in range(10)),
        "no extension",
    ]
    lines = (tmp_path / "out/failures.jsonl").read_text(encoding="utf-8").splitlines()
    left_out = {Path(row["path"]).name: row for row in map(json.loads, lines)}
    assert set(left_out) == {"broken.png", "gone.jpg", "nothing.jpg", "notes.txt"}
    assert left_out["broken.png"]["kind"] == "damaged"
    assert left_out["notes.txt"] == {
        "path": f"{folder}/notes.txt",
        "kind": "other file",
        "reason": "not named as a photo: .txt",
    }
    said = capsys.readouterr().out
    assert "broken.png\nnot classified: " in said
    assert "notes.txt" not in said


def phone_photos(folder: Path, photos: list[Path]) -> None:
    """Write HEIC photos, as iPhones take them."""
    heif = pytest.importorskip("pillow_heif")
    folder.mkdir()
    for photo in photos:
        heif.from_pillow(Image.open(photo).convert("RGB")).save(folder / f"{photo.stem}.HEIC", quality=100, chroma=444)


def test_heic_photos_are_named_as_their_pngs_are(exported, photos, tmp_path):
    phone_photos(tmp_path / "phone", sorted(photos.rglob("*.png")))
    facts = run(ClassifyConfig([str(tmp_path / "phone")], str(exported), top=1), tmp_path / "out")
    assert (facts["images"], facts["left_out"]) == (20, 0)
    named = {Path(row["path"]).stem: row["name"] for row in rows(tmp_path / "out")}
    wanted = {Path(row["path"]).stem: row["name"] for row in _named(exported, photos, tmp_path / "files")}
    assert sum(named[stem] == wanted[stem] for stem in wanted) >= 18


def test_heic_photos_that_can_not_be_read_are_counted_with_what_to_install(
    exported, photos, tmp_path, capsys, monkeypatch
):
    paths = sorted(photos.rglob("*.png"))
    phone_photos(tmp_path / "mixed", paths[:3])
    for path in paths[3:]:
        shutil.copy(path, tmp_path / "mixed")
    (tmp_path / "mixed/broken.png").write_bytes(paths[0].read_bytes()[:60])
    monkeypatch.setattr("slimline.stages.images.files.can_read_heif", lambda: False)
    facts = run(ClassifyConfig([str(tmp_path / "mixed")], str(exported), top=1), tmp_path / "out")
    line = "left out 4 of 21: 3 HEIC (pip install pillow-heif), 1 damaged"
    assert facts["headline"].splitlines()[0] == line
    assert (facts["images"], facts["left_out"]) == (17, 4)
    told = "not classified: it is HEIC, which needs another package: pip install pillow-heif"
    assert capsys.readouterr().out.count(told) == 3
    lines = (tmp_path / "out/failures.jsonl").read_text(encoding="utf-8").splitlines()
    assert sorted(json.loads(line)["kind"] for line in lines) == ["HEIC", "HEIC", "HEIC", "damaged"]


def test_a_photo_that_is_damaged_inside_is_named_and_the_decoder_prints_nothing(exported, tmp_path, capfd):
    folder = tmp_path / "photos"
    folder.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "good.jpg")
    whole = (folder / "good.jpg").read_bytes()
    middle = len(whole) // 2
    (folder / "cut.jpg").write_bytes(whole[:middle] + b"\xff\xd9")
    (folder / "overwritten.jpg").write_bytes(whole[:middle] + b"\xff\xd3" * 300 + whole[middle + 600 :])
    facts = run(ClassifyConfig([str(folder)], str(exported), top=1), tmp_path / "out")
    assert [Path(row["path"]).name for row in rows(tmp_path / "out")] == ["good.jpg"]
    assert facts["headline"].splitlines()[0] == "left out 2 of 3: 2 damaged"
    said = capfd.readouterr()
    assert "cut.jpg\nnot classified: damaged inside: libjpeg reports '" in said.out
    assert "overwritten.jpg\nnot classified: damaged inside: libjpeg reports '" in said.out
    assert "JPEG" not in said.err


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "parquet"])
@pytest.mark.parametrize("damage", ["cut", "other content"])
def test_a_damaged_table_or_archive_ends_only_itself(exported, photos, tmp_path, form, damage):
    paths = sorted(photos.rglob("*.png"))
    packed = tmp_path / f"packed.{form}"
    pack(packed, paths)
    facts = run(ClassifyConfig([str(packed)], str(exported), top=1), tmp_path / "whole")
    assert facts["images"] == 20
    assert "failures" not in facts
    named = [(Path(row["path"]).name.rpartition("#")[2], row["name"]) for row in rows(tmp_path / "whole")]
    assert [name for _, name in named] == [row["name"] for row in _named(exported, photos, tmp_path / "files")]
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) * 2 // 3] if damage == "cut" else b"hello, I am text" * 100)
    facts = run(ClassifyConfig([str(paths[0]), str(packed), str(paths[1])], str(exported), top=1), tmp_path / "out")
    found = [row["path"] for row in rows(tmp_path / "out")]
    assert (found[0], found[-1]) == (str(paths[0]), str(paths[1]))
    assert all(path.startswith(f"{packed}#") for path in found[1:-1])
    assert any(f"  {packed}: " in line for line in facts["failures"][0].splitlines())
    assert facts["images"] == len(found)


def _named(exported, photos, out: Path) -> list[dict]:
    run(ClassifyConfig([str(photos)], str(exported), top=1), out)
    return rows(out)


def pack(path: Path, photos: list[Path]) -> None:
    if path.suffix == ".parquet":
        pq.write_table(pa.table({"image": [photo.read_bytes() for photo in photos]}), path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            for photo in photos:
                archive.write(photo, photo.name)
    else:
        with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix == ".gz" else "w") as archive:
            for photo in photos:
                archive.add(photo, photo.name)


def test_a_table_without_images_is_named_with_its_columns(exported, photos, tmp_path):
    pq.write_table(pa.table({"number": [1]}), tmp_path / "given.parquet")
    good = sorted(photos.rglob("*.png"))[0]
    facts = run(ClassifyConfig([str(tmp_path / "given.parquet"), str(good)], str(exported)), tmp_path / "out")
    assert facts["images"] == 1
    assert f"  {tmp_path}/given.parquet: has no column of images; it has: number." in facts["failures"][0]
    with pytest.raises(UserError, match="has no column of images; it has: number"):
        run(ClassifyConfig([str(tmp_path / "given.parquet")], str(exported)), tmp_path / "alone")


def test_where_nothing_can_be_classified_the_command_fails(exported, photos, tmp_path):
    good = sorted(photos.rglob("*.png"))[0].read_bytes()
    (tmp_path / "broken.png").write_bytes(good[:60])
    with pytest.raises(UserError) as caught:
        run(ClassifyConfig([str(tmp_path / "broken.png")], str(exported)), tmp_path / "out")
    lines = str(caught.value).splitlines()
    assert lines[0] == "No photo could be classified:"
    assert lines[1].startswith(f"  {tmp_path}/broken.png: ")
    assert lines[2:] == [f"All reasons: {tmp_path}/out/failures.jsonl", "left out 1 of 1: 1 damaged"]
    assert (tmp_path / "out/failures.jsonl").stat().st_size


def test_a_photo_below_the_threshold_is_unknown(exported, photos, tmp_path, capsys):
    facts = run(ClassifyConfig([str(photos)], str(exported), threshold=1.0), tmp_path / "all")
    assert facts["unknown"] == sum(row["rejected"] for row in rows(tmp_path / "all")[::3]) >= 10
    best = rows(tmp_path / "all")[0]
    told = f"unknown: the best guess, {best['name']}, scores {best['score']:.5f}, below the threshold 1.00000"
    assert capsys.readouterr().out.splitlines()[1:3] == [best["path"], told]
    assert {row["threshold"] for row in rows(tmp_path / "all")} == {1.0}
    lines = (tmp_path / "all/predictions.jsonl").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["threshold"] for line in lines} == {1.0}
    assert run(ClassifyConfig([str(photos)], str(exported), threshold=0.0), tmp_path / "none")["unknown"] == 0
    own = run(ClassifyConfig([str(photos)], str(exported)), tmp_path / "own")
    kept = json.loads((exported / "artifacts/export/model.json").read_text(encoding="utf-8"))["threshold"]
    assert own["threshold"] == kept
    best = [row for row in rows(tmp_path / "own") if row["rank"] == 1]
    assert [row["rejected"] for row in best] == [kept is not None and row["score"] < kept for row in best]
    assert {row["threshold"] for row in best} == {kept}


@pytest.mark.parametrize("one", FORMATS)
def test_every_format_has_the_threshold_of_its_description(exported, one):
    description = json.loads((exported / "artifacts/export/model.json").read_text(encoding="utf-8"))
    assert open_model(exported / "artifacts/export" / FILES[one], 16).threshold == description["threshold"]


def test_without_a_threshold_no_photo_is_unknown(exported, photos, tmp_path):
    model = tmp_path / FILES[Format.litert]
    shutil.copy(exported / "artifacts/export" / model.name, model)
    description = json.loads((exported / "artifacts/export/model.json").read_text(encoding="utf-8"))
    (tmp_path / "model.json").write_text(json.dumps({**description, "threshold": None}))
    facts = run(ClassifyConfig([str(photos)], str(model)), tmp_path / "out")
    assert (facts["unknown"], facts["threshold"]) == (0, None)
    assert {(row["threshold"], row["rejected"]) for row in rows(tmp_path / "out")} == {(None, False)}


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

    model = OpenedModel(["a", "b"], None, True, score, 2)
    seen = []
    for photo, scores in scored_photos(model, given(), batch_size):
        seen.append(photo.name)
        assert len(taken) - len(seen) < 4 * batch_size
        assert (scores is None) if photo.reason else (scores[0] == int(photo.name))
    assert seen == [str(number) for number in range(20)]
    assert sum(sizes) == 16


def test_nothing_usable_needs_no_network():
    model = OpenedModel(["a"], None, True, lambda encoded: pytest.fail("it was asked"), 1)
    assert [scores for _, scores in scored_photos(model, [Looked("x", reason="bad")], 4)] == [None]


def test_too_many_pixels_are_refused_by_the_header(tmp_path):
    from slimline.stages.data.checking.usable_photos import LIMITS

    Image.new("L", (300, 300)).save(tmp_path / "large.png")
    [found] = usable_photos(input_files([tmp_path / "large.png"]), LIMITS._replace(pixels=80_000))
    assert "300" in found.reason


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "nowhere"}, "classify.model=nowhere contains no exported model"),
        ({"images": ["nowhere/*.jpg"]}, r"nowhere/\*.jpg matches no files"),
        ({"images": ["nowhere/a.jpg"]}, r"nowhere/a.jpg does not exist \(looked for /.*/nowhere/a.jpg\)"),
        ({"threshold": 2.0}, "classify.threshold"),
        ({"batch_size": 0}, "classify.batch_size"),
    ],
)
def test_missing_files_are_refused_before_anything_runs(asked, said):
    with pytest.raises(UserError, match=said):
        settle_images(replace(ClassifyConfig(**asked)), False)


def test_file_names_that_are_not_text_are_written_as_escapes(exported, photos, tmp_path, capsys):
    good = sorted(photos.rglob("*.png"))[0].read_bytes()
    folder = tmp_path / "odd"
    folder.mkdir()
    name = bytes(folder) + b"/caf\xe9.png"
    for path, content in ((name, good), (bytes(folder) + b"/\xe9.png", good[:60])):
        with open(path, "wb") as file:  # noqa: PTH123  # a path of bytes
            file.write(content)
    facts = run(ClassifyConfig([str(folder)], str(exported), write=list(Kind)), tmp_path / "out")
    assert rows(tmp_path / "out")[0]["path"].endswith("caf\\xe9.png")
    assert "/\\xe9.png: " in facts["failures"][0]
    assert "caf\\xe9.png\n" in capsys.readouterr().out
    assert list(COLUMNS) == list(rows(tmp_path / "out")[0])


def test_a_limit_is_named_as_a_setting_of_classify(exported, tmp_path):
    Image.new("L", (300, 300)).save(tmp_path / "large.png")
    with pytest.raises(UserError, match=r"300 x 300 pixels are more than classify\.max_pixels=80,000 allows"):
        run(ClassifyConfig([str(tmp_path)], str(exported), max_pixels=80_000), tmp_path / "out")
