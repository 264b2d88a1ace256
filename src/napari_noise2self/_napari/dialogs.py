"""The file dialogs of the dock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

MODEL_FILES = "Noise2Self model (*.safetensors)"

PACKAGES = "BioImage.IO package for Fiji and others (*.zip)"

FIGURES = {"PDF (*.pdf)": ".pdf", "SVG (*.svg)": ".svg", "PNG (*.png)": ".png"}

_FORBIDDEN = re.compile(r'[\\/:*?"<>|\x00-\x1f]+')
"""What a file name must not have in it, on one system or another."""


def model_to_save(
    parent: QWidget, folder: str, name: str, *, packaged: bool = False
) -> Path | None:
    """Ask under which name to save a model; None if the user thinks better of it.

    Parameters
    ----------
    parent
        The dock.
    folder, name
        What the dialog begins with.
    packaged
        Whether it may also be a package for other programs.
    """
    start = Path(folder) / f"{file_name(name)}.safetensors"
    kinds = {MODEL_FILES: ".safetensors"} | ({PACKAGES: ".zip"} if packaged else {})
    return _path_to_save(parent, "Save model", start, kinds)


def model_to_load(parent: QWidget, folder: str) -> Path | None:
    """Ask which model to load."""
    path, _ = QFileDialog.getOpenFileName(parent, "Load model", folder, MODEL_FILES)
    return Path(path) if path else None


def folder_for_result(parent: QWidget, folder: str, name: str) -> Path | None:
    """Ask where to put a result that does not fit in memory."""
    title = f"{name} is too large for the memory: write the result to"
    start = Path(folder) / f"{file_name(name)} denoised.zarr"
    return _path_to_save(parent, title, start, {"OME-Zarr (*.zarr)": ".zarr"})


def figure_to_save(parent: QWidget, name: str) -> Path | None:
    """Ask where to write a figure."""
    return _path_to_save(parent, "Save figure", Path(f"{file_name(name)}.pdf"), FIGURES)


def file_name(name: str) -> str:
    """Return the name of a layer as a file may bear it.

    Examples
    --------
    >>> file_name("/data/day 1: cells")
    'data-day 1-cells'
    """
    parts = (part.strip(" .") for part in _FORBIDDEN.split(name))
    return "-".join(part for part in parts if part) or "image"


def _path_to_save(
    parent: QWidget, title: str, start: Path, kinds: Mapping[str, str]
) -> Path | None:
    """Ask for a path of one of the `kinds`, filters with their endings, until it may be written.

    Qt asks whether to replace a file of the name as it was typed, and never about a folder.
    """
    while True:
        typed, kind = QFileDialog.getSaveFileName(
            parent, title, str(start), ";;".join(kinds), next(iter(kinds))
        )
        if not typed:
            return None
        path = _with_ending(Path(typed), kinds, kind)
        asked = path == Path(typed) and not path.is_dir()
        if asked or not path.exists() or _may_replace(parent, path):
            return path
        start = path


def _with_ending(path: Path, kinds: Mapping[str, str], kind: str) -> Path:
    """Return the path with an ending added if it has none: what else follows a dot is the name."""
    ending = path.suffix.lower()
    if ending in kinds.values():
        return path.with_suffix(ending)
    return path.with_name(path.name + kinds.get(kind, next(iter(kinds.values()))))


def _may_replace(parent: QWidget, path: Path) -> bool:
    answer = QMessageBox.question(
        parent, "Replace it?", f"{path.name} is already there. Replace it?"
    )
    return bool(answer == QMessageBox.StandardButton.Yes)
