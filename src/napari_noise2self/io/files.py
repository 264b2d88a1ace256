"""A file is written whole or not at all.

What is written goes to a neighbour of the target and takes its place in one
step at the end, so that a crash leaves the old file or the new one.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..core.errors import ImageFileError, ModelFileError, Noise2SelfError

_log = logging.getLogger(__name__)

FileError = type[ImageFileError] | type[ModelFileError]


def check_target(path: Path, error: FileError) -> None:
    """Raise `error` unless a file could be written to `path` now; leaves nothing behind."""
    check_name(path, error)
    if path.is_dir():
        raise error(f"{path} is a folder; add a file name to it")
    check_folder(path.parent, error)
    if path.exists() and not os.access(path, os.W_OK):
        raise error(f"{path} is read-only; choose another name or change its permissions")


def check_name(path: Path, error: FileError) -> None:
    """Raise `error` if the disk can have nothing of that name, or nobody may look."""
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return
    except OSError as reason:
        if reason.errno == errno.ENAMETOOLONG:
            raise error(
                f"{path}: its name of {len(path.name)} letters is too long for the disk; "
                "choose a shorter one"
            ) from reason
        raise error(
            f"{path} cannot be looked for ({reason.strerror}); choose another place or change "
            "its permissions"
        ) from reason


def check_folder(folder: Path, error: FileError) -> None:
    """Raise `error` unless `folder` is there and files can be made in it."""
    check_name(folder, error)
    if not folder.exists():
        raise error(f"the folder {folder} does not exist; create it or choose another")
    if not folder.is_dir():
        raise error(f"{folder} is a file, not a folder; choose another place")
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as reason:
        raise error(
            f"nothing can be written into the folder {folder} ({reason.strerror}); "
            "choose another or change its permissions"
        ) from reason


@contextmanager
def replacing(path: Path, error: FileError) -> Iterator[Path]:
    """Yield the path of a new file that takes the place of `path` when the block ends well.

    A link is followed, so that the file behind it is replaced; permissions of
    an existing file are kept.
    """
    path = Path(os.path.realpath(path))
    check_target(path, error)
    part = _neighbour(path, "part")
    try:
        yield part
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        if path.exists():
            shutil.copymode(path, part)
        os.replace(part, path)
    except Noise2SelfError:
        raise
    except OSError as reason:
        raise error(_explained(path, reason, "file")) from reason
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: Path, error: FileError) -> Iterator[Path]:
    """As `replacing`, for a format that is a folder; the caller has checked the old one."""
    path = Path(os.path.realpath(path))
    check_folder(path.parent, error)
    part, old = _neighbour(path, "part"), _neighbour(path, "old")
    try:
        part.mkdir()
        yield part
        try:
            if path.exists():
                os.rename(path, old)
            os.rename(part, path)
        except BaseException:  # Ctrl-C between the two as well
            if old.exists() and not path.exists():
                os.rename(old, path)
            raise
    except Noise2SelfError:
        raise
    except OSError as reason:
        raise error(_explained(path, reason, "folder")) from reason
    finally:
        _remove(part)
        if path.exists():
            _remove(old)


def _explained(path: Path, reason: OSError, kind: str) -> str:
    """Say why `path` was not written, and what may help."""
    if isinstance(reason, PermissionError):  # on Windows also where another program has it open
        mend = "close it where it is open in another program, or choose a folder you may write to."
    else:
        mend = "is the disk full?"
    return (
        f"{path} could not be written ({reason.strerror or reason}); {mend} "
        f"An older {kind} of this name is untouched"
    )


def _remove(folder: Path) -> None:
    """Delete a folder that nobody needs any more; one that is in use elsewhere is no failure."""
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as reason:
        _log.warning("%s is left over (%s); delete it", folder, reason.strerror or reason)


def _neighbour(path: Path, suffix: str) -> Path:
    # the same folder, hence the same disk: only there is a rename one step
    return path.with_name(f".{path.name[:60]}-{uuid.uuid4().hex[:8]}.{suffix}")
