"""Layouts of folders of folders, on the disk and in archives: splits, classes, or years."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimline.stages.data.sources.photo import ClassFolder
from tests.stages.data.sources.making import class_files, kind_of, listing, pack, picture, problems, run, write

PHOTO = picture(1)


def stated(
    tmp_path: Path, files: list[str], form: str = "folder", **settings: ClassFolder
) -> dict[str, tuple[str, str]]:
    """List files as a folder or as an archive; return the label and the split of each by its name."""
    contents = dict.fromkeys(files, PHOTO)
    root = write(tmp_path / "in", contents) if form == "folder" else pack(tmp_path / f"in.{form}", contents)
    found = listing(root, kind=kind_of(root), **settings)
    return {photo.path: (photo.label, photo.split) for photo in found}


def both(outer: tuple[str, ...], inner: tuple[str, ...]) -> list[str]:
    return [f"{one}/{other}/1.jpg" for one in outer for other in inner]


FORMS = ("folder", "zip", "tar")
SPLITS = [
    (("training_set", "test_set"), ("train", "test")),
    (("Train_Images", "Test_Images"), ("train", "test")),
    (("01_train", "02_validation-data", "03_holdout"), ("train", "validation", "test")),
    (("cats_and_dogs_train", "cats_and_dogs_test"), ("train", "test")),
]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("folders", "splits"), SPLITS)
def test_folders_named_after_splits_by_a_word_state_them(tmp_path: Path, folders, splits, form: str) -> None:
    found = stated(tmp_path, both(folders, ("ant", "bee")), form)
    assert found == {
        f"{folder}/{label}/1.jpg": (label, split)
        for folder, split in zip(folders, splits, strict=True)
        for label in ("ant", "bee")
    }


@pytest.mark.parametrize("form", FORMS)
def test_splits_inside_the_class_folders_state_them(tmp_path: Path, form: str) -> None:
    found = stated(tmp_path, both(("ant", "bee"), ("training_set", "test_set")), form)
    assert found == {
        f"{label}/{folder}/1.jpg": (label, split)
        for label in ("ant", "bee")
        for folder, split in (("training_set", "train"), ("test_set", "test"))
    }


def test_an_archive_of_splits_below_a_top_folder_is_ingested_with_its_splits(tmp_path: Path) -> None:
    names = {"train": "training_set", "validation": "validation_set", "test": "test_set"}
    files = class_files(split=True, prefix="dataset/")
    renamed = {f"dataset/{names[name.split('/')[1]]}/{name.split('/', 2)[2]}": data for name, data in files.items()}
    facts, rows = run(pack(tmp_path / "in.zip", renamed), tmp_path / "out")
    assert (facts["split_by"], facts["classes"]) == ("given", 2)
    assert {(row["path"].split("/")[1], row["split"]) for row in rows} == {(b, a) for a, b in names.items()}


def test_photos_of_a_single_prediction_folder_next_to_the_splits_are_in_no_class(tmp_path: Path) -> None:
    files = [*both(("training_set", "test_set"), ("cats", "dogs")), "single_prediction/cat_or_dog_1.jpg"]
    assert stated(tmp_path, files)["single_prediction/cat_or_dog_1.jpg"] == ("", "")
    assert problems(listing(tmp_path / "in")) == {"single_prediction/cat_or_dog_1.jpg": ("not in a class folder", True)}


@pytest.mark.parametrize(
    "files",
    [
        both(("train_station", "test_tube"), ("2023", "2024")),
        both(("train_station", "test_tube", "airport"), ("near", "far")),
        [*both(("ant", "bee"), ("train",)), "ant/1.jpg"],
        both(("steam", "diesel"), ("train", "wagon")),
        both(("ant", "bee"), ("north", "south")),
        ["2024/1.jpg", "2025/1.jpg"],
        ["2024/05/1.jpg", "2024/06/1.jpg", "2025/05/1.jpg"],
        both(("0", "1"), ("ant", "bee")),
    ],
)
def test_other_folders_are_the_classes_whatever_is_in_them(tmp_path: Path, files: list[str]) -> None:
    assert stated(tmp_path, files) == {name: (name.split("/")[0], "") for name in files}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("outer", [("2024", "2025"), ("2024-05", "2024-06-01", "2023_12")])
def test_folders_inside_those_of_years_are_the_classes(tmp_path: Path, outer: tuple[str, ...], form: str) -> None:
    files = both(outer, ("roses", "tulips"))
    assert stated(tmp_path, files, form) == {name: (name.split("/")[1], "") for name in files}


def test_the_setting_decides_which_folders_are_the_classes(tmp_path: Path) -> None:
    years, sites = both(("2024", "2025"), ("roses", "tulips")), both(("north", "south"), ("roses", "tulips"))
    found = stated(tmp_path / "years", years, class_folder=ClassFolder.outer)
    assert {label for label, _ in found.values()} == {"2024", "2025"}
    found = stated(tmp_path / "sites", sites, class_folder=ClassFolder.inner)
    assert {label for label, _ in found.values()} == {"roses", "tulips"}
    splits = both(("train", "test"), ("roses", "tulips"))
    found = stated(tmp_path / "splits", splits, class_folder=ClassFolder.outer)
    assert set(found.values()) == {("train", ""), ("test", "")}
    found = stated(tmp_path / "flat", ["roses/1.jpg", "north/tulips/1.jpg"], class_folder=ClassFolder.inner)
    assert found == {"roses/1.jpg": ("", ""), "north/tulips/1.jpg": ("tulips", "")}
