"""The one-liner: analyse, train, predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .core.axes import Image, Stack
from .core.config import Output, Progress, TrainingConfig, last_result
from .core.errors import ConfigError
from .core.methods import METHODS
from .core.pairs import check_pair, check_target
from .core.training import train
from .denoiser import Denoiser

DIVERGED = 2.0
"""Times the held-out loss of the beginning from which on a training went wrong."""


def denoise(
    image: Any,
    *,
    axes: str | None = None,
    preset: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    output: Output = "best",
    target: Any = None,
    config: TrainingConfig | None = None,
) -> NDArray[np.float32]:
    """Denoise an image by a network trained on that image alone.

    Parameters
    ----------
    image
        `Image` or array-like (numpy, dask, zarr), integer or real, of 2 to 5
        dimensions.
    axes
        One letter for each dimension: T (time) and S are samples, C channels,
        Z, Y, X space. None for the image's own, else a guess from the shape.
    preset
        ``"fast"``, ``"balanced"`` or ``"best"``; None for ``"balanced"``.
    seed
        Seed of the weights, the crops and the masks; None for 0.
    device
        ``"cpu"``, ``"cuda"``, ``"mps"``; None for the fastest.
    output
        ``"best"``, or ``"j-invariant"`` for the strict gather.
    target
        A second noisy image of the same scene, of the same shape: train on the
        pair (Noise2Noise). For a clean one say ``method="noise2clean"`` in
        `config`.
    config
        In place of `preset`, `seed` and `device`, which it holds itself.

    Returns
    -------
    numpy.ndarray
        float32, the image's shape, in its intensity units.

    Raises
    ------
    ImageError
        If the image is constant, smaller than 32 pixels along Y or X, or holds
        NaN or infinite values, or the target is of another shape or shifted;
        `AxesError` if the axes do not fit.
    ConfigError
        If there is no such preset or output, if both a preset and a configuration are
        given, if the method wants a target and there is none, or if nothing is learnt:
        the learning rate is too high, or the time over before the first step.
    DeviceError
        If the device is not there.

    Warns
    -----
    UserWarning
        By each notice on training and prediction, for example that the loss
        became infinite on the way.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_noise2self import api
    >>> image = np.random.default_rng(0).poisson(50, (64, 64))
    >>> api.denoise(image, config=api.TrainingConfig(steps=2, width=4)).dtype
    dtype('float32')

    References
    ----------
    Batson and Royer, "Noise2Self: Blind denoising by self-supervision", ICML 2019.
    """
    events = denoise_iter(
        image,
        axes=axes,
        preset=preset,
        seed=seed,
        device=device,
        output=output,
        target=target,
        config=config,
    )
    result: NDArray[np.float32] = last_result(events)
    return result


def denoise_iter(
    image: Any,
    *,
    axes: str | None = None,
    preset: str | None = None,
    seed: int | None = None,
    device: str | None = None,
    output: Output = "best",
    target: Any = None,
    config: TrainingConfig | None = None,
) -> Iterator[Progress]:
    """Do what :func:`denoise` does, event by event; the last one's `result` is the output.

    Yields
    ------
    Progress
        ``stage`` goes from ``"analyse"`` over ``"read"``, where that takes long, and
        ``"train"`` to ``"predict"``.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_noise2self import api
    >>> image = np.random.default_rng(0).poisson(50, (64, 64))
    >>> config = api.TrainingConfig(steps=2, width=4)
    >>> stages = [event.stage for event in api.denoise_iter(image, config=config)]
    >>> list(dict.fromkeys(stages))
    ['analyse', 'train', 'predict']
    """
    if config is None:
        config = TrainingConfig.preset("balanced" if preset is None else preset)
        config = replace(config, seed=0 if seed is None else seed, device=device)
    elif (preset, seed, device) != (None, None, None):
        raise ConfigError(
            f"preset={preset!r}, seed={seed!r} and device={device!r} beside a config, which holds "
            "all three; give one or the other, for example config=dataclasses.replace(config, "
            "seed=1)"
        )
    if target is not None and config.method == "noise2self":
        config = replace(config, method="noise2noise")
    METHODS[config.method].check(output)  # now, not when the training is over
    check_target(config.method, target)
    stack = Stack.of(image, axes)
    if target is not None:
        own = target.axes if isinstance(target, Image) else None
        check_pair(stack, Stack.of(target, own or stack.axes))
    denoiser: Denoiser | None = None
    for event in Denoiser.for_image_iter(stack, config=config):
        denoiser = event.result
        yield replace(event, result=None)
    assert denoiser is not None
    for event in train(denoiser, stack, config, target=target):
        if denoiser.training is None:
            _check_learnt(denoiser, config)
        yield event
    _check_learnt(denoiser, config)
    yield from denoiser.predict_iter(stack, output=output)


def _check_learnt(denoiser: Denoiser, config: TrainingConfig) -> None:
    """Refuse to go on where the weights that are kept would but smooth.

    Raises
    ------
    ConfigError
        With what to change.
    """
    record = denoiser.record
    if not denoiser.trained:
        raise ConfigError(
            f"time_limit={config.time_limit}: the time was over before the first step; give more"
        )
    how = "became infinite" if denoiser.training is None else "rose"
    (_, at_start), (_, at_end) = record.curve[0], record.curve[-1]
    if not record.best_step and (how != "rose" or at_end > DIVERGED * at_start):
        raise ConfigError(
            f"learning_rate={config.learning_rate:g}: the loss {how} by step {record.steps}, "
            "before anything was learnt; give a lower one, for example "
            f"config=TrainingConfig(learning_rate={config.learning_rate / 10:g}), and see "
            "whether some pixels are far off all others"
        )
