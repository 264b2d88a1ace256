"""Calibrated filters as files: the header of a model file, without weights."""

from __future__ import annotations

import os

from ..core.calibrated import Calibration
from .models import read_verified_header, write_header


def write_calibration(path: str | os.PathLike[str], calibration: Calibration) -> None:
    """Write a calibration to one ``.safetensors`` file; it appears whole or not at all.

    Parameters
    ----------
    path
        File to write; an older one is replaced.
    calibration
        From :func:`napari_noise2self.api.calibrate`.

    Raises
    ------
    ModelFileError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from napari_noise2self import api, samples
    >>> found = api.calibrate(samples.cells(size=64).noisy, "median")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "median.safetensors"
    ...     api.write_calibration(path, found)
    ...     api.read_calibration(path) == found
    True
    """
    write_header(path, {"kind": "calibration", "calibration": calibration.to_dict()})


def read_calibration(path: str | os.PathLike[str]) -> Calibration:
    """Read a calibration from a file; nothing in the file is executed.

    Parameters
    ----------
    path
        File that :func:`write_calibration` wrote.

    Raises
    ------
    ModelFileError
        If the file is missing, holds no calibration, or is damaged.

    Examples
    --------
    >>> read_calibration("missing.safetensors")
    Traceback (most recent call last):
    napari_noise2self.core.errors.ModelFileError: missing.safetensors does not exist; ...

    See Also
    --------
    write_calibration : with an example of both.
    """
    return Calibration.from_dict(read_verified_header(path, "calibration").get("calibration", {}))
