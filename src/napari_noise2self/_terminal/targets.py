"""Where results go: the file of each, and never in place of what is read."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..core.errors import ConfigError, ImageFileError, Noise2SelfError

if TYPE_CHECKING:
    from ..api import Image


LONGEST = 255
"""Bytes that the name of a file may have on most disks; a letter takes up to 4."""


def make_folder(folder: Path) -> None:
    """Make a folder unless it is there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as reason:
        raise ImageFileError(
            f"the folder {folder} cannot be made ({reason.strerror}); choose another"
        ) from reason


def stem(image: Path) -> str:
    """Return the name of an image file without its extension."""
    return image.stem.removesuffix(".ome")


def kept_model(image: Path, written: Path) -> Path:
    """Return where the model goes that an interruption leaves beside a result; it is new there."""
    for number in itertools.count(1):
        end = f"_interrupted{'' if number == 1 else -number}.safetensors"
        name = stem(image) + end
        if len(os.fsencode(name)) > LONGEST:
            name = stem(image)[: LONGEST // 4 - len(end)] + end
        path = written.with_name(name)
        if not os.path.lexists(path):
            break
    return path


def check_apart(written: Iterable[tuple[str, Path | None]], read: Iterable[Path | None]) -> None:
    """Refuse to write to what is read, be it to a folder around it or in it, or twice to one file.

    Parameters
    ----------
    written
        The option that names each file to write, and the file; None if it is
        not given.
    read
        Files that are read, or folders of a zarr; None for one that is not given.
    """
    kept = [path for path in read if path is not None]
    taken = {_identity(path): (path, "is read") for path in kept}
    around = {_identity(folder): path for path in kept for folder in _folders(path)}
    for option, path in written:
        if path is None:
            continue
        own = _identity(path)
        if own in around:
            raise ConfigError(
                f"{option} {path} would replace what holds {around[own]}, which is read; "
                "choose another name"
            )
        for place in (own, *map(_identity, _folders(path))):
            if place in taken:
                other, why = taken[place]
                what = "replace" if place == own else "be written into"
                raise ConfigError(
                    f"{option} {path} would {what} {other}, which {why}; choose another name"
                )
        taken[own] = path, f"is written as {option}"


def _files_of(image: Path) -> Iterable[Path]:
    """Return the files that an image is read from, where it may be one of a set."""
    from ..io.tiff_sets import files_in

    if not image.name.lower().endswith((".ome.tif", ".ome.tiff", ".ome")):
        return []
    try:
        return files_in(image)
    except Exception:  # reading it says what is wrong, and then nothing is written
        return []


def _folders(path: Path) -> Sequence[Path]:
    return Path(os.path.realpath(path)).parents


def _identity(path: Path) -> tuple[int, int] | str:
    """Return what two names of one file have in common."""
    try:
        found = path.stat()
    except OSError:
        return os.path.realpath(path).casefold()  # as macOS and Windows would compare them
    return found.st_dev, found.st_ino


def check_demo(folder: Path, names: Iterable[str], noisy: Image) -> None:
    """Refuse to replace files that the demo did not write.

    A folder of the demo's is known by its noisy image, which is always the same.
    """
    import numpy as np

    from ..io.images import read_image

    there = [name for name in names if os.path.exists(folder / name)]
    try:
        again = "noisy.tif" in there and np.array_equal(
            read_image(folder / "noisy.tif").data, noisy.data
        )
    except Noise2SelfError:
        again = False
    if there and not again:
        raise ConfigError(
            f"--output {folder} has {', '.join(there)} that the demo did not write, and it would "
            "replace them; choose another folder"
        )


def of_images(
    images: Sequence[Path], output: str, also_read: Iterable[Path | None] = ()
) -> list[Path]:
    """Return the file of each result, checked: it can be written to, and none of them is read.

    Several images, or a slash at the end, make `output` a folder. Of the files in
    a folder it is not checked that each can be written: one need not stop the others.
    """
    from ..io.files import check_folder
    from ..io.images import check_writable

    path = Path(output)
    folder = _is_folder(output, len(images))
    targets = [path / f"{stem(image)}_denoised.tif" for image in images] if folder else [path]
    taken: dict[str, Path] = {}
    for image, target in zip(images, targets, strict=True):
        name = target.name.casefold()  # macOS and Windows take A.tif and a.tif for one file
        if name in taken:
            raise ConfigError(
                f"{taken[name]} and {image} would both be written to {target}; "
                "rename one of them, or use a folder for each"
            )
        taken[name] = image
    there = any(os.path.exists(target) for target in targets)  # False for too long a name
    parts = [part for image in images for part in _files_of(image)] if there else []
    check_apart((("--output", target) for target in targets), [*images, *also_read, *parts])
    if folder:
        make_folder(path)
        check_folder(path, ImageFileError)
    else:
        check_writable(path)
    return targets


def _is_folder(output: str, images: int) -> bool:
    """Return whether `output` means a folder; it need not be there."""
    from ..io.images import WRITABLE

    path = Path(output)
    if output.endswith(tuple(mark for mark in (os.sep, os.altsep) if mark)):
        return True
    if path.suffix.lower() in WRITABLE:
        if images > 1:
            raise ConfigError(f"--output {path} is one file, for {images} images; name a folder")
        return False
    if path.suffix and images == 1 and not os.path.isdir(path):
        raise ConfigError(
            f"--output {path} is neither a folder that exists nor a file of a kind that is "
            f"written ({', '.join(WRITABLE)}); write for example {path.with_suffix('.tif').name}, "
            f"or {path.name}/ for a folder"
        )
    return True
