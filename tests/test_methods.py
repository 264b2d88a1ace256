"""The methods: what the loss is taken on, and what the passes add up to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from napari_noise2self.core.batch import Batch
from napari_noise2self.core.errors import ConfigError
from napari_noise2self.core.masks import Grid, donut_fill
from napari_noise2self.core.methods import (
    METHODS,
    PASSES_3D,
    Noise2Clean,
    Noise2Noise,
    Noise2Self,
    masked_mse,
    method_from_dict,
    method_to_dict,
)
from napari_noise2self.core.networks import UNet

GRID = Grid((4, 5), (1, 3))


def image(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_loss_is_taken_on_j_alone_and_on_what_counts() -> None:
    noisy = image(3, 2, 12, 15)
    offsets = torch.tensor([[0, 0], [3, 4], [1, 2]])
    counted = torch.rand((3, 1, 12, 15), generator=torch.Generator().manual_seed(1)) > 0.3
    inputs = []

    def network(x: Tensor) -> Tensor:
        inputs.append(x)
        return torch.zeros_like(x)

    loss = Noise2Self(GRID).loss(network, Batch(noisy, None, counted, offsets))
    targets, hidden = GRID.masks((12, 15), offsets)
    where = (targets & counted).expand_as(noisy)
    torch.testing.assert_close(loss, (noisy[where] ** 2).mean())
    assert torch.equal(inputs[0], donut_fill(noisy, hidden, GRID.footprint))


def test_the_gradient_comes_from_j_alone() -> None:
    noisy = image(1, 1, 12, 15)
    correction = torch.zeros_like(noisy, requires_grad=True)
    offsets = torch.tensor([[1, 2]])
    everywhere = torch.ones((1, 1, 12, 15), dtype=torch.bool)
    batch = Batch(noisy, None, everywhere, offsets)
    Noise2Self(GRID).loss(lambda x: x + correction, batch).backward()
    targets, _ = GRID.masks((12, 15), offsets)
    assert correction.grad is not None
    assert torch.equal(correction.grad != 0, targets)


def test_a_batch_without_a_counted_pixel_has_no_loss_and_no_nan() -> None:
    noisy = image(1, 1, 8, 8).requires_grad_()
    loss = masked_mse(noisy, torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8, dtype=torch.bool))
    loss.backward()
    assert loss.detach() == 0
    assert noisy.grad is not None
    assert (noisy.grad == 0).all()


@pytest.mark.parametrize("output", ["best", "j-invariant"])
@pytest.mark.parametrize("grid", [GRID, Grid((2, 2, 4), (1, 1, 3)), Grid((2, 3, 4), (1, 1, 3))])
def test_the_passes_hide_each_pixel_at_most_once(
    randomise: Callable[..., None], grid: Grid, output: Any
) -> None:
    ndim = len(grid.stride)
    shape = (5, 12, 13)[-ndim:]
    method = Noise2Self(grid)
    passes = method.passes(output)
    hidden = [p.offset for p in passes]
    assert len(set(hidden)) == len(hidden) <= len(grid)
    assert set(hidden) <= set(grid.offsets())
    if output == "j-invariant":
        assert len(passes) == len(grid), "the gather needs every pixel"
    else:
        assert len(passes) == (min(len(grid), PASSES_3D) if ndim == 3 else len(grid))
    assert [p.offset for p in passes] == [p.offset for p in method.passes(output)]
    network = UNet(ndim=ndim, channels=1, width=4, depth=1)
    randomise(network)
    x = image(1, 1, *shape)
    weight = torch.zeros(1, 1, *shape)
    with torch.no_grad():
        for which in passes:
            values, mask = method.run_pass(network, x, which, output)
            assert values.shape == x.shape
            assert values.isfinite().all()
            weight += mask
    assert (weight == (1 if output == "j-invariant" else len(passes))).all()


@pytest.mark.parametrize("grid", [GRID, Grid((4, 4), (3, 3)), Grid((6, 6), (5, 5))])
def test_no_pixel_of_a_plane_is_hidden_more_often_than_another(grid: Grid) -> None:
    """Or the best output shows the grid of those that are."""
    shape = tuple(4 * n for n in grid.stride)
    hidden = torch.zeros(1, 1, *shape)
    for which in Noise2Self(grid).passes("best"):
        hidden += grid.masks(shape, torch.tensor([which.offset]))[1]
    assert len(hidden[..., 4:-4, 4:-4].unique()) == 1  # holes are cut at the border


@pytest.mark.parametrize("cls", [Noise2Noise, Noise2Clean])
def test_pairs_hide_nothing_and_regress_on_the_target(cls: type[Noise2Noise]) -> None:
    noisy, target = image(2, 1, 8, 8), image(2, 1, 8, 8, seed=1)
    counted = torch.ones((2, 1, 8, 8), dtype=torch.bool)
    counted[0, 0, 0] = False
    offsets = torch.zeros((2, 2), dtype=torch.long)
    method = cls(Grid((4, 4), (1, 1)))
    loss = method.loss(lambda x: 2 * x, Batch(noisy, target, counted, offsets))
    torch.testing.assert_close(loss, ((2 * noisy - target) ** 2)[counted].mean())
    with pytest.raises(ConfigError, match='use output="best"'):
        method.passes("j-invariant")


@pytest.mark.parametrize("name", METHODS)
def test_a_method_comes_back_from_its_dictionary(name: str) -> None:
    method = METHODS[name](GRID)
    values = method_to_dict(method)
    assert values == {"name": name, "stride": (4, 5), "footprint": (1, 3), "context": 0}
    again = method_from_dict({**values, "stride": [4, 5], "footprint": [1, 3]})
    assert again == method
    assert type(again) is type(method)
