"""Tiny images, and denoisers that cost nothing to train."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from napari_noise2self import api
from napari_noise2self.core.masks import Grid
from napari_noise2self.core.methods import Noise2Self
from napari_noise2self.core.normalization import Normalization
from napari_noise2self.core.record import TrainingRecord

TINY: dict[str, Any] = {
    "steps": 10,
    "width": 4,
    "depth": 1,
    "patch_size": 32,
    "patch_depth": 4,
    "pixels_per_step": 2048,
    "validate_every": 4,
    "precision": "float32",
    "device": "cpu",
}


@pytest.fixture(scope="session")
def tiny() -> Callable[..., api.TrainingConfig]:
    """Return a configuration that trains in no time, changed where a test says so."""

    def build(**changes: Any) -> api.TrainingConfig:
        return api.TrainingConfig(**{**TINY, **changes})

    return build


def _randomise(network: nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            fan_in = parameter[0].numel() if parameter.ndim > 1 else 4
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / fan_in**0.5)


@pytest.fixture(scope="session")
def randomise() -> Callable[..., None]:
    """Give a network random weights, its last layer too: an untrained one hides leaks behind it."""
    return _randomise


@pytest.fixture(scope="session")
def random_denoiser(tiny: Callable[..., api.TrainingConfig]) -> Callable[..., api.Denoiser]:
    """Build a denoiser with random weights and frozen statistics, as if it had been trained."""

    def build(
        axes: str = "YX",
        *,
        channels: int = 1,
        footprint: Sequence[int] | None = None,
        stride: Sequence[int] | None = None,
        seed: int = 0,
        **changes: Any,
    ) -> api.Denoiser:
        ndim = 3 if "Z" in axes else 2
        widths = tuple(footprint or (1,) * ndim)
        grid = Grid.for_footprint(widths, 4) if stride is None else Grid(tuple(stride), widths)
        denoiser = api.Denoiser(
            network=nn.Identity(),
            method=Noise2Self(grid),
            normalization=Normalization((100.0,) * channels, (10.0,) * channels),
            axes=axes,
            config=tiny(**changes),
            record=TrainingRecord(steps=1),
        )
        denoiser.network = denoiser.build()
        _randomise(denoiser.network, seed)
        return denoiser

    return build


@pytest.fixture(scope="session")
def train() -> Callable[..., list[api.Progress]]:
    """Train to the end and return all events."""

    def run(denoiser: api.Denoiser, image: Any, **changes: Any) -> list[api.Progress]:
        config = replace(denoiser.config, **changes)
        return list(api.train(denoiser, image, config))

    return run


@pytest.fixture(scope="session")
def noise() -> Callable[..., NDArray[np.float32]]:
    """Return noise around 100 with a standard deviation of 10."""

    def build(*shape: int, seed: int = 0) -> NDArray[np.float32]:
        return np.random.default_rng(seed).normal(100, 10, shape).astype(np.float32)

    return build
