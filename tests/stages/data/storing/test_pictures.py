"""Small pictures as data: they are read back as written, and written to the same bytes each time."""

from __future__ import annotations

import pyarrow as pa

from slimline.stages.data.storing.pictures import FILE, Picture, Role, read_pictures, write_pictures

PICTURES = [
    Picture(7, Role.example, b"\xff\xd8seven"),
    Picture(1 << 40, Role.quarantined, b""),
    Picture(2, Role.twin, b"two", other=7),
    Picture(0, Role.label_error, b"zero"),
]


def test_pictures_are_read_back_in_their_order(tmp_path):
    write_pictures(tmp_path, iter(PICTURES))
    found = read_pictures(tmp_path)
    assert found == PICTURES
    assert all(isinstance(one.role, Role) for one in found)


def test_without_pictures_the_file_still_has_the_columns(tmp_path):
    write_pictures(tmp_path, [])
    assert read_pictures(tmp_path) == []
    with pa.memory_map(str(tmp_path / FILE)) as file:
        assert pa.ipc.open_file(file).schema == pa.schema(
            [("row", pa.int64()), ("role", pa.string()), ("other", pa.int64()), ("jpeg", pa.binary())]
        )


def test_the_same_pictures_give_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write_pictures(tmp_path / name, PICTURES)
    assert (tmp_path / "one" / FILE).read_bytes() == (tmp_path / "two" / FILE).read_bytes()
