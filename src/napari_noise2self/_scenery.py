"""What the synthetic samples are drawn with: points, smooth noise, streamlines, a camera."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

Array = NDArray[np.float64]

OFFSET = 100.0
"""Camera counts without any light."""


def camera(
    rng: np.random.Generator, photons: Array, *, gain: float, read_noise: float
) -> tuple[NDArray[np.uint16], Array]:
    """Return counts with shot and read noise, and the counts expected without."""
    electrons = rng.poisson(photons) + rng.normal(0, read_noise, photons.shape)
    counts = np.rint(OFFSET + gain * electrons).clip(0, 65535).astype(np.uint16)
    return counts, OFFSET + gain * photons


def cell_layer(rng: np.random.Generator, size: int) -> Array:
    """Return a square of adherent cells; 1 is about the brightness of a nucleus."""
    shape = (size, size)
    centres = scatter(rng, np.array(shape), spacing=112.0, margin=90.0)
    yx = np.moveaxis(np.indices(shape, float), 0, -1)
    warp = np.stack([clouds(rng, shape, (40, 40)) for _ in shape], -1)
    distance, nearest = cKDTree(centres).query(yx + 9.0 * warp, k=2)
    label = nearest[..., 0]
    apart = np.linalg.norm(centres[label] - centres[nearest[..., 1]], axis=-1)
    to_edge = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * apart)
    gap = rng.uniform(-1.0, 5.0, len(centres))
    there = rng.random(len(centres)) > 0.08  # some places stay empty
    inside = there[label] * step(to_edge - gap[label], 2.0)
    bright = rng.lognormal(0, 0.3, len(centres))

    tilt = rng.normal(0, 0.4, len(centres))
    angle = 0.9 * clouds(rng, shape, (200, 200)) + 0.12 * clouds(rng, shape, (40, 40))
    fibres = _fibres(rng, angle + tilt[label], label, bright)
    edge = np.exp(-0.5 * ((to_edge - gap[label] - 2.0) / 1.6) ** 2) * there[label]
    edge *= (0.5 + 0.5 * clouds(rng, shape, (14, 14))).clip(0)

    nuclei = np.zeros(shape)
    for centre, long, ratio, turn, level in zip(
        centres + rng.normal(0, 6, centres.shape),
        rng.uniform(19, 27, len(centres)),
        rng.uniform(0.68, 0.95, len(centres)),
        rng.uniform(0, np.pi, len(centres)),
        rng.uniform(0.7, 1.1, len(centres)) * there,
        strict=True,
    ):
        window = around(centre, 32, shape)
        dy, dx = np.moveaxis(yx[window] - centre, -1, 0)
        along, across = dx * np.cos(turn) + dy * np.sin(turn), dy * np.cos(turn) - dx * np.sin(turn)
        body = step(long - np.hypot(along, across / ratio), 1.2)
        for y, x in rng.normal(0, 0.33 * long, (3, 2)):  # nucleoli
            body *= 1 - 0.4 * step(3.5 - np.hypot(along - x, across - ratio * y), 0.8)
        nuclei[window] = np.maximum(nuclei[window], level * body)
    outside = 1 - (nuclei / 0.7).clip(0, 1)
    chromatin = 1 + 0.16 * clouds(rng, shape, (4, 4)) + 0.1 * clouds(rng, shape, (9, 9))

    near = np.exp(-0.5 * (distance[..., 0] / 36) ** 2) * inside
    cytoplasm = inside * (0.10 + 0.22 * near) * (1 + 0.2 * clouds(rng, shape, (7, 7)))
    organelles = _organelles(rng, centres[there], shape) * inside * outside
    light = (
        bright[label] * (cytoplasm + 0.5 * edge)
        + 0.8 * fibres * inside
        + nuclei * chromatin
        + organelles
    )
    light = ndimage.gaussian_filter(light.clip(0), 1.1)  # the point spread function
    light += 0.22 * ndimage.gaussian_filter(light, 16) + 0.03  # out of focus
    y, x = np.ogrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return np.asarray(light * np.exp(-0.3 * ((y - 0.15) ** 2 + (x + 0.1) ** 2)))


def _fibres(rng: np.random.Generator, angle: Array, label: NDArray[Any], bright: Array) -> Array:
    """Return stress fibres: streamlines of a field of angles that end at their cell's edge."""
    size = angle.shape[0]
    bundles = max(8, round(size**2 / 600))
    anchors = rng.uniform(0, size, (bundles, 1, 2))
    place = (anchors + rng.normal(0, 3.5, (bundles, 5, 2))).reshape(-1, 2)
    weight = np.repeat(rng.gamma(1.2, 0.4, bundles), 5) * rng.uniform(0.3, 1.3, 5 * bundles)
    half = rng.uniform(20, 75, len(place))
    home = label[tuple(np.rint(place).astype(int).clip(0, size - 1).T)]
    weight = weight * bright[home]
    points, weights = [], []
    for direction in (1.0, -1.0):
        at, alive = place.copy(), np.ones(len(place), bool)
        for travelled in range(75):
            pixel = tuple(np.rint(at).astype(int).clip(0, size - 1).T)
            alive &= (label[pixel] == home) & (travelled < half)
            points.append(at)
            weights.append(alive * weight * np.cos(0.5 * np.pi * (travelled / half).clip(0, 1)))
            at = at + direction * np.stack([np.sin(angle[pixel]), np.cos(angle[pixel])], -1)
    return splat(angle.shape, np.concatenate(points), np.concatenate(weights))


def _organelles(rng: np.random.Generator, centres: Array, shape: tuple[int, ...]) -> Array:
    """Return mitochondria (short worms) and vesicles (points) around the nuclei."""
    count = 130
    at = np.repeat(centres, count, axis=0)
    turn = rng.uniform(0, 2 * np.pi, len(at))
    away = 20 + rng.gamma(1.6, 9.0, len(at))
    at = at + away[:, None] * np.stack([np.sin(turn), np.cos(turn)], -1)
    heading = turn + np.pi / 2 * rng.integers(0, 2, len(at)) + rng.normal(0, 0.5, len(at))
    length = rng.integers(4, 20, len(at))
    level = rng.lognormal(-0.9, 0.4, len(at))
    points, weights = [], []
    for travelled in range(20):
        points.append(at)
        weights.append(level * (travelled < length))
        heading = heading + rng.normal(0, 0.35, len(at))
        at = at + np.stack([np.sin(heading), np.cos(heading)], -1)
    spots = np.repeat(centres, 16, axis=0) + rng.normal(0, 30, (16 * len(centres), 2))
    points.append(spots)
    weights.append(3.0 * rng.lognormal(0, 0.4, len(spots)))
    return 1.2 * splat(shape, np.concatenate(points), np.concatenate(weights))


def splat(shape: tuple[int, ...], points: Array, weights: Array) -> Array:
    """Return an image with each point's weight shared by its four pixels."""
    height, width = shape
    low = np.floor(points).astype(int)
    part = points - low
    image = np.zeros(height * width)
    for dy in (0, 1):
        for dx in (0, 1):
            y, x = low[:, 0] + dy, low[:, 1] + dx
            share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1]) * weights
            seen = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            flat = y[seen] * width + x[seen]
            image += np.bincount(flat, share[seen], minlength=image.size)
    return image.reshape(shape)


def scatter(rng: np.random.Generator, extent: NDArray[Any], spacing: float, margin: float) -> Array:
    """Return points at least `spacing` apart that cover `extent` and a margin around it."""
    tries = rng.uniform(-margin, extent + margin, (3000, len(extent)))
    kept = [tries[0]]
    for point in tries[1:]:
        if np.min(np.linalg.norm(np.array(kept) - point, axis=1)) >= spacing:
            kept.append(point)
    return np.array(kept)


def clouds(rng: np.random.Generator, shape: tuple[int, ...], grain: tuple[float, ...]) -> Array:
    """Return smooth noise of mean 0 and standard deviation 1 with structures of size `grain`."""
    smooth = rng.normal(size=[int(n / g) + 7 for n, g in zip(shape, grain, strict=True)])
    for axis, (n, g) in enumerate(zip(shape, grain, strict=True)):
        apart = (np.arange(n) / g + 3.0)[:, None] - np.arange(smooth.shape[axis])
        spread = np.exp(-0.5 * (apart / 0.7) ** 2)
        smooth = np.moveaxis(np.tensordot(spread, smooth, (1, axis)), 0, axis)
    return np.asarray((smooth - smooth.mean()) / smooth.std())


def around(centre: Array, reach: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    """Return the window within `reach` of `centre`, as far as it lies in the image."""
    low = [int(np.clip(c - reach, 0, n)) for c, n in zip(centre, shape, strict=True)]
    high = [int(np.clip(c + reach + 1, 0, n)) for c, n in zip(centre, shape, strict=True)]
    return tuple(slice(a, b) for a, b in zip(low, high, strict=True))


def step(distance: Array, softness: float) -> Array:
    """Return a smooth step from 0 to 1 where `distance` passes 0."""
    return np.asarray(0.5 * (1 + np.tanh(distance / softness)))
