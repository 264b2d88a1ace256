"""Tiles cover the image once, reach as far as the network looks, and stay aligned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_noise2self.core.errors import ConfigError
from napari_noise2self.core.tiling import Tile, Tiling


@st.composite
def tilings(draw: st.DrawFn) -> Tiling:
    """Any extent, halo and divisor, in 2-D or 3-D."""
    ndim = draw(st.sampled_from([2, 3]))
    axes = range(ndim)
    return Tiling(
        tuple(draw(st.integers(1, 60)) for _ in axes),
        tuple(draw(st.integers(0, 12)) for _ in axes),
        tuple(draw(st.sampled_from([1, 2, 4, 8])) for _ in axes),
    )


def check(tiling: Tiling, tiles: list[Tile]) -> None:
    covered = np.zeros(tiling.shape, int)
    for tile in tiles:
        covered[tile.window] += 1
        for w, r, i, n, h, d in zip(
            tile.window,
            tile.reach,
            tile.inner,
            tiling.shape,
            tiling.halo,
            tiling.divisor,
            strict=True,
        ):
            assert r.start % d == 0  # pooling falls on the same pixels
            assert r.stop % d == 0 or r.stop == n
            assert 0 <= r.start <= max(0, w.start - h)
            assert min(n, w.stop + h) <= r.stop <= n
            assert (r.start + i.start, r.start + i.stop) == (w.start, w.stop)
        assert tile.origin == tuple(r.start for r in tile.reach)
    assert (covered == 1).all()


@settings(deadline=None)
@given(st.data())
def test_tiles_cover_the_image_once_and_reach_over_the_halo(data: st.DataObject) -> None:
    tiling = data.draw(tilings())
    check(tiling, tiling.cut(tuple(data.draw(st.integers(1, 70)) for _ in tiling.shape)))


@settings(deadline=None, max_examples=40)
@given(st.data())
def test_halved_tiles_cover_the_same_pixels_until_there_is_no_smaller_one(
    data: st.DataObject,
) -> None:
    tiling = data.draw(tilings())
    tiles = tiling.cut(tiling.shape)
    extent = list(tiling.shape)
    for _ in range(data.draw(st.integers(1, 4))):
        halves = [half for tile in tiles for half in tiling.halve(tile) or [tile]]
        check(tiling, halves)
        tiles = halves
    smallest = tiling.cut((1,) * len(extent))
    assert all(
        tiling.halve(tile) == []
        for tile in smallest
        if all(w.stop - w.start <= d for w, d in zip(tile.window, tiling.divisor, strict=True))
    )


@settings(deadline=None)
@given(tilings(), st.integers(1, 10_000))
def test_the_largest_tile_fits_where_any_fits(tiling: Tiling, pixels: int) -> None:
    def over(size: tuple[int, ...]) -> int:
        whole = zip(tiling.shape, size, tiling.halo, strict=True)
        return math.prod(min(n, s + 2 * h) for n, s, h in whole)

    size = tiling.largest(pixels)
    assert all(1 <= s <= n for s, n in zip(size, tiling.shape, strict=True))
    if over(size) > pixels:  # not even the smallest would
        assert all(s <= d for s, d in zip(size, tiling.divisor, strict=True))
    if over(tiling.shape) <= pixels:
        assert size == tiling.shape


def test_the_longest_axis_is_cut_first() -> None:
    tiling = Tiling((1024, 256), (8, 8), (8, 8))
    assert tiling.largest(300 * 300) == (256, 256)
    (left, right) = tiling.halve(tiling.tile((slice(0, 64), slice(0, 256))))
    assert (left.window[1], right.window[1]) == (slice(0, 128), slice(128, 256))


@pytest.mark.parametrize("size", [(0, 8), (8,), (8, 8, 8), (-1, 8)])
def test_a_tile_of_the_wrong_extent_is_refused(size: tuple[int, ...]) -> None:
    with pytest.raises(ConfigError, match=r"expected 2 sizes above 0"):
        Tiling((64, 64), (8, 8), (8, 8)).cut(size)


def test_no_window_is_cut_below_what_is_asked_for() -> None:
    tiling = Tiling(shape=(24, 160, 160), halo=(33, 65, 65), divisor=(4, 8, 8))
    assert tiling.largest(1000, at_least=tiling.halo) == (24, 80, 80)
    assert tiling.largest(1000) < (24, 80, 80)
