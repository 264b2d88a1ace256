"""Seeded crops of a stack, drawn from memory on the device, and the pixels held out of them.

What lies on the device is the whole stack where it fits, else a pool of blocks
that is renewed as training goes on: memory never grows with the data. Where
things are drawn is decided by a host generator, so that every device trains on
the same crops and no step waits for the device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .axes import Stack, neighbour_steps
from .batch import Batch
from .blocks import finite_window, spread
from .config import MINIMUM_SIZE, TrainingConfig
from .devices import laid_on
from .errors import ConfigError
from .masks import Grid
from .normalization import Normalization

RESIDENT_BYTES = 2**30
"""What the data may take on the device, as float32; above it a pool of blocks stands in."""
POOL_RENEWAL = 4
"""Steps after which one block of the pool makes room for another."""
EVEN = 16
"""What the edge of a crop is a multiple of where it is less than asked for."""
ALONE = 0.5
"""Share of the crops from which neighbours are taken away, as they are missing at the ends of a
stack. Those are a few frames of many, and a network that never saw the like does them badly."""
BEYOND = 0.25
"""How far beyond the image a crop may be drawn, as a share of its extent, before it is pushed back
inside. Otherwise the first row of an image lies in one crop of hundreds, and is hardly learnt."""
_FLIPS, _TURN, _SWAP = 3, 4, 8
"""Bits of how a crop is moved: along Y and X, X for Y, the image for its target."""
HELD_OUT = 10_000
"""Held-out pixels that a validation looks at, if the image has them."""


@dataclass(frozen=True)
class HeldOut:
    """Pixels that are never a target: one J-set of the grid, fixed in image coordinates."""

    grid: Grid
    offset: tuple[int, ...]

    @classmethod
    def seeded(cls, grid: Grid, patch: Sequence[int], seed: int) -> HeldOut:
        """Pick the J-set by `seed`, among those that have a pixel in the image's first patch.

        A stack of two planes holds no pixel of a J-set that begins at the third.
        """
        rng = np.random.default_rng(seed)
        first = [min(s, n) for s, n in zip(grid.stride, patch, strict=True)]
        return cls(grid, tuple(int(rng.integers(n)) for n in first))

    def counted(
        self, origins: Sequence[Sequence[int]], shape: Sequence[int], device: torch.device
    ) -> tuple[Tensor, Tensor]:
        """Return the held-out pixels of crops at `origins` and the offsets that hide them.

        Parameters
        ----------
        origins
            The first pixel of each crop.
        shape
            Spatial extent of the crops.
        device
            Where the answers lie.
        """
        offsets = laid_on(device, torch.tensor([self.offset]) - torch.tensor(origins))
        held, _ = self.grid.masks(shape, offsets)
        return held, offsets


def patch_shape(spatial: Sequence[int], config: TrainingConfig) -> tuple[int, ...]:
    """Return the extent of a crop: what was asked for, or the image's where that is less.

    In a volume the planes of a crop share `pixels_per_step`, so that a step costs
    what it costs in a plane.
    """
    edge = config.patch_size
    depth = [min(config.patch_depth, planes) for planes in spatial[:-2]]
    if depth:
        fair = math.isqrt(config.pixels_per_step // depth[0]) // EVEN * EVEN
        edge = min(edge, max(fair, MINIMUM_SIZE))
    return (*depth, *(min(edge, n) for n in spatial[-2:]))


def check_hole(footprint: Sequence[int], patch: Sequence[int]) -> None:
    """Refuse a hole that leaves too little of a crop in view.

    Raises
    ------
    ConfigError
        If it is wider than half of the crop along Y or X.
    """
    if any(2 * width > size for width, size in zip(footprint[-2:], patch[-2:], strict=True)):
        raise ConfigError(
            f"footprint={tuple(footprint)} covers more than half of what the network is trained "
            f"on, pieces of {patch[-2]} x {patch[-1]} pixels; give a narrower one, or a larger "
            "patch_size where the image is larger"
        )


def check_context(context: int, stack: Stack) -> None:
    """Refuse neighbours in view where an image has none.

    Raises
    ------
    ConfigError
        If there are neither frames nor planes of one.
    """
    if context and not stack.context_axis:
        raise ConfigError(
            f'context={context} for an image with axes "{stack.axes}": it has no frames (T) or '
            "planes (Z) to see beside each other; leave context out, or correct the axes"
        )


def corner_range(extent: int, size: int) -> tuple[int, int]:
    """Return the range to draw the first pixel of a window from, before it is pushed inside.

    Parameters
    ----------
    extent
        Of what the window is cut from, in pixels along one axis.
    size
        Of the window, at most `extent`.
    """
    beyond = round(BEYOND * size) if size < extent else 0
    return -beyond, extent - size + 1 + beyond


def window_at(origin: Sequence[int], shape: Sequence[int]) -> tuple[slice, ...]:
    """Return the window of this `shape` whose first pixel is `origin`."""
    return tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))


class Crops:
    """Random crops of one stack, or of a noisy stack and its target.

    Before any can be cut, `renew` or `renew_iter` has to read the data.

    Parameters
    ----------
    stacks
        The noisy stack and, for a method that has one, the target.
    normalization
        The noisy stack's statistics, which serve for the target too: the output
        is then in the target's intensities.
    patch
        Extent of a crop, at most that of the stack.
    held_out
        The pixels that no crop counts.
    seed
        Seed of the pool's blocks.
    device
        Where the data and the crops lie.
    resident_bytes
        Bound on what the data take there.
    context
        Neighbours on each side of a noisy sample that its crops hold as well.
    enough
        Crops, side by side, beyond which a pool holds no more; None for as many
        as `resident_bytes` allow.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        normalization: Normalization,
        patch: tuple[int, ...],
        held_out: HeldOut,
        *,
        seed: int,
        device: torch.device,
        resident_bytes: int = RESIDENT_BYTES,
        context: int = 0,
        enough: int | None = None,
    ) -> None:
        self.stacks, self.normalization, self.context = stacks, normalization, context
        self.patch, self.held_out = patch, held_out
        self.seed, self.device = seed, device
        first = stacks[0]
        channels = [stack.channels for stack in stacks]
        self.whole = 4 * sum(channels) * first.samples * math.prod(first.spatial) <= resident_bytes
        if self.whole:  # a sample's neighbours are there as well
            self.block, count = first.spatial, first.samples
        else:
            channels[0] *= 1 + 2 * context
            self.block = tuple(min(n, 2 * p) for n, p in zip(first.spatial, patch, strict=True))
            count = max(1, resident_bytes // (4 * sum(channels) * math.prod(self.block)))
            if enough is not None:
                aside = math.prod(b // p for b, p in zip(self.block, patch, strict=True))
                count = min(count, math.ceil(enough / aside))
        self.data: list[Tensor] = [
            torch.empty((count, c, *self.block), dtype=torch.float32, device=device)
            for c in channels
        ]
        self.origins = torch.zeros((count, len(patch)), dtype=torch.long)
        self._loaded = 0

    def _load(self, number: int) -> None:
        """Read block `number` of the endless, seeded sequence of blocks into its slot."""
        slot = number % len(self.origins)
        if self.whole:
            sample, origin = number, (0,) * len(self.patch)
        else:
            rng = np.random.default_rng((self.seed, number))
            sample = int(rng.integers(self.stacks[0].samples))
            origin = tuple(
                int(np.clip(rng.integers(*corner_range(n, b)), 0, n - b))
                for n, b in zip(self.stacks[0].spatial, self.block, strict=True)
            )
        window = window_at(origin, self.block)
        context = 0 if self.whole else self.context
        for data, values in zip(self.data, self.read(sample, window, context), strict=True):
            data[slot] = values
        self.origins[slot] = torch.tensor(origin)
        self._loaded = number + 1

    def read(self, sample: int, window: tuple[slice, ...], context: int) -> list[Tensor]:
        """Read a window of every stack, normalized and on the device: (C, *window) each.

        Parameters
        ----------
        sample, window
            Where.
        context
            Neighbours on each side of the noisy sample to read as well.

        Raises
        ------
        ImageError
            If there are NaN or infinite values; it says whether in image or target.
        """
        contexts, names = (context, 0), ("image", "target")
        read = [
            finite_window(stack, sample, window, context=c, name=name)
            for stack, c, name in zip(self.stacks, contexts, names, strict=False)
        ]
        on_device = (torch.from_numpy(values)[None].to(self.device) for values in read)
        return [self.normalization.apply(values)[0] for values in on_device]

    def renew(self, step: int) -> None:
        """Bring the pool to where it stands at `step`; a whole stack is loaded once."""
        for _ in self.renew_iter(step):
            pass

    def renew_iter(self, step: int) -> Iterator[tuple[int, int]]:
        """Do what `renew` does, and yield after each block how many of how many are read."""
        count = len(self.origins)
        until = count if self.whole else count + step // POOL_RENEWAL
        numbers = range(max(self._loaded, until - count), until)
        for done, number in enumerate(numbers, 1):
            self._load(number)
            yield done, len(numbers)

    def draw(
        self, count: int, generator: torch.Generator, *, turns: bool, swaps: bool = False
    ) -> Tensor:
        """Draw where `count` crops lie, how they are flipped along Y and X, and a J-set for each.

        Parameters
        ----------
        count
            Number of crops, N.
        generator
            Host generator; its state is all that decides what is drawn.
        turns
            Whether Y and X may be exchanged as well: not under a directional
            footprint, whose noise would be turned with the image.
        swaps
            Whether noisy image and target change places in half of the crops.

        Returns
        -------
        Tensor
            Integers on the device, a row for each crop, which `cut` knows how to read.
        """
        slots = torch.randint(len(self.origins), (count, 1), generator=generator)
        places = []
        for extent, size in zip(self.block, self.patch, strict=True):
            low, high = corner_range(extent, size)
            drawn = torch.randint(low, high, (count,), generator=generator)
            places.append(drawn.clamp(0, extent - size))
        corners = torch.stack(places, dim=1)
        moves = torch.randint(16, (count, 1), generator=generator)
        moves &= _FLIPS | (_TURN if turns and self._square else 0) | (_SWAP if swaps else 0)
        cut_from = self._cut_from(slots.flatten().tolist(), generator)
        origins = self.origins[slots.flatten()] + corners
        # A crop thinner than the stride has a target in any case.
        first = [min(s, n) for s, n in zip(self.held_out.grid.stride, self.patch, strict=True)]
        offsets = [torch.randint(n, (count,), generator=generator) for n in first]
        columns = [cut_from, corners, origins, moves, torch.stack(offsets, dim=1)]
        return laid_on(self.device, torch.cat(columns, dim=1))

    def cut(self, places: Tensor) -> Batch:
        """Cut the crops that were drawn.

        All at once: on a GPU a crop by itself costs as much as a hundred together.

        Parameters
        ----------
        places
            From `draw`.
        """
        count, ndim = len(places), len(self.patch)
        columns = [1 + 2 * self.context, ndim, ndim, 1, ndim]
        cut_from, corners, origins, moves, offsets = torch.split(places, columns, dim=1)
        pixels = torch.zeros((), dtype=torch.long, device=self.device)
        held = torch.ones((), dtype=torch.bool, device=self.device)
        grid = self.held_out.grid
        for axis, size in enumerate(self.patch):
            line = torch.arange(size, device=self.device).expand(count, size)
            if axis >= ndim - 2:
                flipped = moves & (1 << (axis + 2 - ndim)) > 0
                line = torch.where(flipped, size - 1 - line, line)
            view = [count, *(size if a == axis else 1 for a in range(ndim))]
            pixels = pixels * self.block[axis] + (corners[:, axis, None] + line).view(view)
            phase = origins[:, axis, None] + line - self.held_out.offset[axis]
            held = held & (phase % grid.stride[axis] == 0).view(view)
        if self._square:
            turned = (moves & _TURN > 0).view(count, *(1,) * ndim)
            pixels = torch.where(turned, pixels.mT, pixels)
            held = torch.where(turned, held.mT, held).contiguous()
        noisy, *targets = (
            self._gathered(data, cut_from[:, : 1 if n else None], pixels)
            for n, data in enumerate(self.data)
        )
        target = targets[0] if targets else None
        if target is not None:
            swapped = (moves & _SWAP > 0).view(count, *(1,) * (ndim + 1))
            noisy, target = (
                torch.where(swapped, target, noisy),
                torch.where(swapped, noisy, target),
            )
        return Batch(noisy, target, ~held[:, None], offsets)

    def shape(self, count: int) -> tuple[int, ...]:
        """Return the shape of `count` noisy crops, neighbours and all."""
        return (count, self.stacks[0].channels * (1 + 2 * self.context), *self.patch)

    @property
    def _square(self) -> bool:
        return self.patch[-1] == self.patch[-2]

    def _cut_from(self, slots: list[int], generator: torch.Generator) -> Tensor:
        """Return where each crop and its neighbours are cut from, (N, 1 + 2 * context).

        A sample of a whole stack, or a slot of the pool; -1 for a neighbour that is not there.
        Some are taken away at random: those beyond an end, or all.
        """
        steps = neighbour_steps(self.context)
        if not steps:
            return torch.tensor(slots)[:, None]
        cases = [tuple(s for s in steps if s * end > 0 and abs(s) >= abs(end)) for end in steps]
        cases.append(tuple(steps))
        draws = torch.randint(round(len(cases) / ALONE), (len(slots),), generator=generator)
        rows = []
        for slot, draw in zip(slots, draws.tolist(), strict=True):
            missing = cases[draw] if draw < len(cases) else ()
            near: list[int | None] = [slot] * len(steps)  # a block of the pool has them all
            if self.whole:
                near = self.stacks[0].neighbours(slot, self.context)
            there = zip(steps, near, strict=True)
            rows.append([slot, *(-1 if n is None or s in missing else n for s, n in there)])
        return torch.tensor(rows)

    def _gathered(self, data: Tensor, cut_from: Tensor, pixels: Tensor) -> Tensor:
        """Return the values of `pixels` (N, *patch), NaN for neighbours that are not there."""
        count, samples = cut_from.shape
        channels = torch.arange(data.shape[1], device=self.device).view(1, -1, 1)
        if not self.whole:  # a block holds the neighbours as further channels
            channels = channels.view(samples, -1, 1)
        rows = cut_from.view(count, samples, 1, 1)
        values = data.flatten(2)[rows, channels, pixels.reshape(count, 1, 1, -1)]
        if samples > 1:
            values = values.masked_fill(rows < 0, torch.nan)
        return values.reshape(count, -1, *self.patch)


def validation_windows(
    stack: Stack, patch: tuple[int, ...], grid: Grid, seed: int
) -> list[tuple[int, tuple[int, ...]]]:
    """Return (sample, origin) of distinct windows that hold about `HELD_OUT` held-out pixels.

    From border to border, so that they overlap a little where the image is no multiple of them.
    """
    starts = [spread(n, p) for n, p in zip(stack.spatial, patch, strict=True)]
    counts = [len(along) for along in starts]
    total = stack.samples * math.prod(counts)
    wanted = math.ceil(HELD_OUT * len(grid) / math.prod(patch))
    rng = np.random.default_rng(seed)
    # choice(total) without a permutation of a total that may be huge
    picked = rng.choice(total, size=min(wanted, total), replace=False, shuffle=False)
    windows = []
    for index in sorted(int(i) for i in picked):
        sample, *place = (int(i) for i in np.unravel_index(index, (stack.samples, *counts)))
        windows.append((sample, tuple(s[i] for s, i in zip(starts, place, strict=True))))
    return windows
