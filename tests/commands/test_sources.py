"""Every kind of source, trained on end to end, in one sweep."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from slimline.stages.data.drawing.garden import SPECIES, draw_flower
from tests.commands.test_flowers import manifest, pipeline

pytestmark = pytest.mark.slow

PER_CLASS = 14


@pytest.fixture(scope="module")
def drawn() -> dict[str, bytes]:
    return {f"{name}/{number}.jpg": draw_flower(name, number, 0) for name in SPECIES for number in range(PER_CLASS)}


def hugging_face(folder: Path, drawn: dict[str, bytes]) -> str:
    """Write the hub's layout: one file per split, bytes in a struct, numbers as labels, their names in the schema."""
    feature = {"names": list(SPECIES), "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": {"label": feature, "image": {"_type": "Image"}}}})}
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), ("label", pa.int64())], metadata)
    (folder / "data").mkdir(parents=True)
    for split, start in (("train", 0), ("test", 10)):
        rows = [
            {"image": {"bytes": encoded, "path": Path(path).name}, "label": SPECIES.index(path.partition("/")[0])}
            for path, encoded in drawn.items()
            if (int(Path(path).stem) >= 10) == (start > 0)
        ]
        pq.write_table(pa.Table.from_pylist(rows, schema), folder / "data" / f"{split}-00000-of-00001.parquet")
    return str(folder)


def manifest_with_groups(folder: Path, drawn: dict[str, bytes]) -> str:
    """Write a CSV in which each two photos are a group, which must be in one split."""
    for path, encoded in drawn.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(encoded)
    with (folder / "photos.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(("path", "label", "group"))
        table.writerows(
            (path, path.partition("/")[0], f"plant {path.partition('/')[0]} {int(Path(path).stem) // 2}")
            for path in drawn
        )
    return str(folder / "photos.csv")


def archive(folder: Path, drawn: dict[str, bytes]) -> str:
    folder.mkdir(parents=True)
    with tarfile.open(folder / "flowers.tar.gz", "w:gz") as packed:
        for path, encoded in drawn.items():
            member = tarfile.TarInfo(f"flowers/{path}")
            member.size = len(encoded)
            packed.addfile(member, io.BytesIO(encoded))
    return str(folder / "flowers.tar.gz")


def zoo_records(folder: Path, drawn: dict[str, bytes]) -> str:
    """Write TFRecords as the zoo's conversion script does, with its labels.txt."""
    from slimline.stages.backend.tensorflow import tf

    folder.mkdir(parents=True)
    for split, start in (("train", 0), ("validation", 10)):
        with tf.io.TFRecordWriter(str(folder / f"flowers_{split}_00000-of-00001.tfrecord")) as writer:
            for path, encoded in drawn.items():
                if (int(Path(path).stem) >= 10) == (start > 0):
                    feature = {
                        "image/encoded": tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
                        "image/format": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"jpg"])),
                        "image/class/label": tf.train.Feature(
                            int64_list=tf.train.Int64List(value=[SPECIES.index(path.partition("/")[0])])
                        ),
                    }
                    writer.write(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    (folder / "labels.txt").write_text("".join(f"{number}:{name}\n" for number, name in enumerate(SPECIES)))
    return str(folder)


EACH_A_RUN = ("run.sweep.keep=4",)


def test_each_kind_of_source_trains_end_to_end(drawn, tmp_path):
    made = {
        make.__name__: make(tmp_path / make.__name__, drawn)
        for make in (hugging_face, manifest_with_groups, archive, zoo_records)
    }
    images = ",".join(f'"{path}"' for path in made.values())
    done = pipeline(tmp_path, "-m", "+experiment=flowers", "train.epochs=6", f"ingest.images={images}", *EACH_A_RUN)
    assert done.returncode == 0, done.stderr + done.stdout
    runs = sorted((tmp_path / "runs/flowers").glob("v*"), key=lambda run: manifest(run)["sweep"]["point"])
    points = [manifest(run) for run in runs]
    assert len(points) == len(made)
    for point, name in zip(points, made, strict=True):
        facts = point["stages"]["ingest"]["facts"]
        assert (facts["photos"] + facts["near_twins"], facts["classes"]) == (len(drawn), len(SPECIES)), name
        assert facts["split_by"] == ("given" if name in ("hugging_face", "zoo_records") else "hash"), name
        assert 0 <= point["stages"]["train"]["facts"]["validation_top1"] <= 1, name
    indexes = {}
    for run, name in zip(runs, made, strict=True):
        indexes[name] = pq.read_table(run / "artifacts/ingest/index.parquet").to_pylist()
        assert {row["label"] for row in indexes[name]} == set(SPECIES), name
    splits_of_groups = Counter(
        group for group, _ in {(row["group"], row["split"]) for row in indexes["manifest_with_groups"] if row["split"]}
    )
    assert set(splits_of_groups.values()) == {1}
    given = {row["split"] for row in indexes["hugging_face"] if "test-" in row["path"]}
    assert given == {"test"}
    [winner] = [found for found in points if "winner_of" in found]
    assert list(winner["stages"])[-4:] == ["evaluate", "export", "review", "report"]
