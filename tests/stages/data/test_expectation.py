"""What to expect of candidates: the sentence for the terminal, and when it warns."""

from __future__ import annotations

import pytest

from slimline.stages.data.expectation import expectation


def facts(**changes):
    flowers = {
        "images": 2926,
        "unreviewed": 0,
        "cross_validated_top1": 0.922,
        "candidates": 27,
        "planted": 30,
        "planted_found": 22,
        "planted_candidates": 46,
    }
    return {**flowers, **changes}


WEAK = {"candidates": 201, "cross_validated_top1": 0.751, "planted_found": 16, "planted_candidates": 218}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "27 of 2,926 to check; a test found 22 of 30 planted errors (56% to 86%) among 46"),
        (WEAK, "201 to check, 1 in 13 wrong if 1% of all are; a test found 16 of 30 planted among 218"),
        (
            {**WEAK, "cross_validated_top1": 0.95},
            "201 of 2,926 to check; a test found 16 of 30 planted errors (36% to 70%) among 218",
        ),
        (
            {**WEAK, "planted": 0, "planted_found": 0},
            "201 of 2,926 to check; too few photos to test how many errors are found",
        ),
        (
            {**WEAK, "cross_validated_top1": None, "planted": 0},
            "not checked: this takes two classes with two photos each",
        ),
        ({"candidates": 0}, "0 of 2,926 to check; a test found 22 of 30 planted errors (56% to 86%) among 46"),
    ],
)
def test_the_sentence_for_the_terminal(changes, sentence):
    found = expectation(facts(**changes)).headline
    assert found == f"labels    {sentence}"
    assert len(found) <= 100


def test_few_candidates_are_wrong_if_accuracy_is_low_and_candidates_are_many():
    # Half of the errors are found: of 1% of 10,000 labels these are 50, of 800 candidates one in 16.
    many = facts(images=10_000, candidates=800, planted=100, planted_found=50, planted_candidates=840)
    assert expectation({**many, "cross_validated_top1": 0.8}).one_in == 16
    assert expectation({**many, "cross_validated_top1": 0.8, "candidates": 199}).one_in is None
    assert expectation({**many, "cross_validated_top1": 0.91}).one_in is None
    assert expectation({**many, "cross_validated_top1": 0.8, "planted_found": 0}).one_in == 800
