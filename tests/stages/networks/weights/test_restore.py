"""Restoring by name, and the errors for weights that don't fit."""

from __future__ import annotations

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.networks.weights.restore import in_scopes, require_restored, restore_report

WANTED = {"Net/Conv/weights": (3, 3, 3, 8), "Net/Conv/BatchNorm/beta": (8,), "Net/Logits/weights": (1, 1, 8, 10)}


def check(given: dict, *, exclude: tuple[str, ...] = (), ignore_missing: bool = False, least: float = 0.5) -> dict:
    report = restore_report(WANTED, given, exclude)
    require_restored(
        report,
        WANTED,
        given,
        source="the file",
        exclude_scopes=exclude,
        ignore_missing=ignore_missing,
        min_restored=least,
    )
    return report


def test_each_variable_is_named_once():
    given = {"Net/Conv/weights": (3, 3, 3, 8), "Net/Logits/weights": (1, 1, 8, 5), "global_step": ()}
    assert restore_report(WANTED, given) == {
        "restored": ["Net/Conv/weights"],
        "new": ["Net/Conv/BatchNorm/beta"],
        "mismatched": ["Net/Logits/weights"],
        "unused": ["global_step"],
    }


def test_excluded_scopes_are_new_though_the_weights_have_them():
    report = check(dict(WANTED), exclude=("Net/Logits",))
    assert report["new"] == ["Net/Logits/weights"]
    assert report["mismatched"] == report["unused"] == []


def test_a_scope_is_a_path_and_not_a_prefix_of_a_name():
    assert in_scopes("Net/Conv/weights", ["Net/Conv/"])
    assert in_scopes("Net/Conv/weights", ["Net/Conv/weights"])
    assert not in_scopes("Net/Conv_1/weights", ["Net/Conv"])


def test_the_error_for_a_wrong_scope_lists_the_network_s_scopes():
    with pytest.raises(UserError, match=r"exclude_scopes has 'Nets', .*\n.*Net/Conv, Net/Logits"):
        check(dict(WANTED), exclude=("Nets",))


def test_the_error_for_other_shapes_names_both():
    with pytest.raises(UserError, match=r"Net/Logits/weights: \[1, 1, 8, 5\], but the network's is \[1, 1, 8, 10\]"):
        check({**WANTED, "Net/Logits/weights": (1, 1, 8, 5)})


def test_missing_variables_are_refused_unless_ignored():
    given = {name: shape for name, shape in WANTED.items() if "beta" not in name}
    with pytest.raises(UserError, match="lacks 1 of the network's 3 variables: Net/Conv/BatchNorm/beta"):
        check(given)
    assert check(given, ignore_missing=True)["new"] == ["Net/Conv/BatchNorm/beta"]


def test_too_few_parameters_are_refused_even_if_missing_variables_are_ignored():
    given = {"Net/Conv/BatchNorm/beta": (8,), "Other/weights": (1,)}
    with pytest.raises(UserError, match=r"Only 2\.6% of the network's parameters are in the file"):
        check(given, ignore_missing=True)
    assert check(given, ignore_missing=True, least=0.02)["restored"] == ["Net/Conv/BatchNorm/beta"]
