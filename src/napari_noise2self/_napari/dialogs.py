"""The file dialogs of the dock."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

MODEL_FILES = "Noise2Self model (*.safetensors)"


def model_to_save(parent: QWidget, folder: str, name: str) -> Path | None:
    """Ask under which name to save a model; None if the user thinks better of it."""
    start = str(Path(folder) / f"{name}.safetensors")
    path, _ = QFileDialog.getSaveFileName(parent, "Save model", start, MODEL_FILES)
    return Path(path).with_suffix(".safetensors") if path else None


def model_to_load(parent: QWidget, folder: str) -> Path | None:
    """Ask which model to load."""
    path, _ = QFileDialog.getOpenFileName(parent, "Load model", folder, MODEL_FILES)
    return Path(path) if path else None


def folder_for_result(parent: QWidget, folder: str, name: str) -> Path | None:
    """Ask where to put a result that does not fit in memory."""
    start = str(Path(folder) / f"{name} denoised.zarr")
    path, _ = QFileDialog.getSaveFileName(
        parent,
        f"{name} is too large for the memory: write the result to",
        start,
        "OME-Zarr (*.zarr)",
    )
    return Path(path).with_suffix(".zarr") if path else None


def figure_to_save(parent: QWidget, name: str) -> Path | None:
    """Ask where to write a figure."""
    kinds = {"PDF (*.pdf)": ".pdf", "SVG (*.svg)": ".svg", "PNG (*.png)": ".png"}
    path, kind = QFileDialog.getSaveFileName(
        parent, "Save figure", f"{name}.pdf", ";;".join(kinds), next(iter(kinds))
    )
    if not path:
        return None
    known = Path(path).suffix.lower() in kinds.values()
    return Path(path) if known else Path(path).with_suffix(kinds.get(kind, ".pdf"))
