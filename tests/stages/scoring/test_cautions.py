"""Sample sizes and cautions: what is marked, from which number of photos on, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from slimline.stages.scoring.cautions import MOST_CLASSES, cautions, trained_on
from slimline.stages.scoring.sample_sizes import few_of_class, few_photos, marks

FINE: dict[str, Any] = {
    "count": 307,
    "split": "test",
    "trained_on": {"train": 0, "validation": 0},
    "few_photos": {"split": False, "classes": {}},
    "validation_photos": 283,
    "calibrated": True,
    "reject_precision": 0.95,
    "reject_threshold": 0.5,
}


def test_photos_are_few_below_the_limits():
    assert few_photos({"ant": 10, "bee": 40}, {"ant": 20, "bee": 20}) == {"split": False, "classes": {}}
    assert few_photos({"ant": 9, "bee": 40}, {"ant": 20, "bee": 19}) == {
        "split": True,
        "classes": {"ant": {"evaluated": 9, "training": 20}, "bee": {"evaluated": 40, "training": 19}},
    }
    assert few_photos({"ant": 60}, {}) == {"split": False, "classes": {"ant": {"evaluated": 60, "training": 0}}}


def test_training_photos_that_are_not_known_are_not_few():
    assert few_photos({"ant": 60, "bee": 0}, None) == {
        "split": False,
        "classes": {"bee": {"evaluated": 0, "training": None}},
    }


def test_a_mark_has_the_numbers_that_are_too_low():
    assert few_of_class(9, 19) == "9 test, 19 training"
    assert few_of_class(9, 20) == "9 test"
    assert few_of_class(1000, 19) == "19 training"
    assert few_of_class(3, None, "validation") == "3 validation"
    assert few_of_class(10, 20) == ""
    assert marks(few_photos({"ant": 5, "bee": 95}, {"ant": 1, "bee": 100}), "test") == {"ant": "5 test, 1 training"}
    assert marks(None, "test") == {}  # a run of an earlier version


def test_nothing_is_cautioned_without_a_reason():
    assert cautions(FINE) == []
    assert trained_on(FINE) == "0 of 307"


def test_metrics_of_an_earlier_version_have_no_cautions():
    assert cautions({"count": 3, "split": "test", "reject_threshold": None}) == []
    assert trained_on({"count": 3}) == "not known"


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"train": 73, "validation": 0}, "73 of 307 photos trained this model: expect a lower accuracy on new photos"),
        (
            {"train": 0, "validation": 30},
            "30 of 307 photos are this model's validation photos: expect a lower accuracy on new photos",
        ),
        (
            {"train": 1, "validation": 2},
            "1 of 307 photos trained this model, 2 validated it: expect a lower accuracy on new photos",
        ),
        (None, "It is not known whether these photos trained this model: it has no list of its photos"),
    ],
)
def test_photos_that_the_model_knows(known, said):
    assert cautions({**FINE, "trained_on": known}) == [said]


def test_few_photos_are_told_with_the_classes():
    few = few_photos({"ant": 6, "b_e": 3}, {"ant": 50, "b_e": 4})
    assert cautions({**FINE, "count": 9, "few_photos": few}, lambda name: name.replace("_", r"\_")) == [
        "9 test photos are few (under 50): all figures are uncertain",
        r"2 classes have few photos (under 10 test or 20 training): ant 6 test; b\_e 3 test, 4 training",
    ]
    assert "evaluated photos are few" in cautions({**FINE, "split": "all", "few_photos": few})[0]
    one = few_photos({"ant": 300, "bee": 7}, {"ant": 50, "bee": 40})
    assert cautions({**FINE, "few_photos": one}) == [
        "1 class has few photos (under 10 test or 20 training): bee 7 test"
    ]


def test_of_many_classes_some_are_named():
    few = few_photos({f"c{number}": 1 for number in range(1200)}, None)
    [said] = cautions({**FINE, "few_photos": few})
    assert said.endswith(f"c5 1 test; and {1200 - MOST_CLASSES:,} more classes")
    assert said.startswith("1,200 classes have")


def test_what_was_not_calibrated():
    few = {**FINE, "validation_photos": 11, "calibrated": False, "reject_threshold": None}
    assert cautions(few) == ["Not calibrated, and no reject threshold: 11 validation photos are too few (under 50)"]
    assert cautions({**FINE, "reject_threshold": None}) == [
        "No reject threshold: no score reaches a precision of 95.0% on the validation photos"
    ]
    assert cautions({**FINE, "reject_threshold": None, "reject_precision": None}) == []
