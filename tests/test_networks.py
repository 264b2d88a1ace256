"""The networks keep sizes, tell the truth about how far they look, and start where they say."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_noise2self import api
from napari_noise2self.core import networks
from napari_noise2self.core.networks import (
    BORDER,
    NETWORKS,
    Conv3d,
    Smooth,
    UNet,
    build_network,
    continued,
)

NAMES = sorted(NETWORKS)


def _network(name: str, ndim: int = 2, depth: int = 1, channels: int = 1) -> Any:
    return build_network(name, 0, ndim=ndim, channels=channels, width=4, depth=depth)


@pytest.mark.parametrize(("planes", "edge"), [(1, 96), (2, 96), (3, 96), (5, 33), (16, 12)])
def test_gradients_of_volumes_are_right_in_bfloat16(planes: int, edge: int) -> None:
    """Where torch's own convolution is wrong, or brings the process down."""
    torch.manual_seed(0)
    layer = Conv3d(8, 16, 3, padding=1)
    x = torch.randn(2, 8, planes, edge, edge, requires_grad=True)
    weight = torch.randn(2, 16, planes, edge, edge)
    exact = torch.autograd.grad((layer(x) * weight).sum(), [x, *layer.parameters()])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = layer(x)
    assert output.dtype is torch.bfloat16
    rounded = torch.autograd.grad((output.float() * weight).sum(), [x, *layer.parameters()])
    for a, b in zip(exact, rounded, strict=True):
        assert (a - b).norm() < 2**-7 * a.norm(), "more than bfloat16's rounding"


@pytest.mark.parametrize("planes", [1, 2, 5])
@pytest.mark.parametrize("channels", [1, 2])
def test_volumes_are_convolved_right_in_bfloat16(planes: int, channels: int) -> None:
    """With AVX-512, torch's own is wrong, now and then, for one plane of one channel."""
    torch.manual_seed(0)
    layer = Conv3d(channels, 32, 3, padding=1).to(memory_format=torch.channels_last_3d)
    for edge in (16, 33, 64, 96):
        x = torch.randn(1, channels, planes, edge, 64).to(memory_format=torch.channels_last_3d)
        with torch.no_grad():
            expected = layer(x)
            with torch.autocast("cpu", dtype=torch.bfloat16):
                found = layer(x).float()
        assert (found - expected).norm() < 2**-6 * expected.norm()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "depth"),
    [((33, 47), 2), ((32, 32), 3), ((37, 6), 3), ((5, 17, 19), 2), ((1, 8, 9), 1)],
)
def test_any_size_comes_back(
    randomise: Callable[..., None], name: str, shape: tuple[int, ...], depth: int
) -> None:
    network = _network(name, len(shape), depth, channels=2)
    randomise(network)
    output = network(torch.rand(3, 2, *shape))
    assert output.shape == (3, 2, *shape)
    assert output.dtype == torch.float32
    assert output.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("ndim", "depth"), [(2, 1), (2, 3), (3, 1), (3, 2)])
def test_no_output_pixel_looks_beyond_the_halo(
    randomise: Callable[..., None], name: str, ndim: int, depth: int
) -> None:
    """By the gradient of output pixels at both ends of the coarsest pooling cell."""
    network = _network(name, ndim, depth)
    randomise(network)
    along_z = (2 * network.halo[0] + 1 + network.divisor[0],) if ndim == 3 else ()
    plane = [(2 * h // d + 2) * d + d for h, d in zip(network.halo, network.divisor, strict=True)]
    shape = (*along_z, *plane[-2:])
    centre = [n // 2 // d * d for n, d in zip(shape, network.divisor, strict=True)]
    farthest = [0] * ndim
    for last in (False, True):
        at = tuple(c + (d - 1) * last for c, d in zip(centre, network.divisor, strict=True))
        x = torch.rand(1, 1, *shape, requires_grad=True)
        network(x)[(0, 0, *at)].backward()
        assert x.grad is not None
        places = x.grad[0, 0].nonzero() - torch.tensor(at)
        farthest = torch.maximum(torch.tensor(farthest), places.abs().amax(dim=0)).tolist()
    reserve = [h - f for h, f in zip(network.halo, farthest, strict=True)]
    assert min(reserve) >= 0
    assert max(reserve) <= 2 * max(network.divisor)  # honest, and not much more than it takes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("shape", "depth"), [((201, 64), 3), ((64, 50), 1), ((3, 70, 24), 2)])
def test_strips_make_what_the_whole_makes(
    randomise: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    shape: tuple[int, ...],
    depth: int,
    dtype: torch.dtype,
) -> None:
    """And no layer sees more rows at a time than it is meant to."""
    network = _network("unet", len(shape), depth)
    randomise(network)
    seen: list[int] = []
    network.encoder[0].second.register_forward_hook(lambda _, x, y: seen.append(y.shape[-2]))
    x = torch.rand(2, 1, *shape)
    with torch.no_grad(), torch.autocast("cpu", dtype=dtype, enabled=dtype != torch.float32):
        whole = network(x)
        monkeypatch.setattr(networks, "STRIP_BYTES", 1)
        strips = network(x)
    assert max(seen[1:]) == 20 < seen[0]  # 16 and two on each side
    assert np.ptp(whole.numpy()) > 0.1
    # Rounding apart: a convolution may sum in another order where there are other rows.
    torch.testing.assert_close(strips, whole, rtol=0, atol=1e-5 if dtype == torch.float32 else 0.02)


@pytest.mark.parametrize("ndim", [2, 3])
def test_a_unet_starts_as_a_gaussian_in_the_plane(ndim: int) -> None:
    x = torch.rand(1, 2, *(3, 20, 23)[-ndim:], generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        output = _network("unet", ndim, channels=2)(x)
    sigma = [0.0] * ndim
    sigma[-2:] = [Smooth.sigma] * 2
    for channel, smoothed in zip(x[0].numpy(), output[0].numpy(), strict=True):
        expected = ndimage.gaussian_filter(channel, sigma, mode="mirror", radius=5)
        np.testing.assert_allclose(smoothed, expected, rtol=1e-5, atol=1e-6)


def test_the_smoothing_is_as_exact_under_autocast() -> None:
    """In bfloat16 it would show as bands in bright, flat places."""
    x = 10 + torch.rand(1, 1, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        smoothed = Smooth()(x)
    assert torch.equal(smoothed, Smooth()(x))


def test_a_dncnn_starts_as_the_smoothing() -> None:
    """From the image itself it would hand the pixels that are not hidden through."""
    x = torch.rand(1, 1, 9, 8)
    with torch.no_grad():
        assert torch.equal(_network("dncnn")(x), Smooth()(x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_constant_image_gives_no_checkerboard(
    randomise: Callable[..., None], name: str, ndim: int
) -> None:
    network = _network(name, ndim, depth=1)
    randomise(network)
    shape = [2 * h + 8 for h in network.halo]
    with torch.no_grad():
        output = network(torch.full((1, 1, *shape), 2.0))
    inside = output[(0, 0, *(slice(h, n - h) for h, n in zip(network.halo, shape, strict=True)))]
    assert float(inside.amax() - inside.amin()) < 1e-5 * float(inside.abs().amax())


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize("mirror", [(), (-2, -1)])
def test_zeros_beyond_the_border_do_not_reach_the_image(
    ndim: int, mirror: tuple[int, ...], randomise: Callable[..., None]
) -> None:
    """In a network that looks no further than the image is continued."""
    network = _network("dncnn", ndim)
    randomise(network)
    assert max(network.halo) <= BORDER
    x = torch.full((1, 1, *(20, 17, 19)[-ndim:]), 3.0)
    inner = (..., 9, slice(None), slice(None)) if ndim == 3 else ...  # z is not continued
    with torch.no_grad():
        alone, values = network(x)[inner], continued(network, x, mirror)[inner]
    assert values.std() < 1e-5 < alone.std()
    assert continued(network, x, mirror).shape == x.shape


@pytest.mark.parametrize("mirror", [(), (-1,), (-2, -1)])
def test_a_continued_image_falls_on_the_same_pools(
    mirror: tuple[int, ...], randomise: Callable[..., None]
) -> None:
    network = _network("unet", depth=2)
    randomise(network)
    x = torch.rand(1, 1, 128, 96)
    with torch.no_grad():
        part, whole = network(x.flip(mirror)).flip(mirror), continued(network, x, mirror)
    inner = (..., *(slice(h, -h) for h in network.halo))
    torch.testing.assert_close(whole[inner], part[inner], rtol=1e-4, atol=1e-5)


def test_three_dimensions_pool_the_plane_first() -> None:
    assert UNet(ndim=3, channels=1, width=4, depth=1).divisor == (1, 2, 2)
    assert UNet(ndim=3, channels=1, width=4, depth=3).divisor == (4, 8, 8)
    assert UNet(ndim=2, channels=1, width=4, depth=3).divisor == (8, 8)


def test_a_seed_gives_one_network_in_any_thread_and_under_any_default(
    random_denoiser: Callable[..., api.Denoiser],
) -> None:
    denoiser = random_denoiser()
    first = denoiser.build().state_dict()
    with ThreadPoolExecutor(4) as pool:
        for network in pool.map(lambda _: denoiser.build(), range(16)):
            assert all(torch.equal(v, first[name]) for name, v in network.state_dict().items())
    torch.set_default_dtype(torch.float64)
    try:
        wide = denoiser.build().state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    assert all(torch.equal(wide[name], first[name]) for name in first)
    with torch.inference_mode():
        assert not any(p.is_inference() for p in denoiser.build().parameters())


def test_a_seed_gives_one_network_and_leaves_the_global_generator_alone(
    random_denoiser: Callable[..., api.Denoiser],
) -> None:
    denoiser = random_denoiser()
    before = torch.get_rng_state()
    first, second = denoiser.build().state_dict(), denoiser.build().state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(first[name], second[name]) for name in first)
    denoiser.config = replace(denoiser.config, seed=1)
    other = denoiser.build().state_dict()
    assert not any(
        torch.equal(other[name], first[name]) for name in first if name.endswith("first.weight")
    )
