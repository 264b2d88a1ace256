"""Images denoised one after the other: what goes wrong with one does not hold up the rest."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..core.config import Output, TrainingConfig
from ..core.errors import Noise2SelfError
from . import targets, work
from .exits import NOTHING, Interrupted, complain, in_options
from .progress import Terminal, in_words

if TYPE_CHECKING:
    from ..api import Calibration, Denoiser


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is asked for with every image.

    Attributes
    ----------
    config
        How to train.
    model
        File of a model to apply; None to train on each image itself.
    target
        Second image of the scene; None for no such.
    axes, fill_nan
        How to read an image.
    output, dtype, device
        What to make of it, and where.
    """

    config: TrainingConfig
    model: Path | None
    target: Path | None
    axes: str | None
    fill_nan: bool
    output: Output | Literal["disagreement"]
    dtype: str
    device: str | None


def denoise_all(
    order: Order,
    images: Sequence[Path],
    places: Sequence[Path],
    screen: Terminal,
    *,
    debug: bool,
    say: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Denoise each image into its place and return what became of it.

    Parameters
    ----------
    order
        What is asked for.
    images, places
        Files to read, and for each the file to write.
    screen
        Where progress is shown.
    debug
        Whether the first error ends it.
    say
        Takes a line about each result.

    Raises
    ------
    Interrupted
        After Ctrl-C, with what was done by then.
    Noise2SelfError
        If the only image cannot be denoised.
    """
    results: list[dict[str, Any]] = []
    done = {"images": results, "notices": screen.notices}
    loaded = None if order.model is None else work.load(order.model)
    for image, place in zip(images, places, strict=True):
        facts: dict[str, Any] = {"image": str(image), "output": str(place)}
        results.append(facts)
        started = time.perf_counter()
        try:
            used = _denoise(order, loaded, image, place, screen)
        except (Noise2SelfError, MemoryError) as error:
            if len(images) == 1 or debug:
                raise
            facts["error"] = in_options(error)
            complain(f"error: {image}: {facts['error']}")
            continue
        except Interrupted as stop:
            facts |= stop.facts
            raise Interrupted(str(stop), done) from None
        except KeyboardInterrupt:
            raise Interrupted(NOTHING, done) from None
        facts |= {"seconds": time.perf_counter() - started, "training": work.facts(used)}
        say(f"{place} ({in_words(facts['seconds'])})")
    return results


def _denoise(
    order: Order,
    loaded: Denoiser | Calibration | None,
    image: Path,
    place: Path,
    screen: Terminal,
) -> Denoiser | Calibration:
    """Denoise one image and return what did it; after Ctrl-C what was trained for it is kept."""
    from ..io.images import check_writable

    picture = work.read(image, order.axes, order.fill_nan, screen, loaded)
    pixels = picture.data.dtype if order.dtype == "same" else order.dtype
    check_writable(place, dtype=pixels)
    kept = targets.kept_model(image, place)
    target = None
    if order.target is not None:
        target = work.read(order.target, order.axes, order.fill_nan, screen)
    denoiser = loaded or work.trained(picture, order.config, screen, kept, target)
    made = functools.partial(
        work.denoised, denoiser, picture, screen, output=order.output, device=order.device
    )
    with work.keeping(denoiser, None if loaded else kept):
        work.write(place, picture, pixels, made)
    return denoiser
