"""Networks of plug-ins: chosen by a config, part of its keys, and of no other config's keys."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from slimline.pipeline import code
from slimline.pipeline.code import CodeReader
from slimline.pipeline.errors import UserError
from slimline.pipeline.plugins import installed_plugins
from slimline.stages.models.base_config import BaseConfig, chosen_network
from slimline.stages.networks.table import NETWORKS
from slimline.stages.table import DISPLAY_ONLY, STAGES
from tests.pipeline.plugin_making import install

FILES = {
    "netbox/__init__.py": "",
    "netbox/rows.py": """
        from dataclasses import replace
        from slimline.stages.networks.rows.mobilenet import MOBILENET_V1

        POCKET = replace(MOBILENET_V1, function="netbox.pocket:pocket", scope="Pocket")
        SACK = "no row"
        """,
    "netbox/pocket.py": """
        import netbox.layers
        from slimline.stages.networks.architectures.resnet import resnet_v1_50

        def pocket(images, *, is_training=False, num_classes=None):
            return resnet_v1_50(images, is_training=is_training, num_classes=num_classes)
        """,
    "netbox/layers.py": "DEPTH = 3\n",
}
GROUPS = {"slimline.networks": {"pocket": "netbox.rows:POCKET", "sack": "netbox.rows:SACK"}}


def forget() -> None:
    installed_plugins.cache_clear()
    code._distributions.cache_clear()
    for name in ("plugins", "references"):
        vars(NETWORKS).pop(name, None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "netbox"]:
        del sys.modules[name]


@pytest.fixture
def netbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install(tmp_path / "site", "net-box", GROUPS, FILES, version="0.3")
    forget()
    yield
    forget()


@pytest.mark.usefixtures("netbox")
def test_a_plugins_network_can_be_chosen() -> None:
    config = BaseConfig("pocket", size=96)
    assert "netbox.rows" not in sys.modules
    assert config.preprocessing().input_px == 96
    assert "netbox.rows" in sys.modules and "netbox.pocket" not in sys.modules
    assert chosen_network(config)["slimline.stages.networks.table"] == ["netbox.rows:POCKET", "netbox.pocket:pocket"]


@pytest.mark.usefixtures("netbox")
def test_the_error_for_a_misspelled_network_suggests_the_nearest() -> None:
    with pytest.raises(UserError, match=r"base\.network='poket' is not .*\n.*pocket, resnet.*Did you mean pocket\?"):
        BaseConfig("poket")
    with pytest.raises(UserError, match=r"Did you mean mobilenet_v2\?"):
        BaseConfig("mobilnet_v2")


@pytest.mark.usefixtures("netbox")
def test_an_object_that_is_not_a_row_is_refused() -> None:
    with pytest.raises(UserError, match=r"'sack' \(netbox\.rows:SACK\) of the plug-in net-box 0\.3 is a str, but must"):
        BaseConfig("sack").preprocessing()


def test_the_network_is_only_in_the_keys_of_configs_that_choose_it(netbox: None, tmp_path: Path) -> None:
    def read(network: str) -> dict[str, str]:
        found = CodeReader(tmp_path / "memory.json", DISPLAY_ONLY).read(
            STAGES["base"], chosen_network(BaseConfig(network))
        )
        return {**found.digests, **found.versions}

    with_plugin, chosen = read("mobilenet_v1"), read("pocket")
    forget()
    installed = sys.path.pop(0)
    assert read("mobilenet_v1") == with_plugin
    sys.path.insert(0, installed)
    assert {name for name in chosen if name not in with_plugin} == {
        "netbox",
        "netbox.rows",
        "netbox.pocket",
        "netbox.layers",
        "slimline.stages.networks.architectures.resnet",
        "net-box",
    }
    assert chosen["net-box"] == "0.3"
