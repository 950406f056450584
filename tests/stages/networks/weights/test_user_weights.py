"""Weights that a user provides, found without TensorFlow."""

from __future__ import annotations

from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.networks.weights.user_weights import Given, find_given


def checkpoint(prefix: Path, content: str = "x") -> Path:
    prefix.parent.mkdir(parents=True, exist_ok=True)
    prefix.with_name(f"{prefix.name}.index").write_text("i")
    prefix.with_name(f"{prefix.name}.data-00000-of-00001").write_text(content)
    return prefix


@pytest.mark.parametrize("ending", ["", ".index", ".data-00000-of-00001", ".meta"])
def test_a_checkpoint_is_named_by_its_prefix_or_any_of_its_files(tmp_path, ending):
    prefix = checkpoint(tmp_path / "model.ckpt")
    assert find_given("base.weights", f"{prefix}{ending}") == Given("checkpoint", prefix)


def test_a_checkpoint_of_the_first_format_is_one_file(tmp_path):
    (tmp_path / "inception_v3.ckpt").write_text("v1")
    given = find_given("base.weights", str(tmp_path / "inception_v3.ckpt"))
    assert given == Given("checkpoint", tmp_path / "inception_v3.ckpt")
    assert len(given.digest()) == 64


def test_the_only_checkpoint_in_a_folder_is_used(tmp_path):
    prefix = checkpoint(tmp_path / "mobilenet [v1].ckpt")
    assert find_given("base.weights", str(tmp_path)) == Given("checkpoint", prefix)


def test_of_several_checkpoints_the_state_file_or_the_user_chooses(tmp_path):
    checkpoint(tmp_path / "model.ckpt-10")
    latest = checkpoint(tmp_path / "model.ckpt-20")
    with pytest.raises(UserError, match=r"contains 2 checkpoints\.\nChoose one of: model.ckpt-10, model.ckpt-20"):
        find_given("base.weights", str(tmp_path))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "model.ckpt-20"\nall_model_checkpoint_paths: "x"\n')
    assert find_given("base.weights", str(tmp_path)) == Given("checkpoint", latest)


def test_an_earlier_run_gives_its_trained_model(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")
    base = checkpoint(tmp_path / "artifacts/base/model.ckpt")
    assert find_given("base.weights", str(tmp_path)) == Given("checkpoint", base)
    best = checkpoint(tmp_path / "artifacts/train/best.ckpt")
    assert find_given("base.weights", str(tmp_path)) == Given("checkpoint", best)


def test_saved_models_and_keras_files_are_recognized(tmp_path):
    (tmp_path / "saved_model.pb").write_text("m")
    assert find_given("base.weights", str(tmp_path)).kind == "saved_model"
    (tmp_path / "x.H5").write_text("h")
    assert find_given("base.weights", str(tmp_path / "x.H5")).kind == "keras"


def test_the_digest_is_of_the_content_and_not_of_the_name(tmp_path):
    first, copy = checkpoint(tmp_path / "a.ckpt"), checkpoint(tmp_path / "elsewhere/b*.ckpt")
    other = checkpoint(tmp_path / "c.ckpt", "y")
    digests = [find_given("base.weights", str(prefix)).digest() for prefix in (first, copy, other)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("changed", ["saved_model.pb", "variables/variables.data-00000-of-00001"])
def test_the_digest_of_a_saved_model_covers_its_variables(tmp_path, changed):
    checkpoint(tmp_path / "variables/variables")
    (tmp_path / "saved_model.pb").write_text("m")
    before = find_given("base.weights", str(tmp_path)).digest()
    (tmp_path / changed).write_text("other")
    assert find_given("base.weights", str(tmp_path)).digest() != before


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("frozen.pb", "base=frozen_graph base.graph="),
        ("model.keras", "model.save('model.h5')"),
        ("mobilenet.tgz", "Unpack the archive"),
        ("inception.tar.gz", "Unpack the archive"),
        ("weights.txt", "Choose imagenet, random"),
    ],
)
def test_errors_for_other_files_say_what_to_do(tmp_path, name, advice):
    (tmp_path / name).write_text("?")
    with pytest.raises(UserError) as caught:
        find_given("base.weights", str(tmp_path / name))
    assert name in str(caught.value)
    assert advice in str(caught.value)


def test_a_missing_file_half_a_checkpoint_and_an_empty_folder_are_refused(tmp_path):
    with pytest.raises(UserError, match="doesn't exist"):
        find_given("base.weights", str(tmp_path / "none.ckpt"))
    with pytest.raises(UserError, match="contains no weights"):
        find_given("base.weights", str(tmp_path))
    (tmp_path / "half.ckpt.index").write_text("i")
    with pytest.raises(UserError, match=r"no \.data file next to it"):
        find_given("base.weights", str(tmp_path / "half.ckpt"))
