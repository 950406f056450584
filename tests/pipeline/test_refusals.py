from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from slimline.pipeline.config import SweepConfig, register_schemas
from slimline.pipeline.refusals import REFUSALS, expand_home, explain
from slimline.pipeline.settings import config_keys
from slimline.stages.evaluation.config import EvaluateConfig
from slimline.stages.table import STAGES
from slimline.stages.training.config import TrainConfig
from slimline.stages.training.optimizer_config import OPTIMIZERS, MomentumConfig

CONF = Path(__file__).parents[2] / "conf"
OPTIMIZER_KEYS = sorted({key.name for one in OPTIMIZERS.values() for key in fields(one)})


@pytest.fixture(scope="module", autouse=True)
def hydra() -> Iterator[None]:
    register_schemas(STAGES.values())
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


def refusal(*overrides: str) -> list[str]:
    """Compose an invalid config, and return the lines of the error message."""
    with pytest.raises(REFUSALS) as caught:
        compose("config", overrides=list(overrides))
    return str(explain(caught.value, config_keys(STAGES.values()))).splitlines()


@pytest.mark.parametrize(
    ("argument", "expanded"),
    [
        ("ingest.images=~", "ingest.images=/home/ada"),
        ("ingest.images=~/photos", "ingest.images=/home/ada/photos"),
        ("classify.images=[~/a.jpg,~/b]", "classify.images=[/home/ada/a.jpg,/home/ada/b]"),
        ("classify.images=[~,x]", "classify.images=[/home/ada,x]"),
        ("classify.images=[~]", "classify.images=[/home/ada]"),
        ("ingest.images=~/a,~/b", "ingest.images=/home/ada/a,/home/ada/b"),
        ("+x=~/a=~/b", "+x=/home/ada/a=/home/ada/b"),
    ],
)
def test_a_tilde_at_the_start_of_a_value_is_home(argument: str, expanded: str) -> None:
    assert expand_home(argument, "/home/ada") == expanded


@pytest.mark.parametrize(
    "argument",
    ["~train", "~train.epochs", "a=~ada/photos", "a=photos~", "a=b/~/c", "a=x~/y", "--multirun", "a=~x", "~/photos"],
)
def test_any_other_tilde_stays(argument: str) -> None:
    assert expand_home(argument, "/home/ada") == argument


def test_a_home_with_a_backslash_is_not_changed() -> None:
    assert expand_home("a=~/b", r"C:\Users\1") == r"a=C:\Users\1/b"


@pytest.mark.parametrize(
    ("override", "lines"),
    [
        (
            "train.epochz=3",
            [
                "train.epochz is not a setting of this config. Did you mean train.epochs?",
                f"train has: {', '.join(sorted(one.name for one in fields(TrainConfig)))}.",
            ],
        ),
        (
            "run.plam=true",
            [
                "run.plam is not a setting of this config. Did you mean run.plan?",
                "run has: directory, force, name, plan, seed, sweep, targets.",
            ],
        ),
        (
            "run.sweep.targets=train",
            [
                "run.sweep.targets is not a setting of this config. Did you mean run.sweep.target?",
                f"run.sweep has: {', '.join(sorted(one.name for one in fields(SweepConfig)))}.",
            ],
        ),
        (
            "trian.epochs=3",
            [
                "trian.epochs is not a setting of this config. Did you mean train.epochs?",
                "`+experiment=flowers --cfg job` shows all settings.",
            ],
        ),
        (
            "classify.top=3",
            [
                "classify.top is not a setting of the chosen experiment and options.",
                "Choose the experiment (+experiment=...) or the option that has this setting.",
            ],
        ),
        (
            "train.optimizer.beta1=0.8",
            [
                "train.optimizer.beta1 is not a setting of the chosen experiment and options.",
                "Choose the experiment (+experiment=...) or the option that has this setting.",
            ],
        ),
        (
            "train.class_weights={tulips: 2}",
            [
                "train.class_weights does not contain tulips yet, and a new name must be added with a plus.",
                "Write '+train.class_weights={tulips: ...}'.",
            ],
        ),
        (
            "train.optimizer={momentun: 0.8}",
            [
                "train.optimizer.momentun is not a setting of this config. Did you mean train.optimizer.momentum?",
                f"train.optimizer has: {', '.join(sorted(key.name for key in fields(MomentumConfig)))}.",
            ],
        ),
        (
            "head.width=3",
            [
                "head.width is not a setting of this config. Did you mean head.widths?",
                "head has: activation, dropout, kind, seed, widths.",
            ],
        ),
        (
            "head=lineer",
            ["head=lineer is not a valid choice.", "The choices are: linear, mlp. Did you mean linear?"],
        ),
        (
            "train/optimizer=adamx",
            [
                "train/optimizer=adamx is not a valid choice.",
                "The choices are: adam, adamw, momentum, nesterov, rmsprop. Did you mean adam?",
            ],
        ),
        (
            "base=vgg",
            [
                "base=vgg is not a valid choice.",
                f"The choices are: {', '.join(sorted(path.stem for path in (CONF / 'base').glob('*.yaml')))}.",
            ],
        ),
        ("train.epochs=null", ["train.epochs=null: this setting needs a value.", "Write train.epochs=VALUE."]),
        ("export.formats=null", ["export.formats=null: this setting needs a value.", "Write export.formats=VALUE."]),
        (
            "ingest.split=10",
            [
                "ingest.split is a group of settings, not a single value.",
                "Write ingest.split.NAME=VALUE with one of these names: by, fold, folds, salt, test, validation.",
            ],
        ),
        (
            "evaluate.atleast.top1=0.9",
            [
                "evaluate.atleast is not a setting of this config. Did you mean evaluate.at_least?",
                f"evaluate has: {', '.join(sorted(one.name for one in fields(EvaluateConfig)))}.",
            ],
        ),
        (
            "~ingest.images",
            ["~ingest.images: a setting cannot be removed.", "Give it another value: ingest.images=VALUE."],
        ),
        (
            "~train.epochs=3",
            ["~train.epochs: its value is 30, and a setting cannot be removed.", "Write train.epochs=VALUE."],
        ),
        ("~heads", ["~heads: the config does not have heads, so it cannot be removed.", "Leave it out."]),
        ("+experiment=flowers", ["experiment is chosen more than once.", "Choose it once."]),
        (
            "+experiment=classify",
            ["A command runs one experiment, and two are chosen.", "Write +experiment=NAME once."],
        ),
        (
            "train.epoch=1,2",
            [
                "train.epoch is not a setting of this config. Did you mean train.epochs?",
                f"train has: {', '.join(sorted(one.name for one in fields(TrainConfig)))}.",
            ],
        ),
        (
            "base=a,b",
            [
                "base=a,b has several values, which only a sweep can use.",
                "Add -m to run a sweep over the values, or choose one of them.",
            ],
        ),
        ("train.epochs=many", ["train.epochs=many has the wrong type.", "It must be a whole number."]),
        ("train.epochs=1.5", ["train.epochs=1.5 has the wrong type.", "It must be a whole number."]),
        ("head.dropout=half", ["head.dropout=half has the wrong type.", "It must be a number."]),
        ("run.plan=maybe", ["run.plan=maybe has the wrong type.", "It must be true or false."]),
        (
            "train.optimizer.schedule=cosin",
            [
                "train.optimizer.schedule=cosin is not allowed.",
                "It must be one of: constant, step, exponential, polynomial, cosine, plateau. Did you mean cosine?",
            ],
        ),
        (
            "features.precision=float16",
            [
                "features.precision=float16 is not allowed.",
                "It must be one of: auto, float32, bfloat16. Did you mean bfloat16?",
            ],
        ),
        (
            "ingest.images=IMG(1).jpg",
            [
                "ingest.images=IMG(1).jpg cannot be read: the value contains a special character of Hydra's grammar.",
                "Quote it for the shell and for Hydra: 'ingest.images=\"IMG(1).jpg\"'",
            ],
        ),
        (
            "classify.images=[a(1).jpg]",
            [
                "classify.images=[a(1).jpg] cannot be read: the value contains a special character of Hydra's grammar.",
                "Quote it for the shell and for Hydra: 'classify.images=[\"a(1).jpg\"]'",
            ],
        ),
        (
            "+train.epochs=3",
            [
                "train.epochs already exists, so it cannot be added with a plus.",
                "Write train.epochs=... without the plus.",
            ],
        ),
    ],
)
def test_errors_are_explained_in_plain_words(override: str, lines: list[str]) -> None:
    assert refusal("+experiment=flowers", override) == lines


def test_an_unknown_experiment_is_an_error_that_lists_the_experiments() -> None:
    lines = refusal("+experiment=flower")
    assert lines[0] == "experiment=flower is not a valid choice."
    known = ", ".join(sorted(path.stem for path in (CONF / "experiment").glob("*.yaml")))
    assert lines[1].startswith(f"The choices are: {known}.")
    assert lines[1].endswith("Did you mean flowers?")


def test_a_setting_without_an_experiment_is_explained() -> None:
    assert refusal("train.epochs=3") == [
        "train.epochs is not a setting of the chosen experiment and options.",
        "Choose the experiment (+experiment=...) or the option that has this setting.",
    ]


@pytest.mark.parametrize(
    ("override", "line"),
    [
        ("train.epochs=${run.name}", "train.epochs=flowers has the wrong type."),
        ("run.seed=${run.sead}", "run.seed: Interpolation key 'run.sead' not found"),
    ],
)
def test_an_unresolved_reference_is_explained_without_a_traceback(override: str, line: str) -> None:
    config = compose("config", overrides=["+experiment=flowers", override])
    with pytest.raises(REFUSALS) as caught:
        OmegaConf.to_object(config)
    assert str(explain(caught.value, [])).splitlines()[0] == line


def test_an_error_of_slimline_itself_is_not_explained_away() -> None:
    with pytest.raises(ValueError, match="ours"):
        explain(ValueError("ours"), [])


def test_a_word_without_a_value_is_explained() -> None:
    first, *rest = refusal("flowers")
    assert first.startswith("flowers is not a setting")
    assert "key=value" in " ".join([first, *rest])


def test_every_key_of_the_experiments_is_known() -> None:
    known = config_keys(STAGES.values()).names
    assert {"run.sweep.metric", "train.optimizer.nesterov", "ingest.split.salt", "classify.top"} <= set(known)
    assert known == sorted(set(known))


@pytest.mark.parametrize(
    ("former", "present"),
    [
        ("base.mirror", "base.download_host"),
        ("export.max_flips", "export.max_changed"),
        ("export.max_flips_int8", "export.max_changed_int8"),
    ],
)
def test_a_former_name_is_an_error_that_names_the_present_one(former: str, present: str) -> None:
    lines = refusal("+experiment=flowers", f"{former}=1")
    assert lines == [f"{former} was renamed to {present}.", f"Write {present}=... instead."]
    assert present in config_keys(STAGES.values()).names
