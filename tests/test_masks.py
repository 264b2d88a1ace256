"""J-partitions, holes, and the fill: who is a target, who is hidden, what stands in for them."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor

from napari_noise2self.core.errors import ConfigError
from napari_noise2self.core.masks import Grid, donut_fill


@st.composite
def grids(draw: st.DrawFn) -> Grid:
    """Any grid in 2-D or 3-D: square, line and anisotropic holes, tight and wide strides."""
    ndim = draw(st.sampled_from([2, 3]))
    footprint = tuple(draw(st.sampled_from([1, 3, 5])) for _ in range(ndim))
    return Grid(tuple(w + draw(st.integers(1, 3)) for w in footprint), footprint)


def shapes(grid: Grid) -> st.SearchStrategy[tuple[int, ...]]:
    """Any extent, smaller than the stride too."""
    return st.tuples(*(st.integers(1, 9) for _ in grid.stride))


@settings(deadline=None)
@given(st.data())
def test_the_j_sets_hold_every_pixel_once(data: st.DataObject) -> None:
    grid = data.draw(grids())
    shape = data.draw(shapes(grid))
    offsets = list(grid.offsets())
    assert len(grid) == len(offsets) == len(set(offsets))
    targets, _ = grid.masks(shape, torch.tensor(offsets))
    assert targets.shape == (len(grid), 1, *shape)
    assert (targets.sum(dim=0) == 1).all()


@settings(deadline=None)
@given(st.data())
def test_h_is_j_grown_by_the_footprint(data: st.DataObject) -> None:
    grid = data.draw(grids())
    shape = data.draw(shapes(grid))
    offset = [data.draw(st.integers(-20, 20)) for _ in shape]  # a tile's J-set begins before it
    margin = [w // 2 for w in grid.footprint]  # targets outside the image hide pixels inside
    wide = tuple(n + 2 * m for n, m in zip(shape, margin, strict=True))
    moved = [o + m for o, m in zip(offset, margin, strict=True)]
    targets, hidden = grid.masks(shape, torch.tensor([offset]))
    around, _ = grid.masks(wide, torch.tensor([moved]))
    grown = ndimage.maximum_filter(around[0, 0].numpy(), size=grid.footprint)
    inner = tuple(slice(m, m + n) for m, n in zip(margin, shape, strict=True))
    assert (hidden[0, 0].numpy() == grown[inner]).all()
    assert not (targets & ~hidden).any()


def test_each_sample_has_its_own_offset() -> None:
    targets, _ = Grid((4, 4), (1, 1)).masks((8, 8), torch.tensor([[0, 1], [3, 2]]))
    assert targets[0, 0].nonzero().tolist() == [[0, 1], [0, 5], [4, 1], [4, 5]]
    assert targets[1, 0].nonzero().tolist() == [[3, 2], [3, 6], [7, 2], [7, 6]]


def test_a_single_pixel_is_hidden_alone_and_a_line_as_a_line() -> None:
    targets, hidden = Grid((4, 4), (1, 1)).masks((8, 8), torch.tensor([[1, 1]]))
    assert torch.equal(targets, hidden)
    _, hidden = Grid((4, 6), (1, 5)).masks((4, 6), torch.tensor([[1, 2]]))
    assert hidden[0, 0].nonzero().tolist() == [[1, x] for x in range(5)]


@pytest.mark.parametrize(
    ("stride", "footprint", "mend"),
    [
        ((4, 3), (1, 3), "use a stride of 4 or more"),
        ((4, 1), (1, 1), "use a stride of 2 or more"),
        ((4, 4), (1, 2), "must be odd"),
        ((4, 4), (1, -1), "must be odd"),
        ((4, 4), (1, 1, 1), "one number for each spatial axis"),
    ],
)
def test_a_grid_that_hides_everything_is_refused(
    stride: tuple[int, ...], footprint: tuple[int, ...], mend: str
) -> None:
    with pytest.raises(ConfigError, match=mend):
        Grid(stride, footprint)


def test_a_wide_hole_raises_the_stride_along_its_axis_alone() -> None:
    assert Grid.for_footprint((1, 9), 4) == Grid((4, 10), (1, 9))
    assert Grid.for_footprint([1, 3, 3], 4) == Grid((4, 4, 4), (1, 3, 3))


def _hidden(grid: Grid, shape: tuple[int, ...], offset: tuple[int, ...]) -> Tensor:
    return grid.masks(shape, torch.tensor([offset]))[1]


@settings(deadline=None, max_examples=50)
@given(st.data())
def test_the_fill_is_an_average_of_visible_neighbours(data: st.DataObject) -> None:
    """Within the range of the visible pixels around it, so that no border is darkened."""
    grid = data.draw(grids())
    shape = data.draw(shapes(grid))  # as thin as you like, but not all hidden
    shape = (*shape[:-1], max(shape[-1], grid.stride[-1]))
    offset = tuple(data.draw(st.integers(0, s - 1)) for s in grid.stride)
    hidden = _hidden(grid, shape, offset)
    x = torch.rand((1, 2, *shape), generator=torch.Generator().manual_seed(1)) + 5
    filled = donut_fill(x, hidden, grid.footprint)
    assert torch.equal(filled[:, :, ~hidden[0, 0]], x[:, :, ~hidden[0, 0]])
    size = [2 * width + 1 for width in grid.footprint]
    for channel in range(2):
        seen = x[0, channel].masked_fill(hidden[0, 0], -torch.inf).numpy()
        high = ndimage.maximum_filter(seen, size=size, mode="constant", cval=-torch.inf)
        seen = x[0, channel].masked_fill(hidden[0, 0], torch.inf).numpy()
        low = ndimage.minimum_filter(seen, size=size, mode="constant", cval=torch.inf)
        assert (filled[0, channel].numpy() <= high + 1e-5).all()
        assert (filled[0, channel].numpy() >= low - 1e-5).all()


@pytest.mark.parametrize(
    "grid", [Grid((4, 4), (1, 1)), Grid((4, 10), (1, 9)), Grid((3, 6, 6), (1, 5, 5))]
)
@pytest.mark.parametrize("value", [1.0, -1e4, 3e-5])
def test_a_constant_image_stays_constant(grid: Grid, value: float) -> None:
    shape = (5, 20, 20)[-len(grid.stride) :]
    x = torch.full((1, 1, *shape), value)
    for offset in itertools.islice(grid.offsets(), 0, None, 7):
        filled = donut_fill(x, _hidden(grid, shape, offset), grid.footprint)
        torch.testing.assert_close(filled, x, rtol=5e-6, atol=0)


def test_the_fill_weighs_near_neighbours_more() -> None:
    x = torch.zeros((1, 1, 5, 5))
    x[0, 0, 2, 1] = 1.0  # beside the hidden pixel
    x[0, 0, 1, 3] = 2.0  # at its corner
    hidden = torch.zeros((1, 1, 5, 5), dtype=torch.bool)
    hidden[0, 0, 2, 2] = True
    side, corner = torch.exp(torch.tensor([-0.5, -1.0]))
    expected = (side + 2 * corner) / (4 * side + 4 * corner)
    torch.testing.assert_close(donut_fill(x, hidden, (1, 1))[0, 0, 2, 2], expected)


def test_the_fill_is_as_exact_under_autocast() -> None:
    x = torch.full((1, 1, 9, 9), 10.123)
    hidden = _hidden(Grid((4, 4), (3, 3)), (9, 9), (1, 1))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        filled = donut_fill(x, hidden, (3, 3))
    assert filled.dtype == torch.float32
    torch.testing.assert_close(filled, x, rtol=5e-6, atol=0)


def test_a_hole_as_wide_as_the_image_is_filled_with_the_mean() -> None:
    x = torch.ones((1, 1, 3, 3))
    filled = donut_fill(x, torch.ones((1, 1, 3, 3), dtype=torch.bool), (1, 1))
    assert (filled == 0).all()  # of normalized intensities
