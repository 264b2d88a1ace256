"""Where results go: the file of each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ..core.errors import ConfigError, ImageFileError


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


def of_images(images: Sequence[Path], output: Path) -> list[Path]:
    """Return the file of each result, checked: all of them can be written."""
    from ..io.images import WRITABLE, check_writable

    if output.suffix.lower() in WRITABLE:
        if len(images) > 1:
            raise ConfigError(
                f"--output {output} is one file, for {len(images)} images; name a folder"
            )
        targets = [output]
    elif output.suffix and not output.is_dir():
        raise ConfigError(
            f"--output {output} is neither a folder that exists nor a file of a kind that is "
            f"written ({', '.join(WRITABLE)}); write for example {output.with_suffix('.tif').name}"
        )
    else:
        targets = [output / f"{stem(image)}_denoised.tif" for image in images]
    for number, (image, target) in enumerate(zip(images, targets, strict=True)):
        if target in targets[:number]:
            raise ConfigError(
                f"{images[targets.index(target)]} and {image} would both be written to {target}; "
                "rename one of them, or use a folder for each"
            )
        if target.exists() and target.samefile(image):
            raise ConfigError(f"--output {target} is the noisy image itself; choose another name")
    if targets != [output]:
        make_folder(output)
    for target in targets:
        check_writable(target)
    return targets
