"""Crops show the image as it lies, never count a held-out pixel, and cost bounded memory."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2self.core.axes import Stack
from napari_noise2self.core.batch import Batch
from napari_noise2self.core.config import TrainingConfig
from napari_noise2self.core.masks import Grid
from napari_noise2self.core.normalization import Normalization
from napari_noise2self.core.patches import (
    HELD_OUT,
    POOL_RENEWAL,
    Crops,
    HeldOut,
    patch_shape,
    validation_windows,
)

CPU = torch.device("cpu")


def numbered(*shape: int) -> NDArray[np.float32]:
    """An image in which each pixel's value is its own number."""
    return np.arange(math.prod(shape), dtype=np.float32).reshape(shape)


def crops(
    images: Sequence[Any], axes: str, grid: Grid, patch: tuple[int, ...], **more: Any
) -> Crops:
    stacks = [Stack.of(image, axes) for image in images]
    identity = Normalization((0.0,) * stacks[0].channels, (1.0,) * stacks[0].channels)
    held_out = HeldOut.seeded(grid, patch, 0)
    step = more.pop("step", 0)
    made = Crops(stacks, identity, patch, held_out, **{"seed": 0, "device": CPU, **more})
    made.renew(step)
    return made


def places(values: Tensor, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Where pixels of a `numbered` image lie: (ndim, count)."""
    return np.array(np.unravel_index(values.numpy().astype(int).ravel(), shape))


def draw(source: Crops, count: int = 40, seed: int = 0, **more: Any) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    return source.cut(source.draw(count, generator, **{"turns": True, **more}))


@pytest.mark.parametrize("turns", [False, True])
@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize(
    ("shape", "patch", "grid"),
    [
        ((4, 40, 37), (16, 16), Grid((4, 4), (1, 1))),
        ((3, 33, 64), (16, 16), Grid((4, 10), (1, 9))),
        ((2, 9, 33, 30), (4, 16, 16), Grid((4, 6, 6), (1, 5, 5))),
    ],
)
def test_a_held_out_pixel_is_never_counted_and_every_other_one_is(
    shape: tuple[int, ...], patch: tuple[int, ...], grid: Grid, pooled: bool, turns: bool
) -> None:
    """Through flips, turns and the pool: by the numbers that the pixels carry."""
    axes = "T" + "ZYX"[-len(patch) :]
    source = crops(
        [numbered(*shape)], axes, grid, patch, resident_bytes=20_000 if pooled else 2**30
    )
    assert source.whole != pooled
    seen = np.zeros(shape[1:], dtype=bool)
    counted = np.zeros(shape[1:], dtype=bool)
    for seed in range(4):
        source.renew(40 * seed)
        batch = draw(source, seed=seed, turns=turns)
        seen[tuple(places(batch.noisy, shape)[1:])] = True
        counted[tuple(places(batch.noisy[batch.counted], shape)[1:])] = True
    held = np.ones(shape[1:], dtype=bool)
    for axis, (n, s, o) in enumerate(
        zip(shape[1:], grid.stride, source.held_out.offset, strict=True)
    ):
        view = [-1 if a == axis else 1 for a in range(len(patch))]
        held &= ((np.arange(n) - o) % s == 0).reshape(view)
    assert held[seen].any()
    assert (counted == (seen & ~held)).all()


@pytest.mark.parametrize("turns", [False, True])
def test_crops_are_flipped_and_turned_in_all_ways_or_not_turned_at_all(turns: bool) -> None:
    width = 50
    source = crops([numbered(40, width)], "YX", Grid((4, 4), (1, 1)), (16, 16))
    noisy = draw(source, 200, turns=turns).noisy[:, 0]
    steps = {(float(c[1, 0] - c[0, 0]), float(c[0, 1] - c[0, 0])) for c in noisy}
    upright = {(y * width, float(x)) for y in (-1, 1) for x in (-1, 1)}
    turned = {(float(x), float(y)) for y, x in upright}
    assert steps == (upright | turned if turns else upright)
    for crop in noisy:  # and each is a plain window of the image
        y, x = places(crop, (40, width))
        assert np.ptp(y) == np.ptp(x) == 15
        assert len(set(zip(y, x, strict=True))) == 256


def test_an_oblong_patch_is_never_turned() -> None:
    source = crops([numbered(40, 12)], "YX", Grid((4, 4), (1, 1)), (16, 12))
    noisy = draw(source, 50).noisy
    assert noisy.shape == (50, 1, 16, 12)
    assert set((noisy[:, 0, 0, 1] - noisy[:, 0, 0, 0]).tolist()) == {-1.0, 1.0}


def test_every_pixel_can_be_drawn() -> None:
    source = crops([numbered(20, 19)], "YX", Grid((4, 4), (1, 1)), (16, 16))
    assert set(draw(source, 300).noisy.ravel().tolist()) == set(range(20 * 19))


@pytest.mark.parametrize("pooled", [False, True])
def test_the_border_of_the_image_is_drawn_about_as_often_as_its_middle(pooled: bool) -> None:
    """Drawn evenly, crops would show a corner pixel once where they show one of the middle 256
    times. In a pool a block is pushed inside, and then its crops are."""
    limits = {"resident_bytes": 4 * 32 * 32 * 60} if pooled else {}
    source = crops([numbered(96, 96)], "YX", Grid((4, 4), (1, 1)), (16, 16), **limits)
    shown = np.bincount(draw(source, 4000).noisy.int().ravel().numpy(), minlength=96 * 96)
    shown = shown.reshape(96, 96)
    middle = shown[24:-24, 24:-24].mean()
    for side in (shown[0], shown[-1], shown[:, 0], shown[:, -1]):
        assert 0.15 < side[24:-24].mean() / middle < 1
    assert shown[0, 0] > 0.02 * middle


def test_the_target_moves_with_its_image() -> None:
    first = numbered(2, 30, 30)
    source = crops([first, first + 10_000], "TYX", Grid((4, 4), (1, 1)), (16, 16))
    batch = draw(source)
    assert batch.target is not None
    assert torch.equal(batch.target, batch.noisy + 10_000)
    swapped = draw(source, swaps=True)
    assert swapped.target is not None
    ways = {float(d) for d in (swapped.target - swapped.noisy).unique()}
    assert ways == {10_000.0, -10_000.0}


def test_without_a_target_there_is_none() -> None:
    assert draw(crops([numbered(32, 32)], "YX", Grid((4, 4), (1, 1)), (16, 16))).target is None


def test_channels_stay_together_and_are_normalized_each_by_its_own() -> None:
    image = np.stack([numbered(20, 20), 3 * numbered(20, 20) + 5])
    stack = Stack.of(image, "CYX")
    grid = Grid((4, 4), (1, 1))
    stats = Normalization((0.0, 5.0), (1.0, 3.0))
    held_out = HeldOut.seeded(grid, (16, 16), 0)
    source = Crops([stack], stats, (16, 16), held_out, seed=0, device=CPU)
    source.renew(0)
    noisy = draw(source).noisy
    torch.testing.assert_close(noisy[:, 0], noisy[:, 1])


def test_a_seed_gives_the_same_crops() -> None:
    source = crops([numbered(40, 40)], "YX", Grid((4, 4), (1, 1)), (16, 16))
    first, again, other = (draw(source, seed=s) for s in (1, 1, 2))
    assert torch.equal(first.noisy, again.noisy)
    assert torch.equal(first.counted, again.counted)
    assert not torch.equal(first.noisy, other.noisy)


class Counting:
    """An array that notes how much of it is read at once."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.reads: list[int] = []

    def __getitem__(self, index: Any) -> NDArray[Any]:
        part: NDArray[Any] = self.array[index]
        self.reads.append(part.size)
        return part


def test_the_pool_reads_blocks_and_never_the_whole() -> None:
    image = Counting(numbered(4, 100, 90))
    source = crops([image], "TYX", Grid((4, 4), (1, 1)), (16, 16), resident_bytes=5 * 32 * 32 * 4)
    assert len(image.reads) == 5
    assert set(image.reads) == {32 * 32}
    held = sum(4 * data.numel() for data in source.data)
    assert held <= 5 * 32 * 32 * 4
    for step in range(10 * POOL_RENEWAL + 1):
        source.renew(step)
    assert len(image.reads) == 5 + 10  # one block for every few steps
    assert set(image.reads) == {32 * 32}


def test_the_pool_holds_no_more_than_is_enough() -> None:
    """Crops are counted as they lie side by side: four in a block, or one where it is thin."""
    for width, blocks in ((90, 3), (20, 6)):
        image = Counting(numbered(9, 100, width))
        limits = {"resident_bytes": 20 * 32 * min(32, width) * 4, "enough": 12}
        source = crops([image], "TYX", Grid((4, 4), (1, 1)), (16, 16), **limits)
        assert len(image.reads) == len(source.origins) == blocks


def test_the_pool_moves_on_until_it_has_shown_nearly_everything() -> None:
    shape = (3, 50, 40)
    source = crops(
        [numbered(*shape)], "TYX", Grid((4, 4), (1, 1)), (16, 16), resident_bytes=3 * 32 * 32 * 4
    )
    seen: set[float] = set()
    for step in range(0, 400 * POOL_RENEWAL, POOL_RENEWAL):
        source.renew(step)
        seen |= set(source.data[0].ravel().tolist())
    assert len(seen) > 0.99 * math.prod(shape)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 200), st.integers(0, 200))
def test_a_pool_built_at_a_step_is_the_pool_that_got_there(first: int, then: int) -> None:
    def pool(step: int) -> Crops:
        return crops(
            [numbered(3, 50, 40)],
            "TYX",
            Grid((4, 4), (1, 1)),
            (16, 16),
            resident_bytes=3 * 32 * 32 * 4,
            step=step,
        )

    walked, built = pool(first), pool(first + then)
    for step in range(first, first + then + 1):
        walked.renew(step)
    assert torch.equal(walked.data[0], built.data[0])
    assert torch.equal(walked.origins, built.origins)


def test_a_stack_that_fits_is_read_once() -> None:
    image = Counting(numbered(4, 30, 20))
    source = crops([image], "TYX", Grid((4, 4), (1, 1)), (16, 16))
    for step in range(50):
        source.renew(step)
    assert image.reads == [600] * 4
    assert torch.equal(source.data[0][:, 0], torch.from_numpy(image.array))


@pytest.mark.parametrize("planes", [1, 2, 3])
@pytest.mark.parametrize("seed", range(8))
def test_a_thin_stack_has_held_out_pixels_too(planes: int, seed: int) -> None:
    """Whatever the seed: a J-set that begins beyond the last plane would hold none."""
    patch = (planes, 32, 32)
    held_out = HeldOut.seeded(Grid((4, 4, 4), (1, 1, 1)), patch, seed)
    held, _ = held_out.counted([(0, 0, 0)], patch, CPU)
    assert held.sum() == 64


def test_seeds_differ_in_what_they_hold_out() -> None:
    grid = Grid((4, 4), (1, 1))
    offsets = {HeldOut.seeded(grid, (32, 32), seed).offset for seed in range(200)}
    assert len(offsets) == 16


def test_held_out_pixels_are_fixed_in_the_image_wherever_the_crop_begins() -> None:
    held_out = HeldOut(Grid((4, 6), (1, 3)), (1, 2))
    whole, _ = held_out.counted([(0, 0)], (30, 30), CPU)
    part, offsets = held_out.counted([(5, 7)], (12, 12), CPU)
    assert torch.equal(part[0], whole[0, :, 5:17, 7:19])
    hidden_there, _ = held_out.grid.masks((12, 12), offsets)
    assert torch.equal(part, hidden_there)  # the pass that validates them hides them


@pytest.mark.parametrize(
    ("spatial", "expected"),
    [
        ((500, 400), (96, 96)),
        ((50, 400), (50, 96)),
        ((40, 500, 50), (16, 48, 48)),
        ((2, 500, 500), (2, 96, 96)),
    ],
)
def test_a_patch_is_no_larger_than_the_image(
    spatial: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert patch_shape(spatial, TrainingConfig()) == expected


def test_a_crop_of_a_volume_costs_what_a_step_may() -> None:
    config = TrainingConfig(patch_size=512, pixels_per_step=100_000)
    assert math.prod(patch_shape((40, 900, 900), config)) <= 100_000
    small = replace(config, pixels_per_step=2000)
    assert patch_shape((40, 900, 900), small) == (16, 32, 32), "no crop is too small for the net"


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_validation_windows_are_distinct_lie_inside_and_hold_enough(data: st.DataObject) -> None:
    spatial = tuple(data.draw(st.integers(32, 300)) for _ in range(2))
    stack = Stack.of(np.broadcast_to(np.float32(0), (data.draw(st.integers(1, 20)), *spatial)))
    patch, grid = (32, 32), Grid((4, 4), (1, 1))
    seed = data.draw(st.integers(0, 99))
    windows = validation_windows(stack, patch, grid, seed)
    assert windows == validation_windows(stack, patch, grid, seed)
    assert len(set(windows)) == len(windows)
    for sample, origin in windows:
        assert 0 <= sample < stack.samples
        assert all(0 <= o <= n - p for o, n, p in zip(origin, spatial, patch, strict=True))
    total = stack.samples * math.prod(-(-n // p) for n, p in zip(spatial, patch, strict=True))
    held = len(windows) * math.prod(patch) // len(grid)
    assert held >= HELD_OUT or len(windows) == total
    if len(windows) == total:
        ends = [max(origin[axis] for _, origin in windows) + patch[axis] for axis in (0, 1)]
        assert tuple(ends) == spatial, "what lies at the far borders is looked at as well"
    assert held < HELD_OUT + math.prod(patch)
