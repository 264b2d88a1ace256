"""A file is written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

from napari_noise2self.core.errors import ImageError, ImageFileError, ModelFileError
from napari_noise2self.io.files import check_target, replacing, replacing_folder


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_text("old")
    with replacing(path, ImageFileError) as part:
        part.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("block", [replacing, replacing_folder])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), ImageError(), OSError(28, "disk full")])
def test_whatever_goes_wrong_leaves_the_old_one_alone(
    tmp_path: Path, block: Any, error: Any
) -> None:
    path = tmp_path / "a"

    def write(text: str, failure: BaseException | None = None) -> None:
        with block(path, ImageFileError) as part:
            (part / "x" if block is replacing_folder else part).write_text(text)
            if failure is not None:
                raise failure

    write("old")
    expected = ImageFileError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        write("half", error)
    assert list(tmp_path.iterdir()) == [path]
    assert (path / "x" if block is replacing_folder else path).read_text() == "old"


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), KeyboardInterrupt()])
def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_one(
    tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    path.mkdir()
    (path / "x").write_text("old")
    rename = os.rename

    def fail_on_the_new_one(source: Path, target: Path) -> None:
        if str(source).endswith(".part"):
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail_on_the_new_one)
    with (
        pytest.raises((ImageFileError, KeyboardInterrupt)) as caught,
        replacing_folder(path, ImageFileError),
    ):
        pass
    if isinstance(error, OSError):
        assert "could not be written (Permission denied)" in str(caught.value)
    assert (path / "x").read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_old_folder_that_cannot_be_deleted_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "a"
    path.mkdir()

    def in_use(folder: Path) -> None:
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(shutil, "rmtree", in_use)
    with replacing_folder(path, ImageFileError) as part:
        (part / "x").write_text("new")
    assert (path / "x").read_text() == "new"
    assert "is left over (The process cannot access the file); delete it" in caplog.text


def test_a_link_is_followed_and_permissions_are_kept(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    behind = tmp_path / "store" / "a.bin"
    behind.write_text("old")
    behind.chmod(0o640)
    link = tmp_path / "link.bin"
    link.symlink_to(behind)
    with replacing(link, ImageFileError) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert behind.read_text() == "new"
    assert behind.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [ImageFileError, ModelFileError])
def test_what_is_in_the_way_is_named(tmp_path: Path, error: Any) -> None:
    (tmp_path / "file").touch()
    for path, message in {
        tmp_path: "is a folder; add a file name to it",
        tmp_path / "no" / "a": r"the folder .*no does not exist; create it or choose another",
        tmp_path / "file" / "a": "file is a file, not a folder; choose another place",
    }.items():
        with pytest.raises(error, match=message):
            check_target(path, error)


def test_a_folder_closed_to_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(**_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    with pytest.raises(ImageFileError, match=r"\(Permission denied\); choose another or change"):
        check_target(tmp_path / "a", ImageFileError)


def test_a_read_only_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").touch(0o444)
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK)  # root may write all
    with pytest.raises(ImageFileError, match="is read-only; choose another name or change its"):
        check_target(tmp_path / "a", ImageFileError)


@pytest.mark.parametrize("block", [replacing, replacing_folder])
def test_a_file_that_another_program_has_open(
    tmp_path: Path, block: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def in_use(*_: Path) -> None:
        raise PermissionError(13, "The process cannot access the file")

    monkeypatch.setattr(os, "replace", in_use)
    monkeypatch.setattr(os, "rename", in_use)
    path = tmp_path / "a"
    with (
        pytest.raises(ImageFileError, match="close it where it is open in another program") as said,
        block(path, ImageFileError) as part,
    ):
        (part / "x" if block is replacing_folder else part).touch()
    assert "disk full" not in str(said.value)


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="its name of 304 letters is too long for the disk"):
        check_target(tmp_path / ("a" * 300 + ".bin"), ImageFileError)


def test_a_folder_that_may_not_be_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "lstat", denied)  # root may look anywhere
    with pytest.raises(ImageFileError, match=r"cannot be looked for \(Permission denied\); choose"):
        check_target(tmp_path / "a", ImageFileError)


def test_a_name_of_full_length(tmp_path: Path) -> None:
    path = tmp_path / ("a" * 251 + ".bin")
    with replacing(path, ImageFileError) as part:
        part.touch()
    assert list(tmp_path.iterdir()) == [path]
