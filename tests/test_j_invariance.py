"""The promise that everything rests on: what is hidden cannot reach the output on J.

Bit for bit, at every border, for every hole, with random weights: a network
that was never trained ends in a layer of zeros and would hide a leak.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_noise2self.core.config import Output
from napari_noise2self.core.masks import Grid, donut_fill
from napari_noise2self.core.methods import MIRRORS, Noise2Self, Pass
from napari_noise2self.core.networks import UNet
from napari_noise2self.denoiser import Denoiser

# The images are unlike what the denoisers' statistics say.
pytestmark = pytest.mark.filterwarnings("ignore:channel . has mean")

Case = tuple[Grid, tuple[int, ...], tuple[int, ...], int, float]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """A grid, an extent, one of its J-sets, a number of channels, the size of a change."""
    ndim = draw(st.sampled_from([2, 3]))
    footprint = tuple(draw(st.sampled_from([1, 3, 5])) for _ in range(ndim))
    stride = tuple(w + draw(st.integers(1, 3)) for w in footprint)
    plane = (draw(st.integers(6, 17)), draw(st.integers(6, 17)))
    shape = plane if ndim == 2 else (draw(st.integers(1, 5)), *plane)
    offset = tuple(draw(st.integers(0, min(s, n) - 1)) for s, n in zip(stride, shape, strict=True))
    return (
        Grid(stride, footprint),
        shape,
        offset,
        draw(st.integers(1, 3)),
        draw(st.sampled_from([1.0, 1e6])),
    )


LINE: Case = (Grid((2, 10), (1, 9)), (12, 23), (0, 0), 1, 1e6)
ANISOTROPIC: Case = (Grid((2, 6, 4), (1, 5, 3)), (3, 13, 11), (1, 5, 0), 2, 1e6)


def _change(x: Tensor, where: Tensor, scale: float) -> Tensor:
    """Add `scale` times noise to all channels of the pixels in `where`."""
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(9))
    return torch.where(where, x + scale * (noise.sign() + noise), x)


def _image(channels: int, shape: tuple[int, ...]) -> Tensor:
    return torch.randn((1, channels, *shape), generator=torch.Generator().manual_seed(3))


@settings(deadline=None)
@given(cases())
@example(LINE)
@example(ANISOTROPIC)
def test_the_fill_does_not_see_hidden_pixels(case: Case) -> None:
    grid, shape, offset, channels, scale = case
    x = _image(channels, shape)
    _, hidden = grid.masks(shape, torch.tensor([offset]))
    filled = donut_fill(x, hidden, grid.footprint)
    assert torch.equal(donut_fill(_change(x, hidden, scale), hidden, grid.footprint), filled)
    not_a_number = x.masked_fill(hidden, torch.nan)
    assert torch.equal(donut_fill(not_a_number, hidden, grid.footprint), filled)


@settings(deadline=None, max_examples=40)
@given(cases(), st.sampled_from(MIRRORS))
@example(LINE, (-1,))
@example(ANISOTROPIC, (-2, -1))
def test_a_pass_does_not_see_hidden_pixels(
    randomise: Callable[..., None], case: Case, mirror: tuple[int, ...]
) -> None:
    grid, shape, offset, channels, scale = case
    network = UNet(ndim=len(shape), channels=channels, width=4, depth=1)
    randomise(network)
    method = Noise2Self(grid)
    x = _image(channels, shape)
    targets, hidden = grid.masks(shape, torch.tensor([offset]))
    with torch.no_grad():
        values, counted = method.run_pass(network, x, Pass(offset, mirror), "j-invariant")
        assert torch.equal(counted, targets)
        again, _ = method.run_pass(
            network, _change(x, hidden, scale), Pass(offset, mirror), "j-invariant"
        )
        assert torch.equal(again[:, :, targets[0, 0]], values[:, :, targets[0, 0]])
        if not hidden.all():  # the test can fail: what is visible does reach the output
            moved, _ = method.run_pass(
                network, _change(x, ~hidden, 1.0), Pass(offset, mirror), "j-invariant"
            )
            assert not torch.equal(moved[:, :, targets[0, 0]], values[:, :, targets[0, 0]])


PREDICTED = [
    Grid((4, 4), (1, 1)),
    Grid((2, 3), (1, 1)),
    Grid((4, 5), (3, 3)),
    Grid((6, 6), (5, 5)),
    Grid((2, 10), (1, 9)),
    Grid((6, 2), (5, 1)),
    Grid((2, 3, 3), (1, 1, 1)),
    Grid((2, 2, 6), (1, 1, 5)),
    Grid((4, 4, 2), (3, 3, 1)),
]


@settings(deadline=None, max_examples=15)
@given(st.sampled_from(PREDICTED), st.integers(1, 2), st.sampled_from([1.0, 1e6]), st.data())
def test_the_gather_does_not_see_a_pixel_and_its_hole(
    random_denoiser: Callable[..., Denoiser],
    grid: Grid,
    channels: int,
    scale: float,
    data: st.DataObject,
) -> None:
    """Change a pixel and all that its hole hides; its own value stays, bit for bit."""
    shape = (3, 32, 33)[-len(grid.stride) :]
    axes = "C" + "ZYX"[-len(shape) :]
    denoiser = random_denoiser(
        axes, channels=channels, stride=grid.stride, footprint=grid.footprint
    )
    pixel = tuple(
        data.draw(st.sampled_from([0, n - 1]) | st.integers(0, n - 1), label="pixel") for n in shape
    )
    hole = np.ones(shape, dtype=bool)
    for axis, (at, width, n) in enumerate(zip(pixel, grid.footprint, shape, strict=True)):
        near = np.abs(np.arange(n) - at) <= width // 2
        hole &= near.reshape([-1 if a == axis else 1 for a in range(len(shape))])

    noisy = 100 + 10 * _image(channels, shape)[0].numpy()

    def gather(image: NDArray[np.float32]) -> NDArray[np.float32]:
        return denoiser.predict(image, axes, output="j-invariant")[(slice(None), *pixel)]

    before = gather(noisy)
    assert np.array_equal(before, gather(noisy + scale * hole.astype(np.float32)))
    assert not np.array_equal(before, gather(noisy + 50 * ~hole))


@pytest.mark.parametrize(
    ("axes", "shape", "footprint", "changes"),
    [
        ("YX", (40, 37), (1, 1), {}),
        ("YX", (33, 40), (5, 5), {"precision": "bfloat16"}),
        ("YX", (33, 40), (3, 3), {"network": "dncnn"}),
        ("TYX", (2, 33, 40), (1, 9), {}),
        ("CYX", (3, 40, 33), (3, 1), {}),
        ("YXC", (33, 35, 3), (3, 3), {}),
        ("ZYX", (5, 33, 32), (1, 1, 1), {}),
        ("CZYX", (2, 3, 32, 33), (1, 1, 3), {}),
    ],
)
def test_the_gather_on_j_ignores_a_change_of_all_that_is_hidden(
    random_denoiser: Callable[..., Denoiser],
    axes: str,
    shape: tuple[int, ...],
    footprint: tuple[int, ...],
    changes: dict[str, Any],
) -> None:
    sizes = dict(zip(axes, shape, strict=True))
    channels = sizes.get("C", 1)
    grid = Grid.for_footprint(footprint, 2)
    denoiser = random_denoiser(
        axes, channels=channels, stride=grid.stride, footprint=grid.footprint, **changes
    )
    spatial = tuple(sizes[a] for a in "ZYX" if a in axes)
    noisy = 100 + 10 * np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    before = denoiser.predict(noisy, output="j-invariant", tile=(16,) * len(spatial))
    for offset in [(0,) * len(spatial), tuple(s - 1 for s in grid.stride)]:
        targets, hidden = (m[0, 0].numpy() for m in grid.masks(spatial, torch.tensor([offset])))
        if axes == "YXC":
            targets, hidden = targets[..., None], hidden[..., None]
        changed = np.where(hidden, 1e6, noisy)
        after = denoiser.predict(changed, output="j-invariant", tile=(16,) * len(spatial))
        there = np.broadcast_to(targets, shape)
        assert there.any()
        assert np.array_equal(before[there], after[there])
        assert not np.array_equal(before[~there], after[~there])


def test_the_best_output_does_see_the_pixel_itself(
    random_denoiser: Callable[..., Denoiser],
) -> None:
    """Which is why it is better, and why the gather is a second output."""
    denoiser = random_denoiser()
    noisy = np.full((32, 32), 100, np.float32)
    changed = noisy.copy()
    changed[16, 16] += 50
    outputs: tuple[Output, Output] = ("best", "j-invariant")
    best, gather = (denoiser.predict(changed, output=o) - denoiser.predict(noisy, output=o)
                    for o in outputs)  # fmt: skip
    assert best[16, 16] != 0
    assert gather[16, 16] == 0


def test_a_leak_would_be_found() -> None:
    """A method that fills with the median of all neighbours, hidden ones too, is caught."""
    grid, shape = Grid((4, 4), (3, 3)), (12, 12)
    x = _image(1, shape)
    _, hidden = grid.masks(shape, torch.tensor([(1, 1)]))

    def leaky(values: Tensor) -> Tensor:
        mean = nn.functional.avg_pool2d(values, 3, stride=1, padding=1)
        return torch.where(hidden, mean, values)

    assert not torch.equal(leaky(_change(x, hidden, 1.0)), leaky(x))
