"""Inspection in the worker thread, as a generator of frozen events; heavy imports stand inside."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from ..core.axes import Image
from ..core.config import Progress

PIXELS_PER_INCH = 160
"""Of the figure on the screen; a saved one has its format's own or `SAVED_PIXELS_PER_INCH`."""

SAVED_PIXELS_PER_INCH = 300


@dataclass(frozen=True)
class Inspected:
    """What was found.

    Attributes
    ----------
    name
        Of the image that was looked at: the result, if there is one.
    diagnosis
        A `core.diagnostics.Diagnosis` of the noisy image.
    inspection
        A `core.inspection.Inspection` of the result, if there is one.
    figure
        The `matplotlib.figure.Figure` of the diagnosis.
    picture
        The figure as a PNG file.
    """

    name: str
    diagnosis: Any
    inspection: Any
    figure: Any
    picture: bytes


@dataclass(frozen=True)
class FigureSaved:
    """The figure was written."""

    path: Path


def inspecting(
    noisy: Image, denoised: Image | None = None, *, strict: bool = False
) -> Generator[Progress | Inspected, None, None]:
    """Look at a noisy image, and at what was taken away from it.

    Parameters
    ----------
    noisy
        The noisy image.
    denoised
        A result that was made of it; None to look at the image alone.
    strict
        Whether the result is the J-invariant one.

    Yields
    ------
    Progress or Inspected
    """
    yield Progress(stage="diagnose", step=0, steps=1, seconds=0.0)
    from ..core.diagnostics import diagnose_iter

    with closing(diagnose_iter(noisy)) as events:
        for event in events:
            yield replace(event, result=None)
    diagnosis, inspection = event.result, None
    if denoised is not None:
        from ..core.inspection import inspect_result_iter

        of_result = denoised if strict else None
        with closing(inspect_result_iter(noisy, denoised, strict=of_result)) as events:
            for event in events:
                yield replace(event, result=None)
        inspection = event.result
    yield Progress(stage="figure", step=event.steps, steps=event.steps, seconds=event.seconds)
    from ..figures_diagnosis import draw_diagnosis

    figure = draw_diagnosis(diagnosis, noisy)
    picture = BytesIO()
    figure.savefig(picture, format="png", dpi=PIXELS_PER_INCH)
    name = (noisy if denoised is None else denoised).name
    yield Inspected(name, diagnosis, inspection, figure, picture.getvalue())


def saving_figure(figure: Any, path: Path) -> Generator[Progress | FigureSaved, None, None]:
    """Write the figure; the extension says in which format."""
    yield Progress(stage="save", step=0, steps=1, seconds=0.0)
    from ..core.errors import ImageFileError
    from ..io.files import replacing

    with replacing(path, ImageFileError) as part:
        figure.savefig(part, format=path.suffix[1:].lower(), dpi=SAVED_PIXELS_PER_INCH)
    yield FigureSaved(path)
