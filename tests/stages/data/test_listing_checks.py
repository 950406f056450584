"""Sources that can't be trained on are refused before anything runs, with what was found and what to type."""

from __future__ import annotations

import csv
import json
import logging
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from slimline.pipeline.arguments import rewrite_arguments
from slimline.pipeline.errors import UserError
from slimline.pipeline.settings import read_settings
from slimline.stages.data.config import IngestConfig
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources.photo import ClassFolder
from slimline.stages.ingest import ingest
from tests.stages.data.sources.making import class_files, pack, photos, picture, write

ODD = "it's, ä [new] {x} $HOME"
SHELLS = [shell for shell in ("bash", "zsh") if shutil.which(shell)]
PRINT_ARGUMENTS = "import json, sys; print(json.dumps(sys.argv[1:]))"


def settle(images: Path | str, **settings: object) -> IngestConfig:
    return settle_source(IngestConfig(images=str(images), seed=0, **settings), False)


def refusal(images: Path | str, **settings: object) -> str:
    with pytest.raises(UserError) as caught:
        settle(images, **settings)
    return str(caught.value)


def as_pasted(settings: str) -> IngestConfig:
    """Return the config that settings give that are pasted into each shell, and then settled."""
    read = []
    for shell in SHELLS:
        command = f"{sys.executable} -c '{PRINT_ARGUMENTS}' {settings}"
        done = subprocess.run([shell, "-c", command], capture_output=True, text=True, check=True)
        read.append(json.loads(done.stdout))
    assert read and all(one == read[0] for one in read)
    typed = OverridesParser.create().parse_overrides(rewrite_arguments(read[0], read_settings([ingest])))
    values = {override.key_or_group.removeprefix("ingest."): override.value() for override in typed}
    columns = {key.removeprefix("columns."): value for key, value in values.items() if key.startswith("columns.")}
    config = IngestConfig(images=str(values["images"]), seed=0, source=values.get("source", "auto"))
    return settle_source(replace(config, columns=replace(config.columns, **columns)), False)


@pytest.mark.parametrize("inside", ["flower_photos", "flower_photos/images", ODD, f"a/b/{ODD}"])
def test_a_folder_above_the_classes_is_answered_with_the_folder_that_holds_them(tmp_path: Path, inside: str) -> None:
    root = write(tmp_path / ODD, class_files(prefix=f"{inside}/"))
    message = refusal(root)
    assert message.startswith(f"{root} holds one folder, {inside}, which holds 2 classes: ")
    assert as_pasted(message.partition("2 classes: ")[2]).images == str(root / inside)


def test_a_folder_above_the_splits_is_answered_with_the_number_of_classes(tmp_path: Path) -> None:
    root = write(tmp_path, class_files(split=True, prefix="dataset/"))
    assert f"holds one folder, dataset, which holds 2 classes: ingest.images={root}/dataset" in refusal(root)


def test_one_class_is_refused_as_such(tmp_path: Path) -> None:
    assert "holds one class only, 'ant'" in refusal(write(tmp_path / "a", {"ant/1.jpg": picture(1)}))
    deep = {f"ant/x/{n}/1.jpg": picture(n) for n in range(1)}
    assert "holds one class only, 'ant'" in refusal(write(tmp_path / "b", deep))


@pytest.mark.parametrize("form", ["folder", "zip"])
def test_photos_in_no_class_folder_are_counted_and_class_folders_explained(tmp_path: Path, form: str) -> None:
    files = {f"{number}.JPG": picture(number) for number in range(20)}
    root = write(tmp_path / "flat", files) if form == "folder" else pack(tmp_path / "flat.zip", files)
    message = refusal(root)
    assert message.startswith(f"{root} holds 20 photos, none in a class folder.\n")
    assert "a folder of its own, named after the class: daisy/1.jpg" in message


def test_a_folder_without_photos_says_what_it_holds(tmp_path: Path) -> None:
    root = write(tmp_path, {"a/1.mov": b"x", "a/2.mov": b"x", "b/notes.txt": b"x", "b/README": b"x"})
    assert f"{root} holds no photos, but other files: 2 .mov, 1 without extension, 1 .txt." in refusal(root)
    (tmp_path / "empty").mkdir()
    assert f"{tmp_path}/empty holds no photos.\nIt must hold one folder per class" in refusal(tmp_path / "empty")


def test_an_archive_in_a_folder_is_named(tmp_path: Path) -> None:
    root = tmp_path / ODD
    root.mkdir()
    pack(root / "my photos.zip", class_files())
    message = refusal(root)
    assert "holds no photos, but my photos.zip." in message
    assert as_pasted(message.partition("Write ")[2]).images == str(root / "my photos.zip")


def lists(root: Path, name: str = "train.csv", header: tuple[str, str] = ("image", "class")) -> None:
    """Write a manifest with mere names of the photos that are in a folder next to it."""
    with (root / name).open("w", newline="") as stream:
        csv.writer(stream).writerows([header, *((f"{label}{n}.jpg", label) for label, _, n, _ in photos())])


def test_a_manifest_in_the_folder_is_named_with_the_settings_that_use_it(tmp_path: Path) -> None:
    root = write(tmp_path / ODD, {f"images/{label}{n}.jpg": data for label, _, n, data in photos()})
    lists(root)
    write(root, {"submission.csv": b"image,class\nx.jpg,?\n", "notes.csv": b"a,b\n1,2\n", "odd.json": b"[1]"})
    message = refusal(root)
    assert message.startswith(f"{root} holds one folder of photos, images, but train.csv lists photos with their class")
    [line] = message.splitlines()[1:]
    found = as_pasted(line.partition("To use train.csv: ")[2])
    assert (found.source, found.columns.path, found.columns.label) == ("manifest", "image", "class")
    write(root, {"0.jpg": picture(0)})
    shutil.rmtree(root / "images")
    write(root, {f"{label}{n}.jpg": data for label, _, n, data in photos()})
    assert "holds 25 photos, none in a class folder, but train.csv lists photos" in refusal(root)


def test_class_folders_next_to_a_manifest_are_used(tmp_path: Path) -> None:
    root = write(tmp_path, class_files())
    lists(root)
    assert settle(root).source == "folder"


@pytest.mark.parametrize(
    "names",
    [("training_set", "test_set"), ("train", "test"), ("test", "val"), ("a_train", "a_test", "b_train", "b_test")],
)
@pytest.mark.parametrize("form", ["folder", "zip"])
def test_splits_without_class_folders_never_become_classes(tmp_path: Path, names: tuple[str, ...], form: str) -> None:
    files = {f"{name}/{n}.jpg": picture(n + 100 * at) for at, name in enumerate(names) for n in range(5)}
    root = write(tmp_path / "in", files) if form == "folder" else pack(tmp_path / "in.zip", files)
    message = refusal(root)
    assert "which are named after splits, but hold no class folders" in message
    assert names[0] in message or names[1] in message
    assert "/train/daisy/1.jpg" in message


def test_classes_that_sound_like_splits_are_trained_on(tmp_path: Path) -> None:
    files = {f"{name}/{n}.jpg": picture(n) for name in ("train_station", "test_tube") for n in range(5)}
    assert settle(write(tmp_path, files)).source == "folder"


def test_a_manifest_without_a_usable_row_shows_reasons_of_rows(tmp_path: Path) -> None:
    rows = "".join(f"https://host/{n}.jpg,ant\n" for n in range(40))
    root = write(tmp_path, {"list.csv": f"path,label\n{rows}".encode()}) / "list.csv"
    message = refusal(root)
    assert message.startswith(
        f"None of the 40 photos in {root} can be used.\nFor example: https://host/0.jpg: an address"
    )


def test_empty_manifests_are_answered_without_talk_of_folders(tmp_path: Path) -> None:
    root = write(tmp_path, {"empty.csv": b"", "header.csv": b"path,label\n", "rows.jsonl": b"\n"})
    assert "It is empty: write the names of columns into its first line" in refusal(root / "empty.csv")
    for name in ("header.csv", "rows.jsonl"):
        assert refusal(root / name).startswith(f"{root}/{name} has no rows: it lists no photos.\n")


def test_a_parquet_file_without_a_label_shows_minus_one(tmp_path: Path) -> None:
    pq.write_table(pa.table({"image": [picture(1)] * 3, "label": [-1, -1, None]}), tmp_path / "in.parquet")
    message = refusal(tmp_path / "in.parquet")
    assert "#0: its label is -1, which the Hugging Face hub writes for 'no label'; #1: its" in message
    assert "#2: its row has no label" in message


def warnings(caplog: pytest.LogCaptureFixture, images: Path, **settings: object) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        settle(images, **settings)
    return [record.getMessage() for record in caplog.records]


def test_names_of_classes_are_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path / "in", {f"{label}{n}.jpg": data for label, _, n, data in photos()})
    rows = [f"{label}{n}.jpg,{n % 2 - 1}\n" for label, _, n, _ in photos()]
    settled = settle(write(root, {"list.csv": f"path,label\n{''.join(rows)}".encode()}) / "list.csv")
    (tmp_path / "out").mkdir()
    ingest(settled, tmp_path / "out")
    assert caplog.text.count("a class is named -1") == 1


def test_empty_class_folders_are_named_each_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = write(tmp_path / "a", {**class_files(), "notes/read.txt": b"x", ".git/x": b"x", "__MACOSX/x": b"x"})
    (root / "tulips").mkdir()
    expected = [
        f"ingest: the folder {name} holds no photos, so there is no class of this name" for name in ("notes", "tulips")
    ]
    assert warnings(caplog, root) == warnings(caplog, root) == expected
    root = write(tmp_path / "b", class_files(split=True))
    for name in ("train/tulips", "test/tulips", "docs"):
        (root / name).mkdir()
    assert warnings(caplog, root) == expected[1:]
    assert warnings(caplog, write(tmp_path / "c", class_files())) == []


def of_sites(outer: Iterable[str]) -> dict[str, bytes]:
    return {f"{site}/{label}/{n}.jpg": data for site, (label, _, n, data) in zip([*outer] * 12, photos(), strict=True)}


def test_folders_that_hold_the_same_folders_give_a_warning_and_a_setting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = write(tmp_path / "sites", of_sites(("north", "south")))
    assert warnings(caplog, root) == [
        "ingest: north and south are the classes; each holds the same folders: ant and bee",
        "ingest: if ant and bee are the classes, set ingest.class_folder=inner",
    ]
    assert warnings(caplog, root, class_folder=ClassFolder.inner) == []
    assert warnings(caplog, root, class_folder=ClassFolder.outer) == []
    root = write(tmp_path / "years", of_sites(("2024", "2025")))
    assert warnings(caplog, root) == [
        "ingest: 2024 and 2025 are years, so the folders inside are the classes: ant and bee",
        "ingest: if 2024 and 2025 are the classes, set ingest.class_folder=outer",
    ]
    assert warnings(caplog, root, class_folder=ClassFolder.outer) == []


def test_the_source_itself_may_be_a_file_url(tmp_path: Path) -> None:
    root = write(tmp_path / ODD, class_files())
    assert settle(root.as_uri()).images == str(root)
    assert "does not exist" in refusal((tmp_path / "nowhere").as_uri())


def table(path: Path, split: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    some = [(label, data) for label, given, _, data in photos() if given == split]
    columns = {"image": [{"bytes": data, "path": ""} for _, data in some], "label": [label for label, _ in some]}
    pq.write_table(pa.table(columns), path)


@pytest.mark.parametrize(
    "form",
    [
        "plain_text/{}-00000-of-00001.parquet",
        "default/{}/0000.parquet",
        "{}/0000.parquet",
        "data/{}-0.parquet",
        "{}.parquet",
    ],
)
def test_a_repository_of_the_hub_is_found_with_its_splits(tmp_path: Path, form: str) -> None:
    for split in ("train", "validation", "test"):
        table(tmp_path / "hub" / form.format(split), split)
    write(tmp_path / "hub", {"README.md": b"---\n", ".gitattributes": b""})
    settled = settle(tmp_path / "hub")
    assert settled.source == "parquet"
    (tmp_path / "out").mkdir()
    facts = ingest(settled, tmp_path / "out")
    assert (facts["split_by"], facts["train"], facts["validation"], facts["test"]) == ("given", 16, 4, 4)


def test_a_repository_with_several_configs_is_answered_with_each(tmp_path: Path) -> None:
    root = tmp_path / ODD
    for config in ("full", "small"):
        for split in ("train", "test"):
            table(root / config / split / "0000.parquet", split)
    message = refusal(root)
    assert "holds Parquet files in 2 folders, which may be different datasets." in message
    one, other, both = (
        message.partition("Choose one: ")[2].splitlines()[0].partition(" or ")[0],
        message.partition(" or ")[2].splitlines()[0],
        message.partition("together: ")[2],
    )
    assert [as_pasted(line).images for line in (one, other, both)] == [
        str(root / "full"),
        str(root / "small"),
        str(root),
    ]


def test_tables_deep_in_class_folders_do_not_make_a_folder_parquet(tmp_path: Path) -> None:
    root = write(tmp_path, class_files())
    pq.write_table(pa.table({"camera": ["x"]}), root / "ant" / "about.parquet")
    assert settle(root).source == "folder"
