"""Checkpoints that are a part of a model: joined with the others by name, never taken for a whole one."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from slimline.pipeline.artifact import read_artifact, seal
from slimline.pipeline.errors import UserError
from slimline.stages.networks.weights.checkpoint import read_checkpoint, write_checkpoint
from slimline.stages.networks.weights.parts import is_part
from slimline.stages.networks.weights.user_weights import Given, find_given

BASE = {"Net/Conv/weights": 1.0, "Net/Conv/biases": 2.0, "Net/Logits/weights": 3.0}
HEAD = {"Head/weights": 4.0, "Head/biases": 5.0}
TRAINED = {"Head/weights": 6.0, "Net/Conv/biases": 7.0}
MODEL = ["Head/biases", "Head/weights", "Net/Conv/biases", "Net/Conv/weights"]


def write(prefix: Path, values: dict[str, float], whole: bool = False) -> Path:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    arrays = {name: np.full(3, value, np.float32) for name, value in values.items()}
    others = () if whole else [name for name in MODEL if name not in values]
    write_checkpoint(prefix, arrays, others=others)
    return prefix


def read(prefix: Path, *below: Path) -> dict[str, float]:
    return {name: value[0] for name, value in read_checkpoint(prefix, below).items()}


@pytest.fixture
def parts(tmp_path) -> list[Path]:
    """The checkpoints of a store's training, head and base, from the last to the first."""
    base = write(tmp_path / "store/base/a/1/model.ckpt", BASE, whole=True)
    seal(base.parent, "base", "a", 0.0, {}, {"inputs": {}})
    given = {"base": read_artifact(base.parent, 1).digest}
    head = write(tmp_path / "store/head/b/1/model.ckpt", HEAD)
    seal(head.parent, "head", "b", 0.0, {}, {"inputs": given})
    given["head"] = read_artifact(head.parent, 1).digest
    best = write(tmp_path / "store/train/c/1/best.ckpt", TRAINED)
    write(best.with_name("last.ckpt"), {**TRAINED, "Head/weights": 8.0})
    seal(best.parent, "train", "c", 0.0, {}, {"inputs": given})
    return [best, head, base]


def test_later_parts_replace_the_values_of_earlier_ones(parts):
    best, head, base = parts
    wanted = {"Head/biases": 5.0, "Head/weights": 6.0, "Net/Conv/biases": 7.0, "Net/Conv/weights": 1.0}
    assert read(best, head, base) == wanted
    assert read(head, base) == {**wanted, "Head/weights": 4.0, "Net/Conv/biases": 2.0}


def test_variables_are_sorted_and_those_of_the_bases_own_classes_are_left_out(parts):
    """So a head on a base is not taken for the base's ImageNet layer, nor does the order depend on who holds what."""
    assert list(read(parts[0], *parts[1:])) == MODEL


def test_a_whole_checkpoint_is_read_alone(parts, tmp_path):
    """Those of earlier versions are whole, in the artifacts of head and train too."""
    whole = write(tmp_path / "whole.ckpt", dict.fromkeys(MODEL, 9.0), whole=True)
    assert not is_part(whole)
    assert read(whole, *parts) == dict.fromkeys(MODEL, 9.0)
    assert read(parts[0], whole, tmp_path / "none.ckpt") == {**dict.fromkeys(MODEL, 9.0), **TRAINED}


@pytest.mark.parametrize("below", [[], [1], [2]])
def test_a_part_is_never_read_without_the_others(parts, below):
    with pytest.raises(UserError, match=r"best\.ckpt is a part of a model: it lacks (Head/biases|Net/Conv/weights)"):
        read(parts[0], *(parts[number] for number in below))


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001"])
@pytest.mark.parametrize("number", [0, 1])
def test_weights_that_the_user_names_by_a_part_have_all_parts(parts, number, ending):
    given = find_given("base.weights", f"{parts[number]}{ending}")
    assert given == Given("checkpoint", parts[number])
    assert given.parts() == parts[number:]


def test_the_best_weights_of_an_artifacts_folder_have_all_parts(parts):
    assert find_given("base.weights", str(parts[0].parent)).parts() == parts


def test_the_last_weights_are_completed_by_the_best_ones(parts):
    """The last epoch has a value only where it differs from the best one."""
    last = parts[0].with_name("last.ckpt")
    write(last, {"Head/weights": 8.0})
    found = find_given("base.weights", str(last)).parts()
    assert found == [last, *parts]
    assert read(last, *parts)["Head/weights"] == 8.0
    assert read(last, *parts)["Net/Conv/biases"] == 7.0


def test_the_digest_covers_each_part(parts):
    best, _, base = parts
    digest = find_given("base.weights", str(best)).digest()
    assert digest != find_given("base.weights", str(best.with_name("last.ckpt"))).digest()
    write(base, {**BASE, "Net/Conv/weights": -1.0}, whole=True)
    assert find_given("base.weights", str(best)).digest() != digest
    write(base, BASE, whole=True)
    assert find_given("base.weights", str(best)).digest() == digest


@pytest.mark.parametrize("number", [0, 1])
def test_a_part_that_was_copied_alone_is_refused_with_what_to_type(parts, tmp_path, number):
    copy = tmp_path / "copy/mine.ckpt"
    copy.parent.mkdir()
    for path in parts[number].parent.glob(f"{parts[number].name}.*"):
        shutil.copy(path, copy.with_name(path.name.replace(parts[number].name, copy.name)))
    for asked in (copy, copy.parent):
        with pytest.raises(UserError, match="is a part of a model") as caught:
            find_given("base.weights", str(asked))
        said = str(caught.value)
        assert said.startswith(f"base.weights={asked} is a part of a model")
        assert "It was copied without its run" in said
        assert "Name the run that made it, which has all of them: base.weights=runs/flowers/v001" in said
        assert "base.weights=runs/flowers/v001/artifacts/export/saved_model" in said


@pytest.mark.parametrize(("gone", "name"), [(1, "head"), (2, "base")])
def test_a_part_whose_input_was_deleted_is_refused(parts, gone, name):
    shutil.rmtree(parts[gone].parent)
    with pytest.raises(UserError, match=f"The others are in its {name} artifact, which is neither next to it nor in"):
        find_given("base.weights", str(parts[0]))
