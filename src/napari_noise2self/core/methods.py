"""Methods: how to train a network and how to apply it, side by side.

A method takes normalized float32 tensors of shape (N, C, *spatial) and knows
neither files nor axes. Its output is a weighted mean over passes, so that
prediction can report, and stop, after each of them.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from .config import Output
from .errors import ConfigError
from .masks import Grid, donut_fill
from .networks import Network, mirrored

MIRRORS = ((), (-1,), (-2,), (-2, -1))
"""The axes along which one pass after another is mirrored: the mean over passes is then a mean
over the network's reactions to direction as well, at no cost (0.03 to 0.08 dB)."""
BEST_PASSES = 16
"""Passes that the best output is the mean of, at most: more take longer and change nothing."""


@dataclass(frozen=True)
class Pass:
    """One of the passes that an output is the mean of.

    Attributes
    ----------
    offset
        The J-set that is hidden, in image coordinates.
    mirror
        Axes along which the network sees the image mirrored.
    """

    offset: tuple[int, ...]
    mirror: tuple[int, ...] = ()


@dataclass(frozen=True)
class Method(ABC):
    """How to train and how to apply.

    Attributes
    ----------
    grid
        The partition into J-sets and the hole that hides each target; the
        held-out pixels are one of its sets.
    context
        Neighbouring samples on each side that the network sees as further
        channels, behind those of the sample that it denoises.
    """

    grid: Grid
    context: int = 0
    takes_target: ClassVar[bool] = False
    """Whether it trains on pairs: a noisy image and a target."""
    both_ways: ClassVar[bool] = False
    """Whether image and target may change places."""

    def own(self, noisy: Tensor) -> Tensor:
        """Return the channels of the sample that is denoised, without those of its neighbours."""
        return noisy[:, : noisy.shape[1] // (1 + 2 * self.context)]

    @abstractmethod
    def loss(
        self,
        network: Callable[[Tensor], Tensor],
        noisy: Tensor,
        target: Tensor | None,
        counted: Tensor,
        offsets: Tensor,
    ) -> Tensor:
        """Return the loss of a batch, a scalar that stays on the device.

        Parameters
        ----------
        network
            Maps `noisy` to (N, C, *spatial).
        noisy
            Batch of shape (N, C * (1 + 2 * context), *spatial).
        target
            (N, C, *spatial), for a method that has a target of its own.
        counted
            Boolean (N, 1, *spatial): pixels that the loss may be taken on.
        offsets
            Integers (N, ndim), the J-set of each sample.
        """

    @abstractmethod
    def passes(self, output: Output) -> Sequence[Pass]:
        """Return the passes that `output` is made of."""

    @abstractmethod
    def run_pass(
        self, network: Network, noisy: Tensor, which: Pass, output: Output
    ) -> tuple[Tensor, Tensor]:
        """Return the values of one pass and the pixels that count in the mean over passes."""


@dataclass(frozen=True)
class Noise2Self(Method):
    """Predict hidden pixels from visible ones; needs nothing but the noisy image.

    References
    ----------
    Batson and Royer, "Noise2Self: Blind denoising by self-supervision", ICML 2019.
    """

    def loss(
        self,
        network: Callable[[Tensor], Tensor],
        noisy: Tensor,
        target: Tensor | None,
        counted: Tensor,
        offsets: Tensor,
    ) -> Tensor:
        """Mean squared error on J, all channels of a hidden pixel hidden together."""
        targets, filled = self.hide(noisy, offsets)
        return masked_mse(network(filled), self.own(noisy), targets & counted)

    def hide(self, noisy: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets and the input in which they are hidden.

        The same pixels of the neighbours stay visible: their noise is another.
        For a neighbour that is not there (NaN) the filled sample stands in.
        """
        targets, hidden = self.grid.masks(noisy.shape[2:], offsets)
        own = self.own(noisy)
        filled = donut_fill(own, hidden, self.grid.footprint)
        if self.context:
            near = noisy[:, own.shape[1] :]
            instead = filled.repeat(1, 2 * self.context, *(1,) * (noisy.ndim - 2))
            filled = torch.cat([filled, torch.where(near.isnan(), instead, near)], dim=1)
        return targets, filled

    def passes(self, output: Output) -> Sequence[Pass]:
        """Hide every J-set once for the strict gather; for the mean, up to `BEST_PASSES` of them.

        Shuffled, so that the first few of them are spread over the grid.
        """
        offsets = list(self.grid.offsets())
        random.Random(0).shuffle(offsets)
        if output == "best":
            offsets = offsets[:BEST_PASSES]
        return [Pass(o, MIRRORS[i % len(MIRRORS)]) for i, o in enumerate(offsets)]

    def run_pass(
        self, network: Network, noisy: Tensor, which: Pass, output: Output
    ) -> tuple[Tensor, Tensor]:
        """Hide one J-set and predict.

        With ``output="j-invariant"`` a pixel counts only in the pass that hid
        it (the gather). With ``"best"`` it counts in all of them: in most it
        was itself visible, which is information the gather throws away.
        """
        offsets = torch.tensor([which.offset], device=noisy.device)
        targets, filled = self.hide(noisy, offsets)
        values = mirrored(network, filled, which.mirror)
        return values, targets if output == "j-invariant" else torch.ones_like(targets)


@dataclass(frozen=True)
class Noise2Noise(Method):
    """Predict one noisy image of a scene from another, and the other way round.

    The two must show the same scene with independent noise of mean zero.

    References
    ----------
    Lehtinen et al., "Noise2Noise: Learning image restoration without clean
    data", ICML 2018.
    """

    takes_target: ClassVar[bool] = True
    both_ways: ClassVar[bool] = True

    def loss(
        self,
        network: Callable[[Tensor], Tensor],
        noisy: Tensor,
        target: Tensor | None,
        counted: Tensor,
        offsets: Tensor,
    ) -> Tensor:
        """Mean squared error against the target; nothing is hidden."""
        assert target is not None
        return masked_mse(network(noisy), target, counted)

    def passes(self, output: Output) -> Sequence[Pass]:
        """Take the image as it is, and mirrored."""
        if output == "j-invariant":
            raise ConfigError(
                'output="j-invariant": a network trained on pairs sees every pixel, so it has no '
                'J-invariant output; use output="best"'
            )
        return [Pass((0,) * len(self.grid.stride), mirror) for mirror in MIRRORS]

    def run_pass(
        self, network: Network, noisy: Tensor, which: Pass, output: Output
    ) -> tuple[Tensor, Tensor]:
        """Predict from all pixels."""
        values = mirrored(network, noisy, which.mirror)
        return values, torch.ones_like(noisy[:, :1], dtype=torch.bool)


@dataclass(frozen=True)
class Noise2Clean(Noise2Noise):
    """Predict a clean image of the scene: ordinary supervised training, one way only."""

    both_ways: ClassVar[bool] = False


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the pixels of `mask` (N, 1, *spatial) and all channels."""
    weight = mask.to(prediction.dtype)
    error = ((prediction - target) ** 2 * weight).sum()
    # A batch of small crops can hold no counted pixel at all; its loss is then zero.
    return error / (weight.sum() * prediction.shape[1]).clamp_min(1.0)


METHODS: Mapping[str, type[Method]] = {
    "noise2self": Noise2Self,
    "noise2noise": Noise2Noise,
    "noise2clean": Noise2Clean,
}


def method_to_dict(method: Method) -> dict[str, Any]:
    """Return what :func:`method_from_dict` needs, in JSON's types."""
    name = next(name for name, cls in METHODS.items() if type(method) is cls)
    return {"name": name, **asdict(method.grid), "context": method.context}


def method_from_dict(values: Mapping[str, Any]) -> Method:
    """Rebuild a method from a model file's header."""
    grid = Grid(tuple(values["stride"]), tuple(values["footprint"]))
    return METHODS[values["name"]](grid, int(values.get("context", 0)))
