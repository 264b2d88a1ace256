"""The optimisers: every parameter has one, and a step of Muon counts all directions alike."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_noise2self.core.networks import build_network
from napari_noise2self.core.optimizer import (
    SPECTRAL,
    AdamW,
    Muon,
    Optimizer,
    orthogonalized,
)


@pytest.mark.parametrize("shape", [(16, 16), (24, 144), (64, 20)])
def test_all_directions_of_an_orthogonalized_matrix_count_alike(shape: tuple[int, int]) -> None:
    rng = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=rng)
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    strengths = torch.logspace(0, -1.5, len(v))  # few directions dominate, as in a gradient
    found = orthogonalized((u * strengths @ v)[None])[0]
    values = torch.linalg.svdvals(found)
    assert 0.5 < values.min() <= values.max() < 1.3
    signs = torch.einsum("ik,ij,kj->k", u, found, v)  # along the directions that it had
    assert (signs > 0.5).all()


def test_a_matrix_of_zeros_stays_one() -> None:
    assert torch.equal(orthogonalized(torch.zeros(1, 16, 32)), torch.zeros(1, 16, 32))


def test_weights_of_one_shape_do_not_mix() -> None:
    rng = torch.Generator().manual_seed(0)
    shapes = [(16, 32, 3, 3), (48, 16, 1, 1), (16, 32, 3, 3)]
    together = [torch.zeros(shape) for shape in shapes]
    for weight in together:
        weight.grad = torch.randn(weight.shape, generator=rng)
    alone = [torch.zeros(shape) for shape in shapes]
    for weight, like in zip(alone, together, strict=True):
        weight.grad = like.grad
        Muon([weight]).step(0.01)
    Muon(together).step(0.01)
    for weight, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(weight, expected)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_a_step_has_the_learning_rate_for_its_norm_however_large_the_gradient(
    memory: torch.memory_format,
) -> None:
    rng = torch.Generator().manual_seed(0)
    steps = []
    for size in (1e-3, 1e3):
        weight = torch.zeros(16, 16, 3, 3).to(memory_format=memory)
        weight.grad = size * torch.randn(weight.shape, generator=rng.manual_seed(1))
        Muon([weight]).step(0.01)
        assert (weight * weight.grad).sum() < 0, "downhill"
        steps.append(weight)
    torch.testing.assert_close(steps[0], steps[1], rtol=1e-3, atol=1e-6)
    norm = torch.linalg.matrix_norm(steps[0].flatten(1), 2)
    assert 0.7 < norm / (SPECTRAL * 0.01) < 1.3


def test_adamw_is_torchs() -> None:
    rng = torch.Generator().manual_seed(0)
    start = torch.randn(5, generator=rng)
    ours, theirs = start.clone(), nn.Parameter(start.clone())
    mine, other = AdamW([ours]), torch.optim.AdamW([theirs])
    for rate in (0.1, 0.01, 0.003):
        ours.grad = theirs.grad = torch.randn(5, generator=rng)
        mine.step(rate)
        other.param_groups[0]["lr"] = rate
        other.step()
    torch.testing.assert_close(ours, theirs.detach())


@pytest.mark.parametrize("name", ["unet", "dncnn"])
@pytest.mark.parametrize(("width", "ndim", "kinds"), [(16, 2, 2), (16, 3, 2), (4, 2, 1)])
def test_each_parameter_has_one_optimizer(name: str, width: int, ndim: int, kinds: int) -> None:
    network = build_network(name, 0, ndim=ndim, channels=1, width=width, depth=1)
    optimizer = Optimizer(network)
    assert len(optimizer.parts) == kinds, "a network with no large matrix is AdamW's alone"
    owned = [p for part in optimizer.parts for p in part.parameters]
    assert len(owned) == len({id(p) for p in owned})
    assert {id(p) for p in owned} == {id(p) for p in network.parameters()}
