"""Archives that are damaged or malicious."""

from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from slimline.pipeline.errors import UserError
from tests.stages.data.sources.making import (
    MODES,
    class_files,
    labels,
    listing,
    pack,
    picture,
    problems,
    run,
    spooled,
)

PHOTO = picture(1)
FORMATS = ["zip", *MODES]


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_names_that_point_outside_are_refused_one_by_one(tmp_path: Path, kind: str) -> None:
    bad = ["../ant/2.jpg", "/ant/3.jpg", "ant/../../4.jpg", "/etc/passwd"]
    found = spooled(pack(tmp_path / f"a.{kind}", dict.fromkeys(["ant/1.jpg", "bee/1.jpg", *bad], PHOTO)), tmp_path)
    assert labels(found) == {"ant/1.jpg": "ant", "bee/1.jpg": "bee"}
    assert problems(found) == dict.fromkeys(bad, ("its name points outside the archive", False))
    assert sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".jpg") == []


def encrypt_first(path: Path) -> Path:
    """Set the flag of an encrypted member in both of a zip's headers."""
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    return path


def test_a_member_that_is_encrypted_is_one_bad_photo(tmp_path: Path) -> None:
    path = encrypt_first(pack(tmp_path / "a.zip", {"ant/1.jpg": PHOTO, "bee/1.jpg": PHOTO}))
    found = spooled(path, tmp_path)
    assert labels(found) == {"bee/1.jpg": "bee"}
    [(problem, skipped)] = problems(found).values()
    assert "can't be unpacked" in problem and "is encrypted" in problem and not skipped


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_member_that_is_damaged_is_one_bad_photo(tmp_path: Path, compression: int) -> None:
    path = pack(tmp_path / "a.zip", {"ant/1.jpg": PHOTO, "bee/1.jpg": PHOTO}, compression)
    data = bytearray(path.read_bytes())
    data[300] ^= 0xFF
    path.write_bytes(data)
    found = spooled(path, tmp_path)
    assert labels(found) == {"bee/1.jpg": "bee"}
    assert problems(found)["ant/1.jpg"][0].startswith("damaged inside the archive: ")


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"ant/1.jpg": bytes(5_000_000), "bee/1.jpg": PHOTO})
    assert path.stat().st_size < 10_000
    found = spooled(path, tmp_path, most_bytes=1_000_000)
    assert problems(found) == {"ant/1.jpg": ("5.0 MB are more than ingest.max_file_mb allows", False)}
    assert (tmp_path / "spool.bin").stat().st_size == len(PHOTO)


def test_a_bomb_that_states_a_smaller_size_counts_as_damaged(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.zip", {"ant/1.jpg": bytes(5_000_000), "bee/1.jpg": PHOTO})
    size = (5_000_000).to_bytes(4, "little")
    assert path.read_bytes().count(size) == 2
    path.write_bytes(path.read_bytes().replace(size, (1000).to_bytes(4, "little")))
    found = spooled(path, tmp_path, most_bytes=1_000_000)
    assert problems(found)["ant/1.jpg"][0].startswith("damaged inside the archive: ")
    assert (tmp_path / "spool.bin").stat().st_size == len(PHOTO)


def test_a_large_member_of_a_tar_is_left_out(tmp_path: Path) -> None:
    files = class_files() | {"ant/large.jpg": bytes(1_100_000)}
    _, rows = run(pack(tmp_path / "a.tar.gz", files), tmp_path / "out", max_file_mb=1)
    [bad] = [row for row in rows if row["outcome"] != "used"]
    assert (bad["path"], bad["outcome"]) == ("ant/large.jpg", "quarantined")
    assert "1.1 MB are more than ingest.max_file_mb allows" in bad["reason"]


def test_links_inside_archives_are_not_followed(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {"ant/1.jpg": PHOTO, "bee/1.jpg": PHOTO})
    with tarfile.open(path, "a") as archive:
        for name, kind in (("s", tarfile.SYMTYPE), ("h", tarfile.LNKTYPE), ("p", tarfile.FIFOTYPE)):
            member = tarfile.TarInfo(f"ant/{name}.jpg")
            member.type, member.linkname = kind, "ant/1.jpg"
            archive.addfile(member)
    assert problems(listing(path)) == {
        "ant/s.jpg": ("a link: links in archives are not followed", False),
        "ant/h.jpg": ("a link: links in archives are not followed", False),
        "ant/p.jpg": ("not a file, but a pipe or a device", False),
    }
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("ant/1.jpg", PHOTO)
        entry = zipfile.ZipInfo("ant/s.jpg")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "1.jpg")
    found = spooled(tmp_path / "a.zip", tmp_path)
    assert problems(found) == {"ant/s.jpg": ("a link: links in archives are not followed", False)}


@pytest.mark.parametrize("kind", FORMATS)
def test_a_truncated_archive_is_refused(tmp_path: Path, kind: str) -> None:
    path = pack(tmp_path / f"a.{kind}", class_files())
    whole = path.read_bytes()
    for length in (len(whole) // 2, 3 * len(whole) // 4):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"can't be unpacked: .*\nUse a complete archive"):
            spooled(path, tmp_path)


def test_a_tar_truncated_between_two_members_is_refused(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {"ant/1.jpg": PHOTO, "bee/1.jpg": PHOTO})
    with tarfile.open(path) as archive:
        end = archive.getmembers()[1].offset
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(UserError, match=f"it is truncated or damaged at byte {end:,}"):
        listing(path)


def test_a_tar_with_a_damaged_header_does_not_end_there(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", {"ant/1.jpg": PHOTO, "bee/1.jpg": PHOTO, "bee/2.jpg": PHOTO})
    with tarfile.open(path) as archive:
        start = archive.getmembers()[1].offset
    data = bytearray(path.read_bytes())
    data[start + 150] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"it is truncated or damaged at byte {start:,}"):
        listing(path)
