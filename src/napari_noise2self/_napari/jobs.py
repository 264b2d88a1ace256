"""What the worker thread does, as generators of frozen events; torch is imported here, late."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..core.axes import Image, Stack
from ..core.config import Output, Progress, TrainingConfig
from ..core.errors import ImageFileError, Noise2SelfError
from ..io.on_disk import made_on_disk, read_back
from .outputs import Tally, in_memory
from .preview import Preview, Requests, with_previews

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Made:
    """A denoiser that was made or loaded; it belongs to the worker until the job ends."""

    denoiser: Any


@dataclass(frozen=True)
class Computing:
    """What the training runs on, and why, in words."""

    device: str


@dataclass(frozen=True)
class Filling:
    """An output that is being written, window by window."""

    key: int
    tally: Tally
    folder: Path | None = None


@dataclass(frozen=True)
class Filled:
    """The output of `key` is complete: `data`."""

    key: int
    data: Any


@dataclass(frozen=True)
class LeftOut:
    """The output of `key` met an error, for this `reason`, and the others go on."""

    key: int
    reason: str


@dataclass(frozen=True)
class Saved:
    """A model was written."""

    path: Path


def training(
    image: Image,
    config: TrainingConfig,
    requests: Requests,
    *,
    target: Image | None = None,
    region: tuple[slice, ...] | None = None,
    denoiser: Any = None,
) -> Generator[Progress | Made | Computing | Preview, None, None]:
    """Analyse (unless a denoiser is given to go on with) and train.

    Parameters
    ----------
    image
        What previews are cut from.
    config
        How to train.
    requests
        Where wanted previews are asked for.
    target
        The image of the same scene to train against, if the method takes one.
    region
        The part of the image, and of the target, to train on; None for all.
    denoiser
        One whose training is to go on.

    Yields
    ------
    Progress, Made, Computing or Preview
    """
    from .. import api

    yield Progress(stage="analyse", step=0, steps=1, seconds=0.0)
    part = cut(image, region)
    if denoiser is None:
        with closing(api.Denoiser.for_image_iter(part, config=config)) as analysis:
            for progress in analysis:
                yield replace(progress, result=None)
                denoiser = progress.result
        yield Made(denoiser)
    against = None if target is None else cut(target, region)
    steps = _telling_device(api.train(denoiser, part, config, target=against), denoiser)
    axes = Stack.of(image).axes
    with closing(with_previews(steps, denoiser, image.data, axes, requests)) as events:
        yield from events


def cut(image: Image, region: tuple[slice, ...] | None) -> Image:
    """Return the region of an image; None for all of it."""
    return image if region is None else replace(image, data=image.data[region])


def _telling_device(
    events: Generator[Progress, None, None], denoiser: Any
) -> Generator[Progress | Computing, None, None]:
    with closing(events):
        for number, progress in enumerate(events):
            if number == 0:
                yield Computing(denoiser.record.device)
            yield progress


def denoising(
    images: Mapping[int, Image],
    denoiser: Any,
    *,
    output: Output | Literal["disagreement"],
    folders: Mapping[int, Path],
) -> Generator[Progress | Filling | Filled | LeftOut, None, None]:
    """Apply a denoiser to images, one after the other.

    Parameters
    ----------
    images
        What to denoise, by a key that the events repeat.
    denoiser
        A trained one.
    output
        Which output; ``"disagreement"`` is by how much several strict ones differ.
    folders
        Where to put results that are too large for memory, by key.

    Yields
    ------
    Progress, Filling, Filled or LeftOut
        Where one of several images cannot be denoised, a `Progress` with
        a notice says so and the others are done.
    """
    for position, (key, image) in enumerate(images.items()):
        try:
            with closing(_one(key, image, denoiser, output, folders.get(key))) as events:
                for event in events:
                    if isinstance(event, Progress):
                        yield _placed(event, position, len(images))
                    else:
                        yield event
        except Exception as error:
            if len(images) == 1:
                raise
            if not isinstance(error, Noise2SelfError):
                _log.exception("%s could not be denoised", image.name)
            yield LeftOut(key, str(error))
            yield Progress(
                stage="predict",
                step=position + 1,
                steps=len(images),
                seconds=0.0,
                notice=f"{image.name} was left out: {error}",
            )


def _one(
    key: int,
    image: Image,
    denoiser: Any,
    output: Output | Literal["disagreement"],
    folder: Path | None,
) -> Generator[Progress | Filling | Filled, None, None]:
    from .. import api

    def write(out: Any) -> Generator[Progress, None, None]:
        if output == "disagreement":
            return api.disagreement_iter(denoiser, image, out=out)
        return denoiser.predict_iter(image, output=output, out=out)

    yield from filling(key, image, denoiser.see(image), folder, write)  # seen before a file is made


def filling(
    key: int,
    image: Image,
    stack: Stack,
    folder: Path | None,
    write: Callable[[Any], Generator[Progress, None, None]],
) -> Generator[Progress | Filling | Filled, None, None]:
    """Make an output in the image's shape, and write into it.

    Where it is closed early or meets an error, what is finished is kept: the
    tally of `Filling` says so. An older result in `folder` is replaced only if
    there is any of the new one.

    Parameters
    ----------
    key
        Which output the events speak of.
    image
        What the output is like.
    stack
        The image as the operation sees it.
    folder
        Where to put it if it is too large for memory.
    write
        Starts the operation that writes into the array it is given.
    """
    failure: BaseException | None = None
    with ExitStack() as stay:
        if folder is None:
            data = in_memory(image)
        else:
            data = stay.enter_context(made_on_disk(folder, image, stack.axes))
        tally = Tally(data, stack)
        yield Filling(key, tally, folder)
        events = write(tally)
        stay.enter_context(closing(events))
        try:
            yield from events
        except (Exception, GeneratorExit) as reason:
            if not tally.finished():
                raise
            failure = reason  # leaves the blocks as if all were done: what is written stays
    tally.kept = True
    try:
        if folder and isinstance(failure, OSError) and not isinstance(failure, Noise2SelfError):
            raise ImageFileError(
                f"{folder} is not complete ({failure.strerror or failure}), only what was finished "
                "is there; if the disk is full, make room and denoise again"
            ) from failure
        if failure is not None:
            raise failure
    finally:
        del failure  # its traceback refers to this frame, and so to the pixels
    yield Filled(key, data if folder is None else read_back(folder, stack.axes))


def _placed(progress: Progress, position: int, many: int) -> Progress:
    """Return the progress of one image as a part of the progress of `many`."""
    if many == 1:
        return replace(progress, result=None)
    step, steps = position * progress.steps + progress.step, many * progress.steps
    return replace(progress, step=step, steps=steps, seconds_left=None, result=None)


def loading(path: Path) -> Generator[Progress | Made, None, None]:
    """Read a model file."""
    from .. import api

    yield Progress(stage="load", step=0, steps=1, seconds=0.0)
    yield Made(api.Denoiser.load(path))


def saving(denoiser: Any, path: Path) -> Generator[Progress | Saved, None, None]:
    """Write a model file; a ``.zip`` is a package for other programs."""
    yield Progress(stage="save", step=0, steps=1, seconds=0.0)
    if path.suffix.lower() == ".zip":
        with closing(denoiser.export_iter(path)) as events:
            for progress in events:
                yield replace(progress, result=None)
    else:
        denoiser.save(path)
    yield Saved(path)
