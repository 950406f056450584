from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from slimline.pipeline.config import register_schemas, typed_configs
from slimline.pipeline.errors import UserError
from slimline.pipeline.sweeping.space import read_space
from slimline.pipeline.tasks import order_tasks
from slimline.stages.table import STAGES

CONF = Path(__file__).parents[2] / "conf"
EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
OPTIONS = sorted(
    f"{path.relative_to(CONF).parent}={path.stem}"
    for path in CONF.rglob("*.yaml")
    if path.parent not in (CONF, CONF / "experiment", CONF / "sweep")
)
SWEEPS = sorted(path.stem for path in (CONF / "sweep").glob("*.yaml"))


@pytest.fixture(scope="module", autouse=True)
def hydra() -> Iterator[None]:
    register_schemas(STAGES.values())
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield


@cache
def composed(*overrides: str) -> DictConfig:
    """Return a read-only config, composed once for all tests."""
    config = compose("config", overrides=list(overrides))
    OmegaConf.set_readonly(config, True)
    return config


def missing_in(option: str) -> list[str]:
    """List the settings, in dotted form, that an option's file requires from the user with ???."""
    group, _, name = option.partition("=")
    values = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(values, DictConfig)
    return sorted(f"{group.replace('/', '.')}.{key}" for key in OmegaConf.missing_keys(values))


def options_of(group: str) -> list[str]:
    """List the options of a group itself, as written on the command line."""
    return [option for option in OPTIONS if option.partition("=")[0] == group]


def test_there_are_experiments_and_options() -> None:
    assert {"classify", "flowers"} <= set(EXPERIMENTS)
    assert {"head=mlp", "train/optimizer=adam", "ingest=photos", "run=default"} <= set(OPTIONS)
    assert missing_in("ingest=photos") == ["ingest.images"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_and_its_targets_have_their_inputs(name: str) -> None:
    config = composed(f"+experiment={name}")
    run, configs = typed_configs(config, STAGES)
    assert run.name == name
    ordered = [stage.name for stage in order_tasks(STAGES, configs, run.targets)]
    assert set(run.targets) <= set(ordered) <= set(configs)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_states_the_command_that_runs_it(name: str) -> None:
    text = (CONF / "experiment" / f"{name}.yaml").read_text()
    assert re.search(rf"^# python -m pipeline (-m )?\+experiment={name}\b", text, re.MULTILINE)


@pytest.mark.parametrize("name", SWEEPS)
def test_a_kept_sweep_composes_and_states_its_command(name: str) -> None:
    path = CONF / "sweep" / f"{name}.yaml"
    assert f"# python -m pipeline -m +experiment=flowers +sweep={name}" in path.read_text(encoding="utf-8")
    kept = OmegaConf.load(path)
    params = [f"{key}={value}" for key, value in kept.hydra.sweeper.params.items()]
    space = read_space(params)
    first = [f"{one.name}={one.ends()[0]}" for one in space.dimensions]
    run, _ = typed_configs(composed("+experiment=flowers", f"+sweep={name}", *first), STAGES)
    assert {setting: getattr(run.sweep, setting) for setting in kept.run.sweep} == dict(kept.run.sweep)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_composes_or_names_what_it_needs(option: str) -> None:
    missing = missing_in(option)
    config = composed("+experiment=flowers", option)
    if missing:
        assert sorted(OmegaConf.missing_keys(config)) == missing
        with pytest.raises(UserError, match=f"{missing[0]} is required, but has no value"):
            typed_configs(config, STAGES)
    else:
        _, configs = typed_configs(config, STAGES)
        stage = option.partition("=")[0].partition("/")[0]
        assert stage == "run" or isinstance(configs[stage], STAGES[stage].config_type)


@pytest.mark.parametrize("train", options_of("train"))
@pytest.mark.parametrize("part", [*options_of("train/optimizer"), *options_of("train/augmentation")])
def test_every_optimizer_and_augmentation_can_be_combined_with_every_training(train: str, part: str) -> None:
    together, alone = (
        typed_configs(composed("+experiment=flowers", *options), STAGES)[1]["train"]
        for options in ([train, part], [part])
    )
    field = part.partition("=")[0].rpartition("/")[2]
    assert getattr(together, field) == getattr(alone, field)


@pytest.mark.parametrize("option", OPTIONS)
def test_the_composed_config_contains_the_values_of_an_options_file(option: str) -> None:
    group, _, name = option.partition("=")
    config = composed("+experiment=flowers", option)
    node = OmegaConf.select(config, group.replace("/", "."))
    said = OmegaConf.load(CONF / group / f"{name}.yaml")
    assert isinstance(said, DictConfig)
    said.pop("defaults")
    if group == "run":
        said, node = said.sweep if "sweep" in said else OmegaConf.create(), config.run.sweep  # experiments set the rest
    merged = OmegaConf.merge(node, said)
    assert OmegaConf.to_container(merged, enum_to_str=True) == OmegaConf.to_container(node, enum_to_str=True)


@pytest.mark.parametrize("option", OPTIONS)
def test_an_option_takes_its_fields_from_a_schema(option: str) -> None:
    group, _, name = option.partition("=")
    defaults = OmegaConf.load(CONF / group / f"{name}.yaml").defaults
    own = [f"{stage.name}/{one}_schema" for stage in STAGES.values() for one in stage.schemas]
    assert defaults[0] == "schema" or f"{group}/{defaults[0]}" in own
    assert defaults[0] == f"{name}_schema" or f"{group}/{name}_schema" not in own
