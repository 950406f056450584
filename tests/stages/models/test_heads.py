"""The table of heads: chosen by their kind, rebuilt from cards, including cards of earlier versions."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from slimline.pipeline.artifact import Artifact
from slimline.pipeline.errors import UserError
from slimline.pipeline.plugins import installed_plugins
from slimline.pipeline.settings import config_keys
from slimline.stages.images.preprocessing_config import Preprocessing
from slimline.stages.models.assemble import first_head_weights, head_network
from slimline.stages.models.card import Card, read_card, write_card
from slimline.stages.models.head import write_head
from slimline.stages.models.head_config import Activation, HeadConfig, MlpConfig, chosen_head
from slimline.stages.models.head_table import HEADS
from slimline.stages.models.trained import initial_weights
from slimline.stages.networks.graphs.frozen_graph import cut_graph
from slimline.stages.networks.graphs.module import SlimModule
from slimline.stages.networks.table import NETWORKS
from slimline.stages.networks.weights.parts import is_part
from slimline.stages.table import STAGES
from tests.pipeline.plugin_making import install
from tests.stages.networks.graphs.making import SIDE_PX, graph_of, images_placeholder, pooled

FILES = {
    "hatbox/__init__.py": "",
    "hatbox/rows.py": """
        from dataclasses import dataclass
        from slimline.stages.models.head_config import HeadConfig
        from slimline.stages.models.head_row import HeadRow

        @dataclass
        class ScaledConfig(HeadConfig):
            kind: str = "scaled"
            factor: float = 2.0

        SCALED = HeadRow(ScaledConfig, "hatbox.scaled:make_scaled")
        """,
    "hatbox/scaled.py": """
        from slimline.stages.backend.tensorflow import tf

        def make_scaled(num_classes, *, dropout, factor):
            def head(features, *, is_training=False, dropout_seed=None):
                with tf.compat.v1.variable_scope("Head"):
                    weights = tf.compat.v1.get_variable("weights", [features.shape[-1], num_classes])
                logits = factor * features @ weights
                return logits, {"Logits": logits}

            return head
        """,
}


def forget() -> None:
    installed_plugins.cache_clear()
    for name in ("plugins", "references"):
        vars(HEADS).pop(name, None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "hatbox"]:
        del sys.modules[name]


@pytest.fixture
def hatbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install(tmp_path / "site", "hat-box", {"slimline.heads": {"scaled": "hatbox.rows:SCALED"}}, FILES)
    forget()
    yield
    forget()


def card(**values: object) -> Card:
    preprocessing = NETWORKS["mobilenet_v1"].preprocessing
    return Card("mobilenet_v1", preprocessing, ["a", "b"], weights="random", weights_sha256="", **values)  # type: ignore[arg-type]


def test_a_heads_settings_are_what_its_factory_takes() -> None:
    assert HeadConfig(dropout=0.1).options() == {"dropout": 0.1}
    made = MlpConfig(widths=[8], activation=Activation.tanh)
    assert made.options() == {"widths": [8], "dropout": 0.0, "activation": "tanh"}
    factory = "slimline.stages.networks.architectures.heads:make_head"
    assert chosen_head(made) == {"slimline.stages.models.head_table": ["slimline.stages.models.head_rows:MLP", factory]}


def test_a_kind_with_other_settings_is_refused() -> None:
    with pytest.raises(UserError) as refused:
        HeadConfig(kind="mlp")
    assert str(refused.value).splitlines() == [
        "head.kind=mlp can't be used with the settings of HeadConfig.",
        "Choose the head with head=mlp, which sets head.kind too.",
    ]
    with pytest.raises(UserError, match=r"head\.kind=liner is not allowed\.\n.*linear, mlp\. Did you mean linear\?"):
        HeadConfig(kind="liner")


@pytest.mark.parametrize(
    ("head", "kind", "first"),
    [
        (None, "linear", "Head/Logits/weights"),
        ({"dropout": 0.0}, "linear", "Head/Logits/weights"),
        ({"widths": [4], "dropout": 0.0, "activation": "relu"}, "mlp", "Head/fc_1/weights"),
    ],
)
def test_a_card_of_an_earlier_version_is_read(
    tmp_path: Path, head: dict[str, object] | None, kind: str, first: str
) -> None:
    write_card(tmp_path, card(head=head))
    values = json.loads((tmp_path / "card.json").read_text())
    assert values.pop("head_kind") == "linear"
    (tmp_path / "card.json").write_text(json.dumps(values))
    read = read_card(tmp_path)
    assert (read.head_kind, read.head) == (kind, head)
    assert first_head_weights(read) == first


@pytest.mark.parametrize("copied", [False, True])
def test_a_frozen_bases_graph_is_read_from_the_base_unless_an_earlier_version_copied_it(
    tmp_path: Path, copied: bool
) -> None:
    base, own = tmp_path / "base", tmp_path / "own"
    for folder, graph in ((base, b"graph"), (own, b"copy" if copied else None)):
        folder.mkdir()
        write_card(folder, card(head=None, graph=graph))
    assert read_card(own, base).graph == (b"copy" if copied else b"graph")
    assert read_card(own).graph == (b"copy" if copied else None)


@pytest.mark.slow
def test_a_head_on_a_frozen_base_holds_all_variables_and_no_graph(tmp_path: Path) -> None:
    """A frozen base has no checkpoint: its weights are constants of its graph."""
    cut = cut_graph(
        graph_of(lambda: pooled(images_placeholder())),
        input_name="images",
        output_names={"pooled": "pool:0"},
        size_px=SIDE_PX,
    )
    seen = Preprocessing(input_px=SIDE_PX, crop="whole", offset=128.0, scale=64.0)
    frozen = replace(card(head=None), network="frozen_graph", preprocessing=seen, graph=cut.SerializeToString())
    base, head, ingest = (tmp_path / name for name in ("base", "head", "ingest"))
    for folder in (base, head, ingest):
        folder.mkdir()
    write_card(base, frozen)
    (ingest / "labels.txt").write_text("a\nb\n", encoding="utf-8")
    made = [Artifact(path.name, "k", 1, path, "d", 0.0, {}, {}) for path in (base, ingest)]
    facts = write_head(HeadConfig(seed=0), head, *made)
    assert (facts["restored"], facts["new"]) == (0, 2)
    assert {path.name.partition(".")[0] for path in head.iterdir()} == {"card", "model", "restore"}
    assert list(initial_weights(base, head)) == ["Head/Logits/biases", "Head/Logits/weights"]
    assert not is_part(head / "model.ckpt")
    assert read_card(head, base).graph == frozen.graph


@pytest.mark.usefixtures("hatbox")
def test_a_plugins_head_is_rebuilt_from_its_card(tmp_path: Path) -> None:
    assert "hatbox.rows" not in sys.modules
    assert STAGES["head"].schemas["scaled"].__name__ == "ScaledConfig"
    assert "head.factor" in config_keys(STAGES.values()).names
    assert "hatbox.scaled" not in sys.modules
    config = STAGES["head"].schemas["scaled"](factor=3.0)
    assert chosen_head(config) == {
        "slimline.stages.models.head_table": ["hatbox.rows:SCALED", "hatbox.scaled:make_scaled"]
    }
    write_card(tmp_path, card(head=config.options(), head_kind=config.kind))
    read = read_card(tmp_path)
    assert first_head_weights(read) is None
    module = SlimModule(head_network(read), (3,), None, 0)
    given = np.array([[1.0, 2.0, 3.0]], np.float32)
    weights = module.variables_by_name["Head/weights"].numpy()
    np.testing.assert_allclose(module(given)[0], 3 * given @ weights, rtol=1e-6)
