"""What a result is measured by: against the truth, or by its artefacts where there is none."""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

Array = NDArray[np.floating]
Block = tuple[slice, slice]


def psnr(truth: Array, image: Array, low: float = 0.0, high: float = 255.0) -> float:
    """Peak signal-to-noise ratio in dB: `image` clipped to [low, high], no rescaling."""
    error = np.clip(image, low, high).astype(np.float64) - truth
    return 10 * float(np.log10((high - low) ** 2 / np.mean(error**2)))


def scale_invariant_psnr(truth: Array, image: Array) -> float:
    """PSNR in dB after the affine map of `image` that fits the truth best.

    The range is that of the truth, as in the field's ``scale_invariant_psnr``
    (Weigert et al., "Content-aware image restoration", Nature Methods 2018).
    """
    t = truth.astype(np.float64) - truth.mean(dtype=np.float64)
    x = image.astype(np.float64) - image.mean(dtype=np.float64)
    slope = (t * x).sum() / max((x * x).sum(), np.finfo(np.float64).tiny)
    error = np.mean((t - slope * x) ** 2)
    return 10 * float(np.log10((float(truth.max()) - float(truth.min())) ** 2 / error))


def ssim(truth: Array, image: Array, low: float = 0.0, high: float = 255.0) -> float:
    """Structural similarity with the window of Wang et al. (2004), clipped as in `psnr`."""
    return float(
        structural_similarity(
            truth.astype(np.float64),
            np.clip(image, low, high).astype(np.float64),
            data_range=high - low,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def grid_power(image: Array, period: tuple[int, int]) -> float:
    """Power at the frequencies of a grid over that of their neighbourhood; 1 where there is none.

    The largest ratio among the harmonics of `period` (pixels along Y and X).
    White noise of one plane gives about 2, the largest of some 15 chance values.
    """
    height, width = (n - n % p for n, p in zip(image.shape, period, strict=True))
    if min(height, width) < 16:
        raise ValueError(f"a plane of {image.shape} is too small for a period of {period}")
    x = image[:height, :width].astype(np.float64)
    window = np.outer(np.hanning(height + 1)[:-1], np.hanning(width + 1)[:-1])
    power = np.abs(np.fft.fft2((x - x.mean()) * window)) ** 2
    near, far = np.arange(-1, 2), np.array([-6, -5, -4, -3, 3, 4, 5, 6])  # Hann leaks one bin
    ratios = []
    for k, m in itertools.product(range(period[0]), range(period[1])):
        if k == m == 0:
            continue
        y, x0 = k * height // period[0], m * width // period[1]

        def mean(dy: Array, dx: Array, y: int = y, x0: int = x0) -> float:
            return float(power[np.ix_((y + dy) % height, (x0 + dx) % width)].mean())

        # On an axis of the spectrum, where images keep their power, the neighbours are on it too.
        around = [mean(near, far)] * (m > 0) + [mean(far, near)] * (k > 0)
        ratios.append(mean(near, near) / max(float(np.mean(around)), np.finfo(np.float64).tiny))
    return max(ratios)


def seam_contrast(image: Array, tile: tuple[int, int]) -> float:
    """Mean step across the borders of tiles over the mean step beside them; 1 where none shows."""
    at, beside = [], []
    for axis, size in enumerate(tile):
        steps = np.abs(np.diff(image.astype(np.float64), axis=axis)).mean(axis=1 - axis)
        for border in range(size, image.shape[axis] - 4, size):
            at.append(steps[border - 1])  # steps[i] is between i and i + 1
            beside.extend(steps[border - 1 + d] for d in (-4, -3, -2, 2, 3, 4))
    if not at:
        raise ValueError(f"an image of {image.shape} has no border of tiles of {tile}")
    return float(np.mean(at) / max(float(np.mean(beside)), np.finfo(np.float64).tiny))


def flat_blocks(image: Array, size: int = 16, share: float = 0.05) -> list[Block]:
    """Return the `share` of blocks, at least four, in which the blurred image varies least."""
    smooth = gaussian_filter(image.astype(np.float64), 4)
    blocks = [
        (slice(y, y + size), slice(x, x + size))
        for y in range(0, image.shape[0] - size + 1, size)
        for x in range(0, image.shape[1] - size + 1, size)
    ]
    blocks.sort(key=lambda block: float(smooth[block].std()))
    return blocks[: max(4, round(share * len(blocks)))]


def texture(image: Array, blocks: list[Block]) -> float:
    """Median over blocks of the standard deviation that a fitted plane leaves."""
    left = []
    for block in blocks:
        values = image[block].astype(np.float64)
        y, x = np.mgrid[: values.shape[0], : values.shape[1]]
        plane = np.stack([np.ones(values.size), y.ravel(), x.ravel()], axis=1)
        fit, *_ = np.linalg.lstsq(plane, values.ravel(), rcond=None)
        left.append(float((values.ravel() - plane @ fit).std()))
    return float(np.median(left))
