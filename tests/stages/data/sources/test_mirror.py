"""Remote files and folders that are copied through fsspec."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from slimline.pipeline.errors import Unavailable, UserError
from slimline.stages.data.sources.remote import fetch
from tests.stages.data.sources.making import check_rows, class_files, key_of, picture, run, write

PHOTO = picture(1)


def fill(memory: Any, files: dict[str, bytes], root: str = "/photos") -> None:
    for name, data in files.items():
        memory.pipe_file(f"{root}/{name}", data)


def there(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_remote_folder_is_ingested(memory: Any, tmp_path: Path) -> None:
    fill(memory, class_files(split=True))
    _, rows = run("memory://photos", tmp_path / "out")
    check_rows(rows)


def test_only_changed_remote_files_are_copied(memory: Any, copied: list[str]) -> None:
    files = {"ant/1.jpg": b"a", "ant/2.jpg": b"b", "bee/1.jpg": b"c"}
    fill(memory, files)
    folder = fetch("memory://photos", None, False)
    assert there(folder) == files
    assert len(copied) == 3
    fetch("memory://photos/", None, False)
    copied.clear()
    assert fetch("memory://photos", None, False) == folder
    assert copied == []
    fill(memory, {"ant/2.jpg": b"B", "bee/2.jpg": b"d"})
    memory.rm("/photos/ant/1.jpg")
    fetch("memory://photos", None, False)
    assert copied == ["/photos/ant/2.jpg", "/photos/bee/2.jpg"]
    assert there(folder) == {"ant/2.jpg": b"B", "bee/1.jpg": b"c", "bee/2.jpg": b"d"}


def test_a_lost_copy_is_copied_again(memory: Any) -> None:
    fill(memory, {"ant/1.jpg": b"a", "bee/1.jpg": b"b"})
    folder = fetch("memory://photos", None, False)
    (folder / "ant" / "1.jpg").unlink()
    fetch("memory://photos", None, False)
    assert (folder / "ant" / "1.jpg").read_bytes() == b"a"


@pytest.mark.parametrize("change", ["changed", "removed", "added"])
@pytest.mark.parametrize("scheme", ["memory", "file"])
def test_a_remote_change_changes_the_key(memory: Any, tmp_path: Path, scheme: str, change: str) -> None:
    files = class_files()
    root = write(tmp_path / "there", files)
    fill(memory, files)
    address = {"memory": "memory://photos", "file": f"file://{root}"}[scheme]
    before = key_of(address, tmp_path / "digests")
    assert key_of(address, tmp_path / "digests") == before == key_of(root, tmp_path / "digests")
    if change == "removed":
        memory.rm("/photos/ant/3.jpg")
        (root / "ant" / "3.jpg").unlink()
    else:
        name = "ant/3.jpg" if change == "changed" else "ant/new.jpg"
        data = bytes(reversed(files["ant/3.jpg"]))
        fill(memory, {name: data})
        write(root, {name: data})
    assert key_of(address, tmp_path / "digests") != before
    assert key_of(address, tmp_path / "digests") == key_of(root, tmp_path / "digests")


def test_a_state_of_an_unknown_name_counts(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """hf:// states a `blob_id`, and nothing else that differs between two contents of the same size."""
    from fsspec.implementations.memory import MemoryFileSystem

    blob = {"id": "one"}
    real = MemoryFileSystem.find

    def find(self: Any, *others: Any, **more: Any) -> Any:
        return {
            name: {"name": name, "size": about["size"], "type": "file", "blob_id": blob["id"], "atime": object()}
            for name, about in real(self, *others, **more).items()
        }

    monkeypatch.setattr(MemoryFileSystem, "find", find)
    fill(memory, {"ant/1.jpg": b"a"})
    folder = fetch("memory://photos", None, False)
    fill(memory, {"ant/1.jpg": b"b"})
    fetch("memory://photos", None, False)
    assert there(folder) == {"ant/1.jpg": b"a"}, "the time of the last access is not part of the version"
    blob["id"] = "two"
    fetch("memory://photos", None, False)
    assert there(folder) == {"ant/1.jpg": b"b"}


def test_an_interrupted_copy_resumes_and_does_not_trust_incomplete_files(
    memory: Any, copied: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(memory, {"a/1.jpg": b"1", "a/2.jpg": b"2", "a/3.jpg": b"3"})
    folder = fetch("memory://photos", None, False)
    old = dict(memory.store)
    fill(memory, {"a/1.jpg": b"x", "a/2.jpg": b"y", "a/3.jpg": b"z"})
    new = dict(memory.store)
    del memory.store["/photos/a/2.jpg"]
    copied.clear()
    with monkeypatch.context() as broken:
        listed = {name: {"size": 1, "version": str(id(file))} for name, file in new.items()}
        broken.setattr(memory, "find", lambda *_, **__: listed)
        with pytest.raises(
            Unavailable, match=r"/photos/a/2.jpg of ingest.images=memory://photos can't be copied: File"
        ):
            fetch("memory://photos", None, False)
    assert copied == ["/photos/a/1.jpg", "/photos/a/2.jpg"]
    assert there(folder)["a/1.jpg"] == b"x"
    memory.store.clear()
    memory.store.update(old)
    fetch("memory://photos", None, False)
    assert there(folder) == {"a/1.jpg": b"1", "a/2.jpg": b"2", "a/3.jpg": b"3"}


def test_a_killed_copy_leaves_no_old_state_of_a_new_file(memory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    fill(memory, {"a/1.jpg": b"1", "a/2.jpg": b"2"})
    folder = fetch("memory://photos", None, False)
    states = folder.with_name("photos.states.json")
    assert list(json.loads(states.read_text())) == ["/photos/a/1.jpg", "/photos/a/2.jpg"]
    real, seen = MemoryFileSystem.get_file, []

    def watch(self: Any, *others: Any, **more: Any) -> Any:
        seen.append(list(json.loads(states.read_text())))
        return real(self, *others, **more)

    monkeypatch.setattr(MemoryFileSystem, "get_file", watch)
    fill(memory, {"a/1.jpg": b"x"})
    fetch("memory://photos", None, False)
    assert seen == [["/photos/a/2.jpg"]]


def test_a_file_may_replace_a_folder_and_the_other_way_round(memory: Any) -> None:
    fill(memory, {"a/b": b"1"})
    folder = fetch("memory://photos", None, False)
    memory.store.clear()
    fill(memory, {"a": b"2"})
    fetch("memory://photos", None, False)
    assert there(folder) == {"a": b"2"}
    memory.store.clear()
    fill(memory, {"a/b": b"3"})
    fetch("memory://photos", None, False)
    assert there(folder) == {"a/b": b"3"}
    memory.store.clear()
    memory.pipe_file("/photos", b"4")
    assert fetch("memory://photos", None, False).read_bytes() == b"4"


def test_a_single_remote_file_is_checked(memory: Any) -> None:
    memory.pipe_file("/a.zip", b"the file")
    path = fetch("memory://a.zip", hashlib.sha256(b"the file").hexdigest(), False)
    assert (path.name, path.read_bytes()) == ("a.zip", b"the file")
    with pytest.raises(UserError, match=r"memory://a.zip doesn't match ingest.sha256=0+.\nCorrect the checksum"):
        fetch("memory://a.zip", "0" * 64, False)


def test_names_that_point_outside_are_refused(memory: Any, cache: Path) -> None:
    memory.store["/photos/../../evil.jpg"] = memory.open("/photos/x.jpg", "wb")
    with pytest.raises(UserError, match=r"evil.jpg is outside of /photos"):
        fetch("memory://photos", None, False)
    assert not list(cache.rglob("evil.jpg"))
