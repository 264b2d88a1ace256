"""The networks: what sizes they take (`divisor`) and how far they look (`halo`)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .filters import gaussian_weights, weighted_sum

BORDER = 8
"""Pixels, rounded up to the divisor, by which an image is continued on each side."""

SLOPE = 0.1  # of the LeakyReLU, and so of the initialisation that goes with it

STRIP_BYTES = 2**24
"""Features of the rows that a block of layers takes at a time on a CPU: memory of this size is kept
when it is freed (`keep_freed_memory`), and the next layer finds some of it in the cache."""


class Network(Protocol):
    """A module that maps (N, inputs, *spatial) to (N, channels, *spatial), and its geometry."""

    divisor: tuple[int, ...]
    """A window must start at a multiple of these to be computed as within the whole."""
    halo: tuple[int, ...]
    """How far, in pixels along each axis, an output pixel looks."""
    values_per_pixel: int
    """Feature values alive at once for each pixel, at most, to budget memory with."""

    def __call__(self, x: Tensor) -> Tensor:
        """Map (N, inputs, *spatial) to (N, channels, *spatial); any size is taken."""
        ...


class Conv3d(nn.Conv3d):
    """A 3-D convolution that is right in bfloat16 on a CPU as well.

    There torch's own (2.13, oneDNN) writes past its memory, or returns a wrong
    weight gradient, for inputs of few planes, and for a single plane of a single
    channel a wrong result. Training under CPU autocast, and a single plane,
    therefore go plane by plane: neighbouring planes become channels of one
    2-D convolution, which is the same sum.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, Z, Y, X) to (N, outputs, Z, Y, X)."""
        reduced = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        doubtful = torch.is_grad_enabled() or x.shape[2] == 1
        planewise = self.kernel_size[0] > 1 and reduced and doubtful
        return self._by_planes(x) if planewise else super().forward(x)

    def _by_planes(self, x: Tensor) -> Tensor:
        depth = self.kernel_size[0]
        n, channels, planes, *plane = x.shape
        padding = self.padding[0]
        assert not isinstance(padding, str)
        x = F.pad(x.to(torch.bfloat16), (0, 0, 0, 0, padding, padding)).transpose(1, 2)
        near = torch.cat([x[:, z : z + planes] for z in range(depth)], dim=2)
        kernel = self.weight.transpose(1, 2).flatten(1, 2)  # (outputs, Z * C, Y, X), as in `near`
        y = F.conv2d(
            near.reshape(n * planes, depth * channels, *plane),
            kernel,
            self.bias,
            padding=self.padding[1:],
        )
        return y.view(n, planes, -1, *plane).transpose(1, 2)


def _conv(ndim: int, inputs: int, outputs: int, size: int = 3) -> nn.Module:
    layer = Conv3d if ndim == 3 else nn.Conv2d
    return layer(inputs, outputs, size, padding=size // 2)


@torch.no_grad()
def initialise(network: UNet | DnCNN, generator: torch.Generator) -> None:
    """Draw the weights (He et al., ICCV 2015); the last layer starts at zero.

    So a training starts from the smoothing that the network corrects.
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Conv3d):
            fan_in = layer.weight[0].numel()
            gain = nn.init.calculate_gain("leaky_relu", SLOPE)
            layer.weight.normal_(0.0, gain / math.sqrt(fan_in), generator=generator)
            if layer.bias is not None:
                layer.bias.zero_()
    for parameter in network.last.parameters():
        parameter.zero_()


def padded(x: Tensor, divisor: tuple[int, ...]) -> Tensor:
    """Extend (N, C, *spatial) at its far ends to a multiple of the divisor."""
    missing = [-n % d for n, d in zip(x.shape[2:], divisor, strict=True)]
    if not any(missing):
        return x
    return F.pad(x, [v for m in reversed(missing) for v in (0, m)], mode="replicate")


def continued(network: Network, x: Tensor, axes: tuple[int, ...] = ()) -> Tensor:
    """Apply `network` to an image continued beyond its border, and mirrored along `axes`.

    The network's convolutions see zeros outside. Pixels of the border, repeated,
    keep these away from the image, whose border gains 0.3 dB and more. In the
    plane alone: planes are few. Hidden pixels must be filled by now, or their
    copies would show them. The extent becomes a multiple of the divisor, so that
    pooling falls on the same pixels in a tile as in the whole image.
    """
    before = [0] * (x.ndim - 4) + [-(-BORDER // d) * d for d in network.divisor[-2:]]
    sides = [v for b in reversed(before) for v in (b, b)]
    wide = padded(F.pad(x, sides, mode="replicate"), network.divisor)
    output = network(wide.flip(axes)).flip(axes)
    inner: tuple[Any, ...] = tuple(
        slice(b, b + n) for b, n in zip(before, x.shape[2:], strict=True)
    )
    return output[(..., *inner)]


def _by_strips(like: Tensor, channels: int, block: Callable[[int, int], Tensor]) -> Tensor:
    """Return what `block` makes of all rows, in strips where `like` is large.

    Not where a gradient is wanted, which has to keep everything between the layers, nor on a
    GPU, whose allocator keeps what is freed.

    Parameters
    ----------
    like
        Has the rows and the extent of the output, (N, C, *spatial).
    channels
        Features that the block makes of each pixel on the way.
    block
        Takes the first row and the one after the last, and returns (N, outputs, *spatial) for
        them; within `_Block.reach` of a cut these may be wrong.
    """
    rows = like.shape[-2]
    per_row = like.numel() // like.shape[1] // rows * channels * like.itemsize
    height = max(8 * _Block.reach, STRIP_BYTES // per_row)  # the reach is computed twice
    if height >= rows or like.device.type != "cpu" or torch.is_grad_enabled():
        return block(0, rows)
    output = None
    for first in range(0, rows, height):
        stop = min(first + height, rows)
        top, bottom = max(0, first - _Block.reach), min(rows, stop + _Block.reach)
        strip = block(top, bottom)[..., first - top : stop - top, :]
        if output is None:
            layout = torch.channels_last_3d if like.ndim == 5 else torch.channels_last
            shape = (*strip.shape[:2], *like.shape[2:])
            output = torch.empty(shape, dtype=strip.dtype, memory_format=layout)
        output[..., first:stop, :] = strip
    assert output is not None
    return output


class Smooth(nn.Module):
    """Gaussian smoothing in the plane, the starting point that a network corrects.

    Planes in z lie too far apart to be smoothed together. The border is
    reflected: the input holds no hidden pixel any more, so nothing can leak.
    """

    sigma = 1.5

    def __init__(self) -> None:
        super().__init__()
        self.radius = int(3 * self.sigma + 0.5)
        line = gaussian_weights(self.sigma, self.radius)
        self.weights = [weight / sum(line) for weight in line]

    def forward(self, x: Tensor) -> Tensor:
        """Smooth (N, C, *spatial) in float32."""
        planes = x.float().flatten(1, -3)  # (N, C * Z, Y, X)
        around = F.pad(planes, (self.radius,) * 4, mode="reflect")
        for axis in (-2, -1):
            around = weighted_sum(around, self.weights, axis)
        return around.reshape(x.shape)


class _Block(nn.Module):
    """Two convolutions, each with its LeakyReLU."""

    reach = 2
    """How many rows beyond its own one of its output looks at."""

    def __init__(self, ndim: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = _conv(ndim, inputs, outputs)
        self.second = _conv(ndim, outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.first(x), SLOPE, inplace=True)
        return F.leaky_relu(self.second(x), SLOPE, inplace=True)


class UNet(nn.Module):
    """A U-Net that learns the correction of a Gaussian smoothing.

    Average pooling and linear upsampling leave no checkerboard. What was upsampled
    is added to the skip instead of laid beside it (as in LinkNet), which is as good
    for a fifth less arithmetic. There is no batch normalization, whose running
    statistics do not fit averaged weights. In 3-D the first level pools the plane
    alone, since steps in z are coarser.

    Parameters
    ----------
    ndim
        2 or 3.
    channels
        Channels of the image, in and out.
    inputs
        Channels in, those of the image first; more than `channels` where
        neighbouring frames are seen. None for `channels`.
    width
        Feature channels at full resolution; twice as many at the next level, four
        times at all lower ones.
    depth
        Number of times the resolution is halved.

    References
    ----------
    Ronneberger et al., "U-Net", MICCAI 2015.
    Chaurasia and Culurciello, "LinkNet", VCIP 2017.
    """

    def __init__(
        self, *, ndim: int, channels: int, width: int, depth: int, inputs: int | None = None
    ) -> None:
        super().__init__()
        self.channels = channels
        self.widths = widths = [width, 2 * width] + [4 * width] * (depth - 1)
        self.pools = [(1, 2, 2) if ndim == 3 and level == 0 else (2,) * ndim
                      for level in range(depth)]  # fmt: skip
        self.divisor = tuple(math.prod(axis) for axis in zip(*self.pools, strict=True))
        self.halo = self._halo(depth)
        self.values_per_pixel = 4 * width  # skip, upsampled, their sum, what it gives
        self.smooth = Smooth()
        self.encoder = nn.ModuleList(
            _Block(ndim, (inputs or channels) if level == 0 else widths[level - 1], widths[level])
            for level in range(depth + 1)
        )
        # Before upsampling, not after: both are linear and commute, and this way costs a quarter.
        self.narrow = nn.ModuleList(
            _conv(ndim, widths[level + 1], widths[level], size=1)
            for level in reversed(range(depth))
        )
        self.decoder = nn.ModuleList(
            _Block(ndim, widths[level], widths[level]) for level in reversed(range(depth))
        )
        self.last = _conv(ndim, width, channels, size=1)
        self.upsampling = "trilinear" if ndim == 3 else "bilinear"

    def _halo(self, depth: int) -> tuple[int, ...]:
        """Sum what each layer adds, at the scale of its level; an upper bound."""
        reach = []
        for axis in range(len(self.divisor)):
            scale, scales = 1, [1]
            for pool in self.pools:
                scale *= pool[axis]
                scales.append(scale)
            total = sum(4 * s for s in scales[:-1]) + 2 * scales[-1]  # convolutions, down and up
            total += scales[-1] - 1  # pooling
            total += sum(b for a, b in itertools.pairwise(scales) if b > a)  # up
            reach.append(total)
        return tuple(reach)  # always more than the smoothing's 5 pixels

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, *spatial) to (N, channels, *spatial), in float32."""
        within: tuple[Any, ...] = tuple(slice(0, n) for n in x.shape[2:])
        correction = self._correction(padded(x, self.divisor))[(..., *within)]
        output: Tensor = self.smooth(x[:, : self.channels]) + correction.float()
        return output

    def _correction(self, x: Tensor) -> Tensor:
        """Go down, and up again."""
        skips = []
        for level in range(len(self.encoder)):
            x = self._encoded(level, x)
            if level < len(self.pools):
                skips.append(x)
                pool = F.avg_pool3d if x.ndim == 5 else F.avg_pool2d
                x = pool(x, self.pools[level])
        for level in reversed(range(len(self.decoder))):
            x = self._decoded(level, x, skips.pop())
        return x

    def _encoded(self, level: int, x: Tensor) -> Tensor:
        block = self.encoder[level]
        return _by_strips(x, self.widths[level], lambda first, stop: block(x[..., first:stop, :]))

    def _decoded(self, level: int, x: Tensor, skip: Tensor) -> Tensor:
        step = len(self.decoder) - 1 - level
        narrow, block = self.narrow[step], self.decoder[step]
        last = self.last if level == 0 else nn.Identity()
        lower = narrow(x)

        def decode(first: int, stop: int) -> Tensor:
            upsampled = self._upsampled(lower, skip.shape[2:], first, stop)
            result: Tensor = last(block(upsampled.to(skip.dtype) + skip[..., first:stop, :]))
            return result

        return _by_strips(skip, self.widths[level], decode)

    def _upsampled(self, x: Tensor, spatial: torch.Size, first: int, stop: int) -> Tensor:
        """Return the rows from `first` to `stop` of `x` upsampled to twice its rows.

        A row lies between two of `x`: one more on each side is looked at.
        """
        top, bottom = max(0, first // 2 - 1), min(x.shape[-2], (stop + 1) // 2 + 1)
        size = (*spatial[:-2], 2 * (bottom - top), spatial[-1])
        whole = F.interpolate(x[..., top:bottom, :], size=size, mode=self.upsampling)
        return whole[..., first - 2 * top : stop - 2 * top, :]


class DnCNN(nn.Module):
    """A plain chain of convolutions that learns the correction of a Gaussian smoothing.

    The paper corrects the image itself; but a network trained on hidden pixels
    alone then hands the visible ones through, noise and all. Nor is there the
    paper's batch normalization, whose running statistics do not fit averaged
    weights.

    Parameters
    ----------
    ndim
        2 or 3.
    channels
        Channels of the image, in and out.
    inputs
        Channels in, those of the image first; more than `channels` where
        neighbouring frames are seen. None for `channels`.
    width
        Feature channels.
    depth
        Sets the number of convolutions, ``5 * depth + 2``: the paper's 17 at 3.

    References
    ----------
    Zhang et al., "Beyond a Gaussian denoiser", IEEE TIP 2017.
    """

    def __init__(
        self, *, ndim: int, channels: int, width: int, depth: int, inputs: int | None = None
    ) -> None:
        super().__init__()
        self.channels = channels
        layers = 5 * depth + 2
        self.divisor = (1,) * ndim
        self.halo = (layers - 1,) * ndim  # the last convolution is 1 x 1
        self.values_per_pixel = 3 * width
        self.smooth = Smooth()
        self.layers = nn.ModuleList(
            _conv(ndim, (inputs or channels) if layer == 0 else width, width)
            for layer in range(layers - 1)
        )
        self.last = _conv(ndim, width, channels, size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, inputs, *spatial) to (N, channels, *spatial), in float32."""
        features = x
        for layer in self.layers:
            features = F.leaky_relu(layer(features), SLOPE)
        output: Tensor = self.smooth(x[:, : self.channels]) + self.last(features).float()
        return output


NETWORKS: Mapping[str, Any] = {"unet": UNet, "dncnn": DnCNN}


def outline(
    name: str, *, ndim: int, channels: int, width: int, depth: int, inputs: int | None = None
) -> Any:
    """Return the network called `name` with its shapes, and no values yet: on the meta device."""
    with torch.device("meta"):
        return NETWORKS[name](ndim=ndim, channels=channels, width=width, depth=depth, inputs=inputs)


def build_network(name: str, seed: int, **architecture: Any) -> Any:
    """Build the network called `name` on the CPU, in float32.

    Parameters
    ----------
    name
        ``"unet"`` or ``"dncnn"``.
    seed
        Of the weights. torch's global generator is neither used nor touched: it is the user's.
    **architecture
        As of `outline`.
    """
    network = outline(name, **architecture)
    layout = torch.channels_last_3d if architecture["ndim"] == 3 else torch.channels_last
    with torch.inference_mode(False):  # else these weights could never be trained
        network = network.to(torch.float32).to_empty(device="cpu")
        initialise(network, torch.Generator().manual_seed(seed))
        return network.to(memory_format=layout)  # several times faster on CPU and GPU alike
