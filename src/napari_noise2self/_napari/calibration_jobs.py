"""Calibration in the worker thread, as generators of frozen events; heavy imports stand inside."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..core.axes import Image
from ..core.config import Progress
from .jobs import Filled, Filling, cut, filling
from .preview import Z_REACH, Preview, Window


@dataclass(frozen=True)
class Begun:
    """A calibration begins, of this parameter."""

    label: str
    whole: bool


@dataclass(frozen=True)
class Loaded:
    """A calibration from a file, and its parameter."""

    calibration: Any
    path: Path
    label: str
    whole: bool


@dataclass(frozen=True)
class Looked:
    """What the viewer shows, as `calibration` denoises it."""

    calibration: Any
    preview: Preview


def calibrating(
    image: Image, family: str, *, region: tuple[slice, ...] | None = None
) -> Generator[Progress | Begun, None, None]:
    """Try one value of the family's parameter after the other.

    Parameters
    ----------
    image
        What to calibrate on.
    family
        Name of the denoiser.
    region
        The part of the image that counts; None for all of it.

    Yields
    ------
    Progress or Begun
        A `Progress` that has a trial carries the best calibration so far.
    """
    yield Progress(stage="analyse", step=0, steps=1, seconds=0.0)
    from ..core.calibration import calibrate_iter
    from ..core.classical import family_of

    found = family_of(family)
    yield Begun(found.label, found.whole)
    with closing(calibrate_iter(cut(image, region), family)) as trials:
        yield from trials


def loading(path: Path) -> Generator[Progress | Loaded, None, None]:
    """Read a calibration from a file."""
    yield Progress(stage="load", step=0, steps=1, seconds=0.0)
    from ..core.classical import family_of
    from ..io.calibrations import read_calibration

    calibration = read_calibration(path)
    found = family_of(calibration.family)
    yield Loaded(calibration, path, found.label, found.whole)


def looking(
    calibration: Any, array: Any, axes: str, window: Window
) -> Generator[Progress | Looked, None, None]:
    """Denoise what the viewer shows."""
    begin = time.monotonic()
    window = window.widened({"Z": Z_REACH}, axes, array.shape)
    crop = np.asarray(array[window.read])
    with closing(calibration.predict_iter(crop, axes)) as blocks:
        for progress in blocks:
            yield replace(progress, result=None)
    data = np.ascontiguousarray(progress.result[window.inner], dtype=np.float32)
    seconds = time.monotonic() - begin
    pixels_per_second = crop.size / max(seconds, 1e-6)
    yield Looked(calibration, Preview(window, data, 0, pixels_per_second))


def applying(
    image: Image, calibration: Any, folder: Path | None = None
) -> Generator[Progress | Filling | Filled, None, None]:
    """Denoise a whole image, into memory or into `folder`; what is finished stays at a stop."""
    yield Progress(stage="predict", step=0, steps=1, seconds=0.0)
    stack = calibration.see(image)
    events = filling(0, image, stack, folder, lambda out: calibration.predict_iter(image, out=out))
    with closing(events):
        for event in events:
            yield replace(event, result=None) if isinstance(event, Progress) else event
