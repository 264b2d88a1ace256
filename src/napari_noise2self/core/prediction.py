"""Apply a model: tile by tile, pass by pass, in bounded memory."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .axes import Stack
from .config import Output, Progress
from .destination import destination
from .devices import (
    autocast,
    compute_dtype,
    explained,
    free_memory,
    give_memory_back,
    is_out_of_memory,
    keep_freed_memory,
    resolve_device,
    same_device,
)
from .empty import RADIUS, empty_places
from .errors import ConfigError, DeviceMemoryError, ImageError, NotTrainedError
from .guard import Guard
from .methods import Pass
from .model import Model
from .tiling import Tile, Tiling

MEMORY_SHARE = 0.25
"""Share of the free memory that a tile may take."""
CPU_PLANE_BYTES = 3 * 2**28
"""And no more than this on a CPU: 1024 x 2048 pixels of the default network in float32, of which
the halo is little. Between two passes of a tile nobody can cancel."""
CPU_VOLUME_BYTES = 3 * 2**26
"""The same for volumes, whose pixels take three times as long."""
INDEXED = 2**31 - 1
"""Most values that a tensor on a GPU may have: some of torch's kernels count no further."""


def predict_iter(
    model: Model,
    image: Any,
    axes: str | None = None,
    output: Output = "best",
    *,
    device: str | None = None,
    out: Any = None,
    tile: tuple[int, ...] | None = None,
    passes: int | None = None,
    samples: Sequence[int] | None = None,
) -> Iterator[Progress]:
    """Denoise `image` with `model`, one pass of one tile an event.

    Parameters
    ----------
    model
        A trained model; its weights stay where they are.
    image
        `Image` or array-like of the model's channels and dimensionality.
    axes
        Axes of `image`; None for its own, else the model's.
    output
        ``"best"`` or ``"j-invariant"``, the strict gather.
    device
        Where to compute; None for the configuration's, else the fastest.
    out
        Array of the image's shape, real floating point, that accepts assignment (a
        memory map, a zarr array) to write into, and not the image itself; None for
        a new float32 array.
    tile
        Extent of a tile, for each spatial axis; None takes it from the memory
        that is free.
    passes
        For a quick look: run only so many of the passes that make up "best",
        spread evenly; None runs them all.
    samples
        For a quick look: denoise only these of the samples (time points, or
        planes), counted in the order of the image's axes. Elsewhere `out` keeps
        what it held, and a new array holds NaN. None denoises them all.

    Yields
    ------
    Progress
        ``stage="predict"``; the last one's `result` is the output, the image's
        shape in its intensity units.

    Raises
    ------
    NotTrainedError
        If the model has not trained yet.
    ModelMismatchError
        If the image does not fit the model.
    ImageError
        If the image holds NaN or infinite values, or `out` is of another shape,
        holds integers or shares the image's memory.
    DeviceMemoryError
        If the device runs out of memory with the smallest tile.
    """
    model.method.check(output)
    if passes is not None and not (
        isinstance(passes, Integral) and passes >= 1 and output == "best"
    ):
        raise ConfigError(
            f'passes={passes!r} with output="{output}": expected 1 or more, and output="best"; '
            "the strict output needs every pass"
        )
    if model.training is None and not model.trained:
        raise NotTrainedError("the denoiser has not been trained yet; call api.train first")
    stack = model.see(image, axes)
    target = destination(stack, out, blank=samples is not None)
    work = _Work(model, stack, output, resolve_device(device or model.config.device), passes)
    started = time.perf_counter()
    cut = work.tiling.cut(tile or work.tile_size())
    extent = cut[0].extent
    chosen = range(stack.samples) if samples is None else _checked_samples(samples, stack)
    pending = [(sample, t) for sample in chosen for t in cut]
    notice = _unlike(model, stack)
    done, steps = 0, len(pending) * len(work.passes)
    while pending:
        sample, current = pending[0]
        mean = values = None
        for which in work.passes:
            try:
                mean = mean or _Mean(work, sample, current)
                mean.add(which)
                if which is work.passes[-1]:
                    values = mean.values()
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                break
            done += 1
            seconds = time.perf_counter() - started
            yield Progress(
                stage="predict",
                step=done,
                steps=steps,
                seconds=seconds,
                seconds_left=seconds / done * (steps - done),
                notice=notice,
            )
            notice = None
        else:
            assert values is not None
            target.write(sample, current.window, values)
            pending.pop(0)
            continue
        mean = None  # gives its memory back before the tiles are halved
        pending = work.halve(pending)
        extent = pending[0][1].extent
        done -= done % len(work.passes)
        steps = done + len(pending) * len(work.passes)
        notice = f"{work.device} ran out of memory: going on with tiles of half the size"
    yield Progress(
        stage="predict",
        step=steps,
        steps=steps,
        seconds=time.perf_counter() - started,
        seconds_left=0.0,
        notice=notice,
        tile=extent,
        result=target.data,
    )


def _unlike(model: Model, stack: Stack) -> str | None:
    """Say in what the image is unlike what the model was trained on, if in anything."""
    said = [model.normalization.differs_from(stack)]
    had, has = model.context_axis, stack.context_axis
    if model.context and has not in ("", had):
        kinds = {"T": "frames (T)", "Z": "planes (Z)"}
        said.append(
            f"the model looks at neighbouring {kinds[had]} and this image has {kinds[has]}; if "
            "the result looks wrong, correct the axes, or train on this image"
        )
    return "; ".join(filter(None, said)) or None


def _mend(device: torch.device) -> str:
    """Say what helps where the memory of `device` does not suffice."""
    elsewhere = "" if device.type == "cpu" else ", or use device='cpu'"
    return f"close other programs that use it{elsewhere}"


def _checked_samples(samples: Any, stack: Stack) -> list[int]:
    chosen = list(samples)
    whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in chosen)
    if not whole or any(not 0 <= n < stack.samples for n in chosen):
        raise ConfigError(
            f"samples={samples!r}: expected whole numbers from 0 to {stack.samples - 1}, as many "
            "as there are to denoise"
        )
    return [int(n) for n in chosen]


def keeps_empty(model: Model, output: Output) -> bool:
    """Whether places without signal or noise come back as they are: nothing is there to denoise.

    The strict output may not look at the pixel itself, and of what is learnt from a target
    nobody knows which intensity stands for which.
    """
    return output == "best" and not model.method.takes_target


def guard_of(model: Model, output: Output) -> Guard | None:
    """Return the guard of an output, if it has one."""
    return model.guard if keeps_empty(model, output) and model.config.noise_model else None


def reach(model: Model, output: Output) -> tuple[int, ...]:
    """Return how far a pixel of an output looks, along each spatial axis."""
    network: Any = model.network
    halo = [h + w for h, w in zip(network.halo, model.footprint, strict=True)]  # w for the fill
    if guard := guard_of(model, output):  # it looks at results, which have looked at the image
        halo[-2:] = [h + guard.reach for h in halo[-2:]]
    if keeps_empty(model, output):
        halo[-2:] = [max(h, RADIUS) for h in halo[-2:]]
    return tuple(halo)


class _Work:
    """What every tile and every pass of a prediction shares."""

    def __init__(
        self,
        model: Model,
        stack: Stack,
        output: Output,
        device: torch.device,
        passes: int | None = None,
    ) -> None:
        self.model, self.stack, self.output, self.device = model, stack, output, device
        keep_freed_memory(device)
        self.network: Any = model.network
        if not same_device(model.device, device):  # the model's own weights stay where they are
            with explained(device, _mend(device)):
                self.network = copy.deepcopy(model.network).to(device)
        self.dtype = compute_dtype(device, model.config.precision)
        every = model.method.passes(output, stack.spatial)
        self.passes = every if passes is None else every[:: -(-len(every) // passes)]
        self.keeps_empty = keeps_empty(model, output)
        # A channel that was constant in training is no part of what was learnt.
        spatial = (1,) * len(stack.spatial)
        self.unseen = np.equal(model.normalization.std, 0.0).reshape(-1, *spatial)
        self.guard = guard_of(model, output)
        self.halo = reach(model, output)
        self.tiling = Tiling(stack.spatial, self.halo, self.network.divisor)

    def tile_size(self) -> tuple[int, ...]:
        """Return the tile that the free memory allows, on a CPU no larger than is useful.

        A window narrower than the halo would be computed many times over, so
        only a want of memory makes it smaller than that.
        """
        features = self.network.values_per_pixel * self.dtype.itemsize
        bytes_per_pixel = features + 32 * self.stack.channels * (1 + self.model.context)
        pixels = int(free_memory(self.device) * MEMORY_SHARE) // bytes_per_pixel
        if self.device.type == "cpu":
            limit = CPU_PLANE_BYTES if len(self.halo) == 2 else CPU_VOLUME_BYTES
            useful = self.tiling.largest(limit // bytes_per_pixel, at_least=self.halo)
            return useful if self.tiling.reached(useful) <= pixels else self.tiling.largest(pixels)
        return self.tiling.largest(min(pixels, INDEXED // self.network.values_per_pixel))

    def halve(self, pending: list[tuple[int, Tile]]) -> list[tuple[int, Tile]]:
        """Cut the tiles that are left into smaller ones."""
        give_memory_back(self.device)
        smaller = [(n, half) for n, tile in pending for half in self.tiling.halve(tile)]
        if not smaller:
            raise DeviceMemoryError(
                f"{self.device} ran out of memory even with the smallest tiles; "
                f"{_mend(self.device)}"
            )
        return smaller


class _Mean:
    """The weighted mean over the passes of one tile."""

    def __init__(self, work: _Work, sample: int, tile: Tile) -> None:
        values = work.stack.read(sample, tile.reach, context=work.model.context)
        own = values[: work.stack.channels]  # each neighbour is looked at in its turn
        bad = int(own.size - np.isfinite(own).sum())
        if bad:
            raise ImageError(
                f"the image has NaN or infinite values, {bad} of them in one tile of sample "
                f"{sample}; replace them, for example with api.fill_nan(image)"
            )
        noisy = torch.from_numpy(values)[None].to(work.device)
        self.work, self.tile, self.own = work, tile, own
        self.noisy = work.model.normalization.apply(noisy)  # (1, C * (1 + 2 * context), *reach)
        self.total = torch.zeros_like(work.model.method.own(self.noisy))
        self.weight = torch.zeros_like(self.noisy[:, :1])

    @torch.no_grad()
    def add(self, which: Pass) -> None:
        """Run one pass; the J-sets are anchored to the image, not to the tile."""
        work = self.work
        offset = tuple(o - c for o, c in zip(which.offset, self.tile.origin, strict=True))
        local = replace(which, offset=offset)
        with autocast(work.device, work.dtype):
            values, mask = work.model.method.run_pass(work.network, self.noisy, local, work.output)
        self.total += torch.where(mask, values, 0.0)
        self.weight += mask

    def values(self) -> NDArray[np.float32]:
        """Crop the halo off and return to intensity units: (C, *window)."""
        mean = self.total / self.weight
        if self.work.guard:
            mean = self.work.guard.give_back(self.work.model.method.own(self.noisy), mean)
        mean = self.work.model.normalization.invert(mean)
        result: NDArray[np.float32] = mean[0].cpu().numpy()
        if self.work.keeps_empty:
            kept = empty_places(self.own) | self.work.unseen
            np.copyto(result, self.own, where=kept)
        return result[(slice(None), *self.tile.inner)]
