"""Sources of plug-ins: chosen by `ingest.source`, read as built-in ones are, counted only in the keys that use them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from omegaconf import OmegaConf

from slimline.pipeline.content import ContentDigests
from slimline.pipeline.errors import UserError
from slimline.pipeline.keys import tracked
from slimline.pipeline.plugins import installed_plugins
from slimline.stages.data.config import IngestConfig, chosen_source
from slimline.stages.data.settle import settle_source
from slimline.stages.data.sources import table
from slimline.stages.ingest import ingest
from tests.pipeline.plugin_making import install
from tests.stages.data.sources.making import class_files, write

FILES = {
    "gallery/__init__.py": "",
    "gallery/flat.py": """
        from slimline.stages.data.sources.photo import Photo

        WALL = 3

        def list_flat(listing):
            for path in sorted(listing.root.glob("*.jpg")):
                yield Photo(path.name, path.name.partition("_")[0], str(path))
        """,
}
GROUPS = {"slimline.sources": {"flat": "gallery.flat:list_flat", "wall": "gallery.flat:WALL"}}


def forget() -> None:
    installed_plugins.cache_clear()
    for name in ("plugins", "references"):
        vars(table.SOURCES).pop(name, None)
    for name in [name for name in sys.modules if name.partition(".")[0] == "gallery"]:
        del sys.modules[name]


@pytest.fixture
def flat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Install the source, and write photos that have their class in the name, as in ant_3.jpg."""
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    install(tmp_path / "site", "photo-gallery", GROUPS, FILES)
    forget()
    yield write(tmp_path / "flat", {name.replace("/", "_"): content for name, content in class_files().items()})
    forget()


def test_a_plugins_source_is_read_as_built_in_ones_are(flat: Path, tmp_path: Path) -> None:
    config = settle_source(IngestConfig(images=str(flat), source="flat", seed=0), False)
    assert "gallery.flat" not in sys.modules
    assert chosen_source(config) == {"slimline.stages.data.sources.table": ["gallery.flat:list_flat"]}
    (tmp_path / "out").mkdir()
    assert ingest(config, tmp_path / "out")["photos"] == 24
    rows = pq.read_table(tmp_path / "out/index.parquet").to_pylist()
    assert {row["label"] for row in rows} == {"ant", "bee"}


def test_a_misspelled_source_is_answered_with_the_nearest_of_all(flat: Path) -> None:
    for typo, wanted in (("fltt", "flat"), ("foldr", "folder")):
        with pytest.raises(UserError) as refused:
            IngestConfig(images=str(flat), source=typo)
        assert str(refused.value).splitlines() == [
            f"ingest.source={typo} is not allowed.",
            "It must be one of: auto, folder, manifest, parquet, archive, tfrecord, tfds, flat, wall."
            f" Did you mean {wanted}?",
        ]


def test_an_entry_that_is_not_a_function_is_refused(flat: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(UserError, match=r"'wall' .*photo-gallery 1\.0 is a int, but must be a function"):
        ingest(settle_source(IngestConfig(images=str(flat), source="wall", seed=0), False), tmp_path / "out")


def test_a_source_has_the_key_that_it_had_as_an_enum(tmp_path: Path) -> None:
    write(tmp_path / "in", class_files())
    settled = settle_source(IngestConfig(images=str(tmp_path / "in"), seed=0), False)
    assert type(settled.source) is str
    assert tracked(settled, ContentDigests(tmp_path / "digests.sqlite"))["source"] == "folder"
    assert "\nsource: folder\n" in OmegaConf.to_yaml(OmegaConf.structured(settled))
