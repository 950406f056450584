from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from textwrap import dedent

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.singleton import Singleton
from hydra.errors import HydraException
from hydra.version import VersionBase
from omegaconf import OmegaConf

from slimline.pipeline.composing import Composed, compose_config
from slimline.pipeline.config import typed_configs
from slimline.pipeline.errors import UserError
from tests.pipeline.conftest import STAGES, FitConfig

ROOT = Path(__file__).parents[2]

CONFIG = """\
defaults:
  - run: default
  - gather: null
  - fit: null
  - _self_
"""
FILES = {
    "config.yaml": CONFIG,
    "run/default.yaml": "defaults: [schema, _self_]\n",
    "gather/few.yaml": "defaults: [schema, _self_]\nsize: 3\n",
    "gather/many.yaml": "defaults: [schema, _self_]\nsize: 30\n",
    "gather/old.yaml": "defaults: [schema, {part: one, optional: true}]\n",
    "fit/plain.yaml": "defaults: [schema, _self_]\nepochs: ${run.seed}\n",
    "experiment/toy.yaml": "# @package _global_\n"
    "defaults: [override /gather: few]\nrun: {name: toy, targets: [gather]}\n",
}


def write_folder(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "ours", FILES)


@pytest.fixture(autouse=True)
def _hydra_as_new() -> Iterator[None]:
    before, schemas = dict(Singleton._instances), deepcopy(ConfigStore.instance().repo)
    yield
    Singleton._instances = before
    ConfigStore.instance().repo = schemas


def composed(ours: Path, *overrides: str, folders: tuple[Path, ...] = ()) -> Composed:
    return compose_config(overrides, [*folders, ours], STAGES.values())


def test_a_config_is_composed_with_schemas_and_overrides(ours: Path) -> None:
    config, overrides = composed(ours, "+experiment=toy", "gather.size=4", "hydra.verbose=false")
    assert overrides == ["+experiment=toy", "gather.size=4"]
    run, configs = typed_configs(config, STAGES)
    assert (run.name, run.targets, configs["gather"].size) == ("toy", ["gather"], 4)
    assert "hydra" not in config


def test_a_key_that_the_schema_lacks_is_refused(ours: Path) -> None:
    with pytest.raises(HydraException, match=r"gather\.sise"):
        composed(ours, "gather=few", "gather.sise=4")


def test_the_first_folder_that_has_an_option_gives_it(ours: Path, tmp_path: Path) -> None:
    own = write_folder(tmp_path / "own", {"gather/few.yaml": "defaults: [schema, _self_]\nsize: 7\n"})
    middle = write_folder(
        tmp_path / "middle",
        {
            "gather/few.yaml": "defaults: [schema, _self_]\nsize: 8\n",
            "gather/many.yaml": "defaults: [schema, _self_]\nsize: 80\n",
        },
    )
    assert composed(ours, "gather=few", folders=(own, middle)).config.gather.size == 7
    assert composed(ours, "gather=many", folders=(own, middle)).config.gather.size == 80
    assert composed(ours, "gather=many", folders=(own,)).config.gather.size == 30


def test_a_missing_folder_is_named(ours: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        composed(ours, folders=(tmp_path / "nowhere",))


def test_interpolations_are_resolved(ours: Path) -> None:
    config, _ = composed(ours, "fit=plain", "run.seed=5", "run.name='${hydra:job.config_name}'")
    assert OmegaConf.to_container(config, resolve=False)["fit"]["epochs"] == 5  # type: ignore[index,call-overload]
    assert config.run.name == "config"


def test_a_missing_value_is_left_for_the_stages_check(ours: Path) -> None:
    config, _ = composed(ours, "gather=few", "gather.size=???")
    with pytest.raises(UserError, match=r"gather\.size is required, but has no value"):
        typed_configs(config, STAGES)


def test_a_surrounding_application_keeps_its_hydra_state(ours: Path, tmp_path: Path) -> None:
    theirs = write_folder(tmp_path / "theirs", {"app.yaml": "defaults: [gather/schema, _self_]\ncolor: red\n"})
    ConfigStore.instance().store(group="gather", name="schema", node={"theirs": 1})
    with pytest.warns(match="1.1"), initialize_config_dir(str(theirs), job_name="theirs", version_base="1.1"):
        HydraConfig.instance().set_config(compose("app", return_hydra_config=True))
        before = HydraConfig.get().job.name, VersionBase.instance().getbase(), GlobalHydra.instance().hydra
        assert composed(ours, "gather=few", "run.name='${hydra:job.config_name}'").config.run.name == "config"
        with pytest.raises(ValueError, match="Too many keys"):  # Hydra 1.1 would accept it
            composed(ours, "gather=old")
        assert before == (HydraConfig.get().job.name, VersionBase.instance().getbase(), GlobalHydra.instance().hydra)
        assert compose("app") == {"gather": {"theirs": 1}, "color": "red"}


def test_schemas_of_a_surrounding_application_are_not_used(ours: Path) -> None:
    for group, name in ((None, "config"), ("fit", "schema"), ("fit", "plain"), ("gather", "another")):
        ConfigStore.instance().store(group=group, name=name, node={"theirs": 1})
    config, _ = composed(ours, "fit=plain")
    with pytest.raises(HydraException, match="gather/another"):
        composed(ours, "gather=another")
    assert OmegaConf.get_type(config, "fit") is FitConfig


def test_threads_can_compose_at_the_same_time(ours: Path) -> None:
    with ThreadPoolExecutor(4) as executor:
        sizes = [executor.submit(composed, ours, "gather=few", f"gather.size={size}") for size in range(12)]
        assert [one.result().config.gather.size for one in sizes] == list(range(12))


def test_composing_inside_a_hydra_application_does_not_change_it(ours: Path, tmp_path: Path) -> None:
    write_folder(tmp_path, {"app.yaml": "color: red\n", "out/.keep": ""})
    program = """\
        import hydra
        from hydra.core.hydra_config import HydraConfig
        from slimline.pipeline.composing import compose_config
        from tests.pipeline.conftest import STAGES

        @hydra.main(config_path=".", config_name="app", version_base="1.2")
        def main(config):
            for size in (4, 5):
                ours = compose_config(["gather=few", f"gather.size={size}"], ["ours"], STAGES.values()).config
                print(ours.gather.size, config.color, HydraConfig.get().job.config_name)

        main()
    """
    (tmp_path / "app.py").write_text(dedent(program))
    command = [sys.executable, "app.py", "hydra.run.dir=out", "color=blue"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, capture_output=True, encoding="utf-8", check=False
    )
    assert done.stdout.splitlines() == ["4 blue app", "5 blue app"], done.stderr
