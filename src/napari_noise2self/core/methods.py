"""Methods: how to train a network and how to apply it, side by side.

A method takes normalized float32 tensors of shape (N, C, *spatial) and knows
neither files nor axes. Its output is a weighted mean over passes, so that
prediction can report, and stop, after each of them.
"""

from __future__ import annotations

import operator
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from .batch import Batch
from .config import MOST_CONTEXT, Output, check_output
from .errors import ConfigError
from .masks import Grid, donut_fill
from .networks import Network, continued
from .recorruption import Draws, Recorruption

MIRRORS = ((), (-1,), (-2,), (-2, -1))
"""The axes along which one pass after another is mirrored: the mean over passes is then a mean
over the network's reactions to direction as well, at no cost (0.03 to 0.08 dB)."""
PASSES_3D = 16
"""Masked passes of a volume that the best output is the mean of, at most: more change nothing.
In a plane the J-sets that are left out would be seen as a grid."""
HIDDEN = 0.2
"""Share of a step's crops in which pixels are hidden, where the others are recorrupted."""
SEEN = 2.0
"""Weight of the loss on recorrupted crops against that on hidden pixels."""


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

    def __post_init__(self) -> None:
        if not 0 <= self.context <= MOST_CONTEXT:
            raise ConfigError(
                f"context={self.context}: expected a whole number from 0 to {MOST_CONTEXT}"
            )

    def own(self, noisy: Tensor) -> Tensor:
        """Return the channels of the sample that is denoised, without those of its neighbours."""
        return noisy[:, : noisy.shape[1] // (1 + 2 * self.context)]

    def draws(
        self, shape: Sequence[int], generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, ...]:
        """Draw the random numbers that `objective` needs; none if it needs none.

        Parameters
        ----------
        shape
            Of the noisy crops.
        generator
            The host's.
        device
            Where the draws are to lie.
        """
        return ()

    def objective(
        self, network: Callable[[Tensor], Tensor], batch: Batch, draws: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the quantity to minimise, and the `loss` to report; arguments as there.

        `draws` are those for crops of this shape. With them nothing in it is random, and
        nothing is decided by the host: a GPU can repeat it by itself.
        """
        loss = self.loss(network, batch)
        return loss, loss

    @abstractmethod
    def compared(
        self, network: Callable[[Tensor], Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the network's prediction, what it should be, and where they are compared.

        Parameters
        ----------
        network
            Maps crops like `batch.noisy` to (N, C, *spatial).
        batch
            Crops, their targets if the method has some, and what counts of them.

        Returns
        -------
        tuple of Tensor
            Two of shape (N, C, *spatial), and a boolean mask (N, 1, *spatial).
        """

    def loss(self, network: Callable[[Tensor], Tensor], batch: Batch) -> Tensor:
        """Return the mean squared error of a batch, a scalar that stays on the device."""
        return masked_mse(*self.compared(network, batch))

    @classmethod
    def check(cls, output: str) -> None:
        """Raise if this method has no such output.

        Raises
        ------
        ConfigError
            If there is no output of that name, or the method does not have it.
        """
        check_output(output)

    @abstractmethod
    def passes(self, output: Output, extent: Sequence[int] | None = None) -> Sequence[Pass]:
        """Return the passes that `output` is made of.

        Parameters
        ----------
        output
            ``"best"`` or ``"j-invariant"``.
        extent
            Of the image, in pixels; None for one that has a pixel in every J-set.
        """

    @abstractmethod
    def run_pass(
        self, network: Network, noisy: Tensor, which: Pass, output: Output
    ) -> tuple[Tensor, Tensor]:
        """Return the values of one pass and the pixels that count in the mean over passes."""


@dataclass(frozen=True)
class Noise2Self(Method):
    """Predict hidden pixels from visible ones; needs nothing but the noisy image.

    Attributes
    ----------
    recorruption
        Where the noise is known: most of the crops of a step are then split into
        two images with independent noise, of which one is predicted from the
        other with every pixel in view. The best output needs no hidden pixels.

    References
    ----------
    Batson and Royer, "Noise2Self: Blind denoising by self-supervision", ICML 2019.
    """

    recorruption: Recorruption | None = None

    def draws(
        self, shape: Sequence[int], generator: torch.Generator, device: torch.device
    ) -> tuple[Tensor, ...]:
        """Draw the noise by which crops are split in two; arguments as there."""
        if self.recorruption is None:
            return ()
        count, channels, *patch = shape
        seen = len(range(count)[self._parts(count)[1]])
        own = channels // (1 + 2 * self.context)
        return Draws.drawn((seen, own, *patch), generator, device)

    def _parts(self, count: int) -> tuple[slice, slice]:
        """Say in which of `count` crops pixels are hidden, and which are recorrupted."""
        if count == 1:  # a single large crop serves both
            return slice(1), slice(1)
        hidden = max(1, round(HIDDEN * count))
        return slice(hidden), slice(hidden, count)

    def objective(
        self, network: Callable[[Tensor], Tensor], batch: Batch, draws: Sequence[Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Add the loss on recorrupted crops to that on hidden pixels, which alone is reported."""
        if self.recorruption is None:
            return super().objective(network, batch, draws)
        masked, seen = (batch[part] for part in self._parts(len(batch)))
        count = len(masked)
        targets, filled = self.hide(masked.noisy, masked.offsets)
        first, second = self.recorruption.split(self.own(seen.noisy), Draws(*draws))
        outputs = network(torch.cat([filled, self._with_neighbours(first, seen.noisy)]))
        hidden = masked_mse(outputs[:count], self.own(masked.noisy), targets & masked.counted)
        return hidden + SEEN * masked_mse(outputs[count:], second, seen.counted), hidden

    def compared(
        self, network: Callable[[Tensor], Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compare on J, all channels of a hidden pixel hidden together."""
        targets, filled = self.hide(batch.noisy, batch.offsets)
        return network(filled), self.own(batch.noisy), targets & batch.counted

    def split_errors(
        self, network: Callable[[Tensor], Tensor], noisy: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the squared error of predicting one half of a split, and the least it can be.

        The least is the noise of that half: who does better has been told of it by the
        other half, which means that the noise is not what `recorruption` takes it for.
        """
        assert self.recorruption is not None
        own = self.own(noisy)
        draws = Draws.drawn(own.shape, generator, own.device)
        first, second = self.recorruption.split(own, draws)
        prediction = network(self._with_neighbours(first, noisy))
        noise = ((first - second) / 2) ** 2  # added to that of the image, which has as much
        return ((prediction - second) ** 2).sum(), 2 * noise.sum()

    def hide(self, noisy: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor]:
        """Return the targets and the input in which they are hidden.

        The same pixels of the neighbours stay visible: their noise is another.
        For a neighbour that is not there (NaN) the filled sample stands in.
        """
        targets, hidden = self.grid.masks(noisy.shape[2:], offsets)
        filled = donut_fill(self.own(noisy), hidden, self.grid.footprint)
        return targets, self._with_neighbours(filled, noisy)

    def _with_neighbours(self, own: Tensor, noisy: Tensor) -> Tensor:
        """Put the neighbours in `noisy` behind `own`, which stands in for those that are NaN."""
        if not self.context:
            return own
        near = noisy[:, own.shape[1] :]
        instead = own.repeat(1, 2 * self.context, *(1,) * (noisy.ndim - 2))
        return torch.cat([own, torch.where(near.isnan(), instead, near)], dim=1)

    def passes(self, output: Output, extent: Sequence[int] | None = None) -> Sequence[Pass]:
        """Hide every J-set that has a pixel once; for a volume's mean no more than `PASSES_3D`.

        Every other J-set, as on a checkerboard, is hidden in the image turned by
        half a circle: with J-sets left out, or turned at random, a grid of the
        size of their spacing stays behind. Shuffled, so that the first few of
        them are spread over the grid. A network that was trained to see every
        pixel takes the image as it is, and mirrored.
        """
        if output == "best" and self.recorruption is not None:
            return _as_it_is(self.grid)
        offsets = list(self.grid.offsets())
        random.Random(0).shuffle(offsets)
        if extent is not None:  # a stack may be thinner than the stride
            offsets = [o for o in offsets if all(map(operator.lt, o, extent))]
        if output == "best" and len(self.grid.stride) == 3:
            offsets = offsets[:PASSES_3D]
        return [Pass(o, MIRRORS[-1] if sum(o) % 2 else ()) for o in offsets]

    def run_pass(
        self, network: Network, noisy: Tensor, which: Pass, output: Output
    ) -> tuple[Tensor, Tensor]:
        """Hide one J-set and predict.

        With ``output="j-invariant"`` a pixel counts only in the pass that hid
        it (the gather). With ``"best"`` it counts in all of them: in most it
        was itself visible, which is information the gather throws away. With
        `recorruption` nothing has to be hidden for it.
        """
        if output == "best" and self.recorruption is not None:
            seen = self._with_neighbours(self.own(noisy), noisy)
            values = continued(network, seen, which.mirror)
            return values, torch.ones_like(noisy[:, :1], dtype=torch.bool)
        offsets = torch.tensor([which.offset], device=noisy.device)
        targets, filled = self.hide(noisy, offsets)
        values = continued(network, filled, which.mirror)
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

    @classmethod
    def check(cls, output: str) -> None:
        """Refuse the strict output as well."""
        super().check(output)
        if output == "j-invariant":
            raise ConfigError(
                'output="j-invariant": a network trained on pairs sees every pixel, so it has no '
                'J-invariant output; use output="best"'
            )

    def compared(
        self, network: Callable[[Tensor], Tensor], batch: Batch
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compare with the target; nothing is hidden."""
        assert batch.target is not None
        return network(batch.noisy), batch.target, batch.counted

    def passes(self, output: Output, extent: Sequence[int] | None = None) -> Sequence[Pass]:
        """Take the image as it is, and mirrored."""
        self.check(output)
        return _as_it_is(self.grid)

    def run_pass(
        self, network: Network, noisy: Tensor, which: Pass, output: Output
    ) -> tuple[Tensor, Tensor]:
        """Predict from all pixels."""
        values = continued(network, noisy, which.mirror)
        return values, torch.ones_like(noisy[:, :1], dtype=torch.bool)


@dataclass(frozen=True)
class Noise2Clean(Noise2Noise):
    """Predict a clean image of the scene: ordinary supervised training, one way only."""

    both_ways: ClassVar[bool] = False


def _as_it_is(grid: Grid) -> list[Pass]:
    """Return passes in which nothing is hidden, mirrored in turn."""
    return [Pass((0,) * len(grid.stride), mirror) for mirror in MIRRORS]


def masked_mse(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Mean squared error over the pixels of `mask` (N, 1, *spatial) and all channels."""
    errors, counts = masked_errors(prediction, target, mask)
    # A batch of small crops can hold no counted pixel at all; its loss is then zero.
    return errors.sum() / counts.sum().clamp_min(1.0)


def masked_errors(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Return, for each crop, the sum of the squared errors in `mask` and how many they are."""
    weight = mask.to(prediction.dtype)
    errors = ((prediction - target) ** 2 * weight).flatten(1).sum(1)
    return errors, weight.flatten(1).sum(1) * prediction.shape[1]


METHODS: Mapping[str, type[Method]] = {
    "noise2self": Noise2Self,
    "noise2noise": Noise2Noise,
    "noise2clean": Noise2Clean,
}


def method_to_dict(method: Method) -> dict[str, Any]:
    """Return what :func:`method_from_dict` needs, in JSON's types."""
    name = next(name for name, cls in METHODS.items() if type(method) is cls)
    values = {"name": name, **asdict(method.grid), "context": method.context}
    if isinstance(method, Noise2Self) and method.recorruption is not None:
        values["recorruption"] = method.recorruption.to_dict()
    return values


def method_from_dict(values: Mapping[str, Any]) -> Method:
    """Rebuild a method from a model file's header."""
    grid = Grid(tuple(values["stride"]), tuple(values["footprint"]))
    method = METHODS[values["name"]](grid, int(values.get("context", 0)))
    known = values.get("recorruption")
    return with_recorruption(method, None if known is None else Recorruption.from_dict(known))


def with_recorruption(method: Method, recorruption: Recorruption | None) -> Method:
    """Return `method` with what is known of the noise, if it is one that makes use of it."""
    return replace(method, recorruption=recorruption) if isinstance(method, Noise2Self) else method
