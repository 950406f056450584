"""Names that mean a split: of cells as a whole, of files and folders by their words."""

from __future__ import annotations

import pytest

from slimline.stages.data.sources.split_names import (
    are_all_splits,
    are_years,
    split_in,
    split_named,
    splits_of_files,
    splits_of_folders,
)

TRAIN = ("train", "TRAIN", "training", "training_set", "Train_Images", "01_train", "train1", "trainset", "TrainImages")
VALIDATION = ("validation-data", "val", "Valid", "dev", "ValidationSet", "valset", "03 validation", "dev_photos")
TEST = ("test", "test_set", "Testing", "eval", "TestImages", "holdout", "hold-out", "Held_Out", "testset", "evaluation")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        *((name, "train") for name in TRAIN),
        *((name, "validation") for name in VALIDATION),
        *((name, "test") for name in TEST),
        *((name, "") for name in ("trains", "latest", "contest", "retrain", "valley", "device", "daisy", "", "2024")),
    ],
)
def test_a_word_of_a_name_means_a_split(name: str, split: str) -> None:
    assert split_in(name) == split


def test_a_cell_means_a_split_only_as_a_whole() -> None:
    assert [split_named(cell) for cell in ("Train", "val", "EVAL", "training_set", "holdout", "")] == [
        "train",
        "validation",
        "test",
        "",
        "",
        "",
    ]


def test_names_of_files_take_precedence_over_those_of_folders() -> None:
    assert splits_of_files(
        ["test/flowers_train-00000-of-00002.parquet", "train/0000.parquet", "test/0000.parquet"]
    ) == [
        "train",
        "train",
        "test",
    ]
    assert splits_of_files(["train/0.parquet"]) == [""]
    assert splits_of_files(["test/0.parquet", "val/0.parquet"]) == ["", ""]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("training_set", "test_set"), ("train", "test")),
        (("cats_train", "cats_test"), ("train", "test")),
        (("01_train", "02_val", "03_test"), ("train", "validation", "test")),
        (("train", "test_images", "test-tube"), ("train", "test")),
        (("train", "station"), ("train",)),
        (("test_set", "val_set"), ()),
        (("airport", "station"), ()),
    ],
)
def test_folders_that_go_together_are_splits(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert splits_of_folders(names) == dict(zip(names, expected, strict=False))


def test_folders_of_different_things_do_not_go_together() -> None:
    assert splits_of_folders(["train_station", "test_tube"]) == {"train_station": "train"}


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("training_set", "test_set"), True),
        (("test", "val"), True),
        (("cats_train", "cats_test", "dogs_train", "dogs_test"), True),
        (("train_station", "test_tube"), False),
        (("train",), False),
        (("train", "bus"), False),
        ((), False),
    ],
)
def test_classes_that_are_only_splits_are_told(names: tuple[str, ...], expected: bool) -> None:
    assert are_all_splits(names) == expected


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("2024", "2025"), True),
        (("2024-05", "2024_06", "202407", "2024-05-31"), True),
        (("0", "1", "2"), False),
        (("2024", "roses"), False),
        (("1066",), False),
        (("20245",), False),
    ],
)
def test_years_and_dates_are_told_from_other_numbers(names: tuple[str, ...], expected: bool) -> None:
    assert are_years(names) == expected
