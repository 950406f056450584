from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slimline.pipeline.config_folders import ConfigFolders
from slimline.pipeline.copying import copy_option
from slimline.pipeline.errors import UserError

Told = tuple[int, list[str], list[str], bool]
Run = Callable[..., Told]
Configs = Callable[..., Path]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folders(tmp_path: Path, configs: Configs, monkeypatch: pytest.MonkeyPatch) -> ConfigFolders:
    shipped = configs(
        {
            "experiment/flowers": "# ours\n",
            "head/mlp": "# straße\n",
            "head/linear": "",
            "train/optimizer/adam": "# a\n",
        },
        "shipped",
    )
    monkeypatch.chdir(tmp_path)
    return ConfigFolders(None, (configs({"head/added": "# added\n"}, "plugged"),), shipped)


@pytest.mark.parametrize(
    ("name", "text", "command"),
    [
        ("experiment/flowers", "# ours\n", "slimline +experiment=flowers"),
        ("head/mlp", "# straße\n", "slimline +experiment=flowers head=mlp"),
        ("head=mlp", "# straße\n", "slimline +experiment=flowers head=mlp"),
        ("head/added", "# added\n", "slimline +experiment=flowers head=added"),
        ("train/optimizer/adam.yaml", "# a\n", "slimline +experiment=flowers train/optimizer=adam"),
    ],
)
def test_an_option_is_copied_and_its_command_is_printed(
    folders: ConfigFolders, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str, command: str
) -> None:
    copy_option([name], folders, "slimline")
    [copied] = (tmp_path / "conf").rglob("*.yaml")
    assert copied == tmp_path / "conf" / f"{name.replace('=', '/').removesuffix('.yaml')}.yaml"
    assert copied.read_text(encoding="utf-8") == text
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{copied.relative_to(tmp_path)} is a copy of")
    assert second.strip() == command


def test_a_copy_goes_into_the_folder_that_was_given(
    folders: ConfigFolders, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    copy_option(["head/mlp"], ConfigFolders(tmp_path / "mine", folders.plugins, folders.shipped), "slimline")
    assert (tmp_path / "mine" / "head" / "mlp.yaml").is_file()
    assert "slimline --config-dir mine +experiment=flowers head=mlp" in capsys.readouterr().out


def test_a_copy_overwrites_nothing(folders: ConfigFolders, tmp_path: Path, configs: Configs) -> None:
    configs({"head/mlp": "# mine\n"})
    with pytest.raises(UserError, match=r"^conf/head/mlp.yaml already exists, so nothing was copied\.\nEdit it"):
        copy_option(["head/mlp"], folders, "slimline")
    assert (tmp_path / "conf" / "head" / "mlp.yaml").read_text() == "# mine\n"


def test_in_a_checkout_a_copy_needs_a_folder_of_its_own(folders: ConfigFolders, tmp_path: Path) -> None:
    folders.shipped.rename(tmp_path / "conf")
    with pytest.raises(UserError, match=r"^conf/head/mlp.yaml already exists, .*\nIt is the shipped file\. Create a"):
        copy_option(["head/mlp"], ConfigFolders(None, folders.plugins, tmp_path / "conf"), "slimline")
    assert (tmp_path / "conf" / "head" / "mlp.yaml").read_text(encoding="utf-8") == "# straße\n"


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [
        (
            ["head/mlpp"],
            ["There is no option head/mlpp to copy. Did you mean head/mlp?", "head has: added, linear, mlp."],
        ),
        (
            ["hed/mlp"],
            [
                "There is no option hed/mlp to copy. Did you mean head/mlp?",
                "Write GROUP/OPTION; the groups are: experiment, head, train/optimizer.",
            ],
        ),
        (
            ["flowers"],
            [
                "There is no option flowers to copy. Did you mean experiment/flowers?",
                "Write GROUP/OPTION; the groups are: experiment, head, train/optimizer.",
            ],
        ),
        ([], ["copy takes one option, but 0 were given.", "Write, for example: slimline copy experiment/flowers"]),
        (
            ["a", "b"],
            ["copy takes one option, but 2 were given.", "Write, for example: slimline copy experiment/flowers"],
        ),
    ],
)
def test_an_unknown_option_is_an_error_that_lists_the_options(
    folders: ConfigFolders, tmp_path: Path, arguments: list[str], lines: list[str]
) -> None:
    with pytest.raises(UserError) as caught:
        copy_option(arguments, folders, "slimline")
    assert str(caught.value).splitlines() == lines
    assert not (tmp_path / "conf").exists()


def test_the_users_own_options_cannot_be_copied(folders: ConfigFolders, tmp_path: Path, configs: Configs) -> None:
    own = configs({"head/mine": "# mine\n"}, "mine")
    with pytest.raises(UserError, match=r"^There is no option head/mine to copy\."):
        copy_option(["head/mine"], ConfigFolders(own, folders.plugins, folders.shipped), "slimline")


def test_a_copied_experiment_is_the_one_that_runs(run: Run, installed_program: tuple[str, ...], tmp_path: Path) -> None:
    code, output, errors, _ = run("copy", "experiment/toy", program=installed_program)
    assert (code, errors, output[1]) == (0, [], "  program.py +experiment=toy")
    code, output, errors, _ = run("+experiment=toy", program=installed_program)
    assert (code, errors) == (0, [])
    assert output[0] == "using conf/experiment/toy.yaml instead of the shipped one"


def test_in_a_checkout_a_copy_does_not_touch_the_shipped_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises(UserError, match="already exists"):
        copy_option(["experiment/flowers"], ConfigFolders(None, (), ROOT / "conf"), "slimline")


def test_a_folder_that_cannot_be_created_is_an_error(folders: ConfigFolders) -> None:
    Path("conf").write_text("")
    with pytest.raises(
        UserError, match=r"conf/head/mlp\.yaml cannot be written: Not a directory\.\n.*--config-dir DIR"
    ):
        copy_option(["head/mlp"], folders, "slimline")
