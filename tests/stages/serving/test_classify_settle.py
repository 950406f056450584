"""Paths and patterns of `classify.images`, as users write them and shells pass them, and what wrong ones are told."""

from __future__ import annotations

import os
import shlex
import unicodedata
from pathlib import Path

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from slimline.pipeline.arguments import rewrite_arguments
from slimline.pipeline.errors import UserError
from slimline.pipeline.settings import read_settings
from slimline.stages.classify import classify
from slimline.stages.serving.classify_config import ClassifyConfig
from slimline.stages.serving.classify_settle import find_inputs, settle_images
from tests.stages.serving.conftest import picture

NAMES = ("a.jpg", "it's, a photo.jpg", "Gänse ü.jpg", "[x] (1).jpg", "a,b.jpg", 'a "quoted".jpg', "1e3", "#1 & 2$.jpg")


def found(argument: str) -> list[str]:
    """Return the paths that an argument of the command line leads to."""
    [written] = rewrite_arguments([argument], read_settings([classify]))
    override = OverridesParser.create().parse_override(written)
    assert not override.is_sweep_override()
    return [str(path) for path in find_inputs(ClassifyConfig(images=override.value()).images)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    inside = tmp_path / "it's, ü [2024]"
    inside.mkdir()
    for name in NAMES:
        (inside / name).write_bytes(picture(9))
        (tmp_path / name).write_bytes(picture(9))
    monkeypatch.chdir(tmp_path)
    return inside


@pytest.mark.parametrize("name", NAMES)
def test_a_path_is_read_as_it_is_alone_and_in_a_list(folder, name):
    for path in (name, f"{folder.name}/{name}", f"{folder}/{name}"):
        assert found(f"classify.images={path}") == [path]
        assert found(f"classify.images=[{path}]") == [path]
        assert found(f"classify.images=[a.jpg,{path}, 1e3]") == ["a.jpg", path, "1e3"]


def test_a_folder_and_a_pattern_in_it_are_read_whatever_its_name(folder):
    assert found(f"classify.images={folder.name}") == [folder.name]
    photos = sorted(f"{folder.name}/{name}" for name in NAMES if name.endswith(".jpg"))
    assert found(f"classify.images={folder.name}/*.jpg") == photos
    assert found(f"classify.images=[a.jpg,{folder.name}/*.jpg]") == ["a.jpg", *photos]
    assert found("classify.images=*/1e3") == [f"{folder.name}/1e3"]
    assert found("classify.images=**/1e3") == ["1e3", f"{folder.name}/1e3"]


@pytest.mark.parametrize("name", NAMES)
def test_other_spellings_of_a_path_are_read(folder, name):
    path = folder / name
    assert find_inputs([path.as_uri()]) == [path]
    assert find_inputs([path.as_uri().replace("file://", "file://localhost")]) == [path]
    assert find_inputs([f"  {folder.name}/{name} "]) == [Path(folder.name, name)]
    assert find_inputs([f"{folder.name}\\{name}"]) == [Path(folder.name, name)]
    assert found(f"classify.images={path.as_uri()}") == [str(path)]
    assert found(f"classify.images={folder.name}\\{name}") == [f"{folder.name}/{name}"]
    assert found(f"classify.images=[a.jpg,{folder.name}\\{name}]") == ["a.jpg", f"{folder.name}/{name}"]


def test_accents_in_the_other_form_of_unicode_are_read(folder):
    """A Mac stores "ü" as two letters, and a keyboard gives one."""
    for stored, typed in (("NFD", "NFC"), ("NFC", "NFD")):
        path = Path(unicodedata.normalize(stored, f"{stored} Löwenzahn.jpg"))
        path.write_bytes(picture(9))
        assert find_inputs([unicodedata.normalize(typed, str(path))]) == [path]


def test_a_name_with_a_backslash_or_a_space_at_its_end_is_that_file(folder):
    for name in ("a\\b.jpg", "end.jpg "):
        Path(name).write_bytes(picture(9))
        Path(name.replace("\\", "/").strip()).parent.mkdir(exist_ok=True)
        assert find_inputs([name]) == [Path(name)]


@pytest.mark.parametrize("typed", ["it's, a foto.jpg", "Ganse ü.jpg", "a.jpeg", "it's, ü [2024]/1e4"])
def test_a_missing_path_is_answered_with_the_most_similar_one_which_can_be_pasted(folder, typed):
    with pytest.raises(UserError) as caught:
        find_inputs([typed])
    problem, advice = str(caught.value).splitlines()
    near = problem.removeprefix(f"classify.images: {typed} does not exist. Did you mean ").removesuffix("?")
    assert Path(near).is_file()
    [argument] = shlex.split(advice.removeprefix("Write "))
    assert found(argument) == [near]


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("nowhere/*.jpg", "classify.images: nowhere/*.jpg matches no files.\nList photos (JPEG, "),
        ("nowhere", "classify.images: nowhere does not exist (looked for /"),
        ("x" * 5000, "does not exist (looked for /"),
        ("file:///nowhere/a.jpg", "classify.images: file:///nowhere/a.jpg does not exist (looked for /nowhere/a.jpg)"),
        ("file://server/a.jpg", "classify.images: file://server/a.jpg does not exist"),
        ("https://x.org/a b.jpg", "Download it first: curl -LO 'https://x.org/a b.jpg'"),
    ],
)
def test_what_leads_nowhere_is_answered_with_what_is_accepted(folder, typed, said):
    with pytest.raises(UserError) as caught:
        find_inputs([typed])
    assert said in str(caught.value)


def settled(*images: str) -> list[str]:
    return settle_images(ClassifyConfig(images=list(images)), False).images


def test_a_folder_without_photos_is_refused_before_anything_runs(tmp_path):
    empty, texts, photos = tmp_path / "empty", tmp_path / "texts", tmp_path / "photos"
    for one in (empty, texts, photos):
        one.mkdir()
    (empty / ".hidden.jpg").write_bytes(picture(9))
    (texts / "notes.txt").write_text("hello, I am not a photo")
    (photos / "a.jpg").write_bytes(picture(9))
    with pytest.raises(UserError) as caught:
        settled(str(empty), str(texts))
    lines = str(caught.value).splitlines()
    assert lines[:4] == [
        "classify.images leads to no photo that can be read:",
        f"  {empty}: it contains no photos",
        f"  {texts}: it contains no photos",
        f"  Files that are not images: 1, such as {texts}/notes.txt",
    ]
    assert lines[4].startswith("List photos (")
    assert settled(str(empty), str(photos)) == [str(empty), str(photos)]


def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"a\.jpg: not a regular file, but a pipe, socket or device"):
        settled(str(tmp_path / "a.jpg"))


def test_without_images_a_bundled_photo_is_classified():
    [photo] = settled()
    assert Path(photo).is_file()


def test_a_list_of_photos_is_told_what_to_give_instead(tmp_path):
    (tmp_path / "photos.csv").write_text("path,label\na.jpg,daisy\n")
    (tmp_path / "a.jpg").write_bytes(picture(9))
    with pytest.raises(UserError, match=r"photos\.csv: a list; give the photos themselves, their folder or a pattern"):
        settled(str(tmp_path / "photos.csv"))
    assert settled(str(tmp_path / "photos.csv"), str(tmp_path / "a.jpg"))


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def test_photos_that_need_another_package_are_refused_before_anything_runs(tmp_path, monkeypatch):
    monkeypatch.setattr("slimline.stages.images.files.can_read_heif", lambda: False)
    for number in range(7):
        (tmp_path / f"IMG_{number}.HEIC").write_bytes(HEIC)
    with pytest.raises(UserError) as caught:
        settled(str(tmp_path))
    lines = str(caught.value).splitlines()
    assert lines[1] == f"  {tmp_path}/IMG_0.HEIC: it is HEIC, which needs another package: pip install pillow-heif"
    assert lines[6] == "left out 7 of 7: 7 HEIC (pip install pillow-heif)"
    (tmp_path / "a.jpg").write_bytes(picture(9))
    assert settled(str(tmp_path)) == [str(tmp_path)]


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "the file is empty"), (b"hello, I am text", "it is text, not an image")]
)
def test_a_file_that_is_not_an_image_is_refused_before_anything_runs(tmp_path, content, reason):
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(UserError, match=f"a.jpg: {reason}\n"):
        settled(str(tmp_path / "a.jpg"))
