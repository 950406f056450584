"""The zoo's archives: only the checkpoint is unpacked, and only while it is read."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest

from slimline.pipeline.errors import UserError
from slimline.stages.backend.tensorflow import tf
from slimline.stages.networks.weights.checkpoint import read_checkpoint, write_checkpoint
from slimline.stages.networks.weights.published import Published
from slimline.stages.networks.weights.read_published import read_published
from slimline.stages.networks.weights.zoo import check_archive, pick_averages, unpacked

VALUES = {
    "Net/Conv/weights": np.arange(12, dtype=np.float32).reshape(1, 1, 3, 4),
    "Net/Conv/BatchNorm/beta": np.arange(4, dtype=np.float32),
    "global_step": np.int64(7),
}
NAMES = {"Net/Conv/weights": (1, 1, 3, 4), "Net/Conv/BatchNorm/beta": (4,)}
PUBLISHED = Published("zoo", "net.tgz", 4, url="https://nowhere.invalid/net.tgz", checkpoint="net.ckpt")


def pack(archive: Path, *files: Path, members: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    with tarfile.open(archive, "w:gz") as packed:
        for file in files:
            packed.add(file, f"./{file.name}")
        for member in members:
            packed.addfile(member, io.BytesIO(b"\0" * member.size))
    return archive


@pytest.fixture
def checkpoint(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "made"
    folder.mkdir()
    write_checkpoint(folder / "net.ckpt", VALUES)
    (folder / "net_eval.pbtxt").write_text("a graph")
    return sorted(folder.iterdir())


@pytest.fixture
def archive(tmp_path: Path, checkpoint: list[Path]) -> Path:
    return pack(tmp_path / "net.tgz", *checkpoint)


def test_reads_the_network_s_variables_and_leaves_nothing_behind(tmp_path, archive):
    found = read_published(PUBLISHED, archive, NAMES)
    assert set(found) == set(NAMES)
    assert all(np.array_equal(found[name], VALUES[name]) for name in NAMES)
    assert {path.name for path in tmp_path.iterdir()} - {"net.tgz.lock"} == {"made", "net.tgz"}


def test_only_the_checkpoint_is_unpacked(archive):
    with unpacked(archive, "net.ckpt") as prefix:
        assert {path.name for path in prefix.parent.iterdir()} == {"net.ckpt.index", "net.ckpt.data-00000-of-00001"}


def test_reads_the_single_file_of_tensorflow_s_first_format(tmp_path):
    folder = tmp_path / "made"
    folder.mkdir()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for name, value in VALUES.items():
            tf.compat.v1.get_variable(name, initializer=value)
        session.run(tf.compat.v1.global_variables_initializer())
        saver = tf.compat.v1.train.Saver(write_version=tf.compat.v1.train.SaverDef.V1)
        saver.save(session, str(folder / "net.ckpt"), write_meta_graph=False, write_state=False)
    [file] = folder.iterdir()
    assert file.name == "net.ckpt"
    found = read_published(PUBLISHED, pack(tmp_path / "net.tgz", file), NAMES)
    assert all(np.array_equal(found[name], VALUES[name]) for name in NAMES)


def test_files_of_an_attempt_that_was_killed_are_removed(archive):
    remains = archive.with_name("net.tgz.unpacked")
    remains.mkdir()
    (remains / "net.ckpt.index").write_text("half")
    with unpacked(archive, "net.ckpt") as prefix:
        assert set(read_checkpoint(prefix)) == set(VALUES)
    assert not remains.exists()


def test_an_error_while_reading_cleans_up_and_is_raised(archive):
    with pytest.raises(FileNotFoundError, match="mine"), unpacked(archive, "net.ckpt"):
        raise FileNotFoundError("mine")
    assert not archive.with_name("net.tgz.unpacked").exists()


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, target, 3 if kind == tarfile.REGTYPE else 0
    return made


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        (member("/tmp/x"), "would be unpacked outside of its folder"),
        (member("a/../../x"), "would be unpacked outside of its folder"),
        (member("x", tarfile.SYMTYPE, "/etc/passwd"), "neither a file nor a folder"),
        (member("x", tarfile.LNKTYPE, "net.ckpt.index"), "neither a file nor a folder"),
        (member("x", tarfile.FIFOTYPE), "neither a file nor a folder"),
    ],
)
def test_refuses_links_and_names_outside(tmp_path, checkpoint, odd, reason):
    archive = pack(tmp_path / "net.tgz", *checkpoint, members=(odd,))
    with pytest.raises(UserError, match=reason):
        check_archive(archive, "net.ckpt")
    with pytest.raises(UserError, match=reason), unpacked(archive, "net.ckpt"):
        pass
    assert not archive.with_name("net.tgz.unpacked").exists()


@pytest.mark.parametrize("lost_bytes", [1, 5, 8, 100, 1000])
def test_refuses_a_truncated_archive(archive, lost_bytes):
    check_archive(archive, "net.ckpt")
    archive.write_bytes(archive.read_bytes()[:-lost_bytes])
    with pytest.raises(UserError, match="can't be unpacked"):
        check_archive(archive, "net.ckpt")


def test_refuses_other_files_and_archives_of_other_networks(tmp_path, archive):
    with pytest.raises(UserError, match=r"contains no other\.ckpt"):
        check_archive(archive, "other.ckpt")
    archive.write_text("<html>Please log in</html>")
    with pytest.raises(UserError, match="can't be unpacked"):
        check_archive(archive, "net.ckpt")


def test_moving_averages_replace_the_last_values():
    average = np.full(4, 0.5, np.float32)
    found = pick_averages({**VALUES, "Net/Conv/BatchNorm/beta/ExponentialMovingAverage": average}, NAMES)
    assert np.array_equal(found["Net/Conv/BatchNorm/beta"], average)
    assert np.array_equal(found["Net/Conv/weights"], VALUES["Net/Conv/weights"])


def test_variables_that_are_missing_or_have_another_shape():
    with pytest.raises(UserError, match="lacks the network's variable Net/Logits/weights"):
        pick_averages(VALUES, {**NAMES, "Net/Logits/weights": (4, 2)})
    with pytest.raises(UserError, match=r"Net/Conv/BatchNorm/beta is \[4\], but the network's is \[5\]"):
        pick_averages(VALUES, {**NAMES, "Net/Conv/BatchNorm/beta": (5,)})
