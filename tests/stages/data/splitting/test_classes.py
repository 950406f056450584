"""Class names: classes that can't be trained on or told apart are refused by name."""

from __future__ import annotations

import logging
import unicodedata
from collections import Counter

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.data.splitting.classes import check_classes, check_names, warn_of_names


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([unicodedata.normalize(form, "café") for form in ("NFC", "NFD")], "look the same"),
        (["red  rose", "red rose"], "'red  rose' and 'red rose' look the same"),
        (["rose", "rose "], "look the same"),
        (["rose", "a\nb"], r"'a\\nb' can't be written on one line"),
        (["rose", "rose\n"], "can't be written on one line"),
        (["rose", "\x85"], "can't be written on one line"),
        (["rose", "a\u2028b"], "can't be written on one line"),
        (["rose", "  "], "can't be written on one line"),
        (["rose", ""], "can't be written on one line"),
    ],
)
def test_names_that_cannot_be_told_apart_or_written_down_are_refused(names, message):
    with pytest.raises(UserError, match=message):
        check_names(names)


def test_names_that_differ_only_in_case_give_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        warn_of_names(["Rose", "daisy", "rose"])
    assert "'Rose' and 'rose' differ only in case" in caplog.text


def test_a_class_named_as_the_hub_names_no_label_gives_a_warning(caplog):
    warn_of_names(["-1", "0", "1"])
    assert "a class is named -1, which the Hugging Face hub writes for 'no label'" in caplog.text


def test_names_in_any_script_give_no_warning(caplog):
    for check in (check_names, warn_of_names):
        check(["0", "Ünïcode", "a/b", "daisy", "雏菊", "<b>", "ромашка", " led"])
    assert not caplog.text


def test_too_few_classes_or_photos_are_refused_with_the_numbers():
    for counts in (Counter(), Counter(ant=0, bee=0)):
        with pytest.raises(UserError, match=r"here holds no photos\.\n.*\.heic"):
            check_classes(counts, 3, "here")
    with pytest.raises(UserError, match="one class only, 'ant'"):
        check_classes(Counter(ant=50), 3, "here")
    with pytest.raises(UserError, match=r"too few photos of: bee \(2\), cow \(0\)\.\nEach class needs at least 3"):
        check_classes(Counter(ant=3, cow=0, bee=2), 3, "here")
    check_classes(Counter(ant=3, bee=3), 3, "here")


def test_of_many_small_classes_a_few_are_named():
    with pytest.raises(UserError, match=r"class 09 \(1\) and 490 more classes") as refused:
        check_classes(Counter({f"class {number:02d}": 1 for number in range(500)}), 3, "here")
    assert len(str(refused.value)) < 500
