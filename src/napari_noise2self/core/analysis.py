"""What a training has to know of an image before its first step.

The statistics of its channels, the hole that hides a pixel together with what shares its noise,
the neighbours that may be seen beside it, and the noise level where it can be relied on.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from .axes import Image, Stack, check_size
from .config import Progress, TrainingConfig, sizes_in_words
from .correlation import NoiseCorrelation, noise_correlation, propose_context
from .guard import Guard
from .masks import Grid, check_footprint
from .methods import METHODS, Method, with_recorruption
from .noise import measured_noise
from .normalization import Normalization
from .patches import check_context, check_hole, patch_shape
from .recorruption import Recorruption
from .reliance import reliance
from .verdict import TEXTURE, shared_by_neighbours


@dataclass(frozen=True)
class Analysis:
    """What `analyse_iter` found out about an image.

    Attributes
    ----------
    axes
        One letter for each dimension.
    image
        How the image was understood, in words, after its name if it has one.
    noise
        What was found about its noise, and what follows, in words.
    normalization
        Statistics of each channel.
    method
        How to train and how to apply.
    guard
        What the noise cannot explain; None where the noise level is not known.
    """

    axes: str
    image: str
    noise: str
    normalization: Normalization
    method: Method
    guard: Guard | None


def analyse_iter(image: Any, axes: str | None, config: TrainingConfig) -> Iterator[Progress]:
    """Analyse an image for a training with `config`.

    Parameters
    ----------
    image
        `Image` or array-like, see `Stack.of`.
    axes
        One letter for each dimension; None for the image's own, else a guess.
    config
        What it gives, as a footprint, is not measured.

    Yields
    ------
    Progress
        ``stage="analyse"``; the last one's `result` is the `Analysis`, and it has a notice
        where a hole wider than a pixel was measured.

    Raises
    ------
    AxesError
        If the axes do not fit the shape.
    ImageError
        If the image is constant, too small, or holds NaN or infinite values.
    ConfigError
        If what the configuration gives does not fit the image.
    """
    stack = Stack.of(image, axes)
    stack = replace(stack, planes=config.dimensions_for(stack.axes) == 2)
    check_size(stack.spatial)
    started = time.perf_counter()
    for progress in Normalization.fit_iter(stack):
        if progress.result is None:
            yield progress
    normalization: Normalization = progress.result
    correlation = noise_correlation(stack, seed=config.seed) if _measures(config) else None
    footprint, context, noise = _hole(stack, config, correlation)
    check_footprint(footprint, stack.axes)
    check_hole(footprint, patch_shape(stack.spatial, config))
    method = METHODS[config.method](Grid.for_footprint(footprint, config.stride), context)
    guard = None
    if correlation is not None and config.noise_model:
        method, guard, said = _with_noise_level(method, stack, config, normalization, correlation)
        noise += said
    named = f"{image.name}: " if isinstance(image, Image) else ""
    yield Progress(
        stage="analyse",
        step=progress.steps,
        steps=progress.steps,
        seconds=time.perf_counter() - started,
        seconds_left=0.0,
        notice=noise if config.footprint is None and max(footprint) > 1 else None,
        result=Analysis(
            axes=stack.axes,
            image=named + stack.understood,
            noise=noise,
            normalization=normalization,
            method=method,
            guard=guard,
        ),
    )


def _measures(config: TrainingConfig) -> bool:
    """Whether anything depends on the correlation of the noise."""
    given = None not in (config.footprint, config.context) and not config.noise_model
    return not given and not METHODS[config.method].takes_target


def _hole(
    stack: Stack, config: TrainingConfig, correlation: NoiseCorrelation | None
) -> tuple[tuple[int, ...], int, str]:
    """Return the hole of a target, the neighbours on each side of it, and why, in words."""
    if METHODS[config.method].takes_target:
        return (1,) * len(stack.spatial), 0, "trained on pairs: nothing is hidden"
    footprint, context = config.footprint, config.context
    if footprint is None:
        assert correlation is not None
        footprint, noise = correlation.footprint, correlation.sentence
    else:
        noise = said_of_given(footprint)
    if context is None:
        assert correlation is not None
        context = propose_context(correlation, stack)
    check_context(context, stack)
    return footprint, context, noise + said_of_neighbours(context, stack)


def said_of_given(footprint: tuple[int, ...]) -> str:
    """Say that a hole was not measured."""
    return f"the hole of {sizes_in_words(footprint)} pixels was given"


def said_of_neighbours(context: int, stack: Stack) -> str:
    """Go on to say how many frames or planes are seen beside each; nothing where none is."""
    if not context:
        return ""
    kind = "plane" if stack.context_axis == "Z" else "frame"
    seen = "one before and the one after" if context == 1 else f"{context} before and after"
    return f"; each {kind} is denoised with the {seen} it in view"


def _with_noise_level(
    method: Method,
    stack: Stack,
    config: TrainingConfig,
    normalization: Normalization,
    correlation: NoiseCorrelation,
) -> tuple[Method, Guard | None, str]:
    """Return the method and the guard that know the noise level, and what is said of it."""
    footprint, mean, std = method.grid.footprint, normalization.mean, normalization.std
    constant = [c for c, s in enumerate(std) if s == 0]
    level = measured_noise(stack, correlation, seed=config.seed, constant=constant)
    guard = Guard.from_noise(level, normalization, shared=max(footprint) > 1)
    said = ""
    variance = [s**2 for s in std]
    if config.footprint is None and shared_by_neighbours(footprint, level, mean, variance):
        said += f"; {TEXTURE}; if it is texture, give footprint={(1,) * len(footprint)}"
    if max(footprint) == 1:
        relied_on, why = reliance(stack, level, seed=config.seed, constant=constant)
        said += f"; {why}"
        if level is not None and relied_on:
            known = Recorruption.from_noise(level, normalization)
            method = with_recorruption(method, known)
    return method, guard, said
