"""Noisy microscopy images with their truth, synthesised in under a second each.

For the demo, the documentation, the tests and napari's Open Sample: everything
is drawn from a seed, so nothing is downloaded and nothing has a foreign
licence. The scenes are rendered as expected photons, blurred by a Gaussian
point spread function, and read out by a camera with shot and read noise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from ._scenery import Array, around, camera, cell_layer, clouds, scatter, splat, step
from .core.axes import Image


@dataclass(frozen=True)
class Sample:
    """A noisy image and what the camera would have read without noise.

    Attributes
    ----------
    noisy
        uint16 camera counts, with axes, scale and units.
    truth
        float32, the expected counts: the mean of infinitely many noisy images.
    """

    noisy: Image
    truth: Image


def cells(*, size: int = 512, seed: int = 1) -> Sample:
    """Adherent cells: nuclei, stress fibres, mitochondria and vesicles, few photons.

    The noise is independent from pixel to pixel, as in a confocal or a raw
    camera frame.

    Parameters
    ----------
    size
        Edge of the image in pixels of 0.25 micrometer; a smaller image is a
        smaller field of view.
    seed
        Seed of the scene and of the noise.

    Returns
    -------
    Sample
        Axes YX.

    Examples
    --------
    >>> sample = cells(size=128)
    >>> sample.noisy.data.shape, sample.noisy.axes
    ((128, 128), 'YX')
    """
    rng = np.random.default_rng(seed)
    photons = 8.0 * cell_layer(rng, size)
    noisy, truth = camera(rng, photons, gain=4.0, read_noise=1.2)
    return _sample(noisy, truth, "cells", "YX", (0.25, 0.25))


def correlated(*, size: int = 512, seed: int = 1) -> Sample:
    """Cells under a widefield microscope whose frames were enlarged by interpolation.

    Neighbouring pixels share noise (a correlation of about 0.6 along y and x),
    so that hiding a single pixel hides nothing: it takes a footprint of 5 x 5
    pixels.

    Parameters
    ----------
    size
        Edge of the image in pixels of 0.15 micrometer.
    seed
        Seed of the scene and of the noise.

    Returns
    -------
    Sample
        Axes YX.

    Examples
    --------
    >>> correlated(size=96).noisy.data.shape
    (96, 96)
    """
    rng = np.random.default_rng(seed)
    scene = cell_layer(rng, int(0.6 * size) + 3)  # 3 camera pixels for 5 of the image
    blurred = ndimage.gaussian_filter(scene, 12)
    counts, expected = camera(rng, 8.0 * (scene + blurred + 0.3), gain=8.0, read_noise=1.5)
    grid = np.meshgrid(0.5 + 0.6 * np.arange(size), 0.5 + 0.6 * np.arange(size), indexing="ij")
    noisy, truth = (
        ndimage.map_coordinates(frame.astype(float), grid, order=1) for frame in (counts, expected)
    )
    noisy += rng.normal(0, 2.0, noisy.shape)  # digitised once more: a little white noise on top
    return _sample(np.rint(noisy).astype(np.uint16), truth, "correlated", "YX", (0.15, 0.15))


def zstack(*, planes: int = 24, size: int = 160, seed: int = 2) -> Sample:
    """Tissue with labelled membranes and nuclei, dimmer with depth.

    Parameters
    ----------
    planes
        Number of planes, 0.6 micrometer apart.
    size
        Edge of a plane in pixels of 0.2 micrometer.
    seed
        Seed of the scene and of the noise.

    Returns
    -------
    Sample
        Axes ZYX.

    Examples
    --------
    >>> zstack(planes=8, size=64).noisy.axes
    'ZYX'
    """
    rng = np.random.default_rng(seed)
    shape, pitch = (planes, size, size), np.array([3.0, 1.0, 1.0])  # in pixels of a plane
    extent = np.array(shape) * pitch
    where = np.stack(
        np.meshgrid(*(np.arange(n) * s for n, s in zip(shape, pitch, strict=True)), indexing="ij")
    )  # (3, Z, Y, X)
    bend = np.stack([clouds(rng, shape, (8, 24, 24)) for _ in shape])
    where = where + 3.0 * bend
    centres = scatter(rng, extent, spacing=34.0, margin=30.0)
    distance, nearest = cKDTree(centres).query(np.moveaxis(where, 0, -1), k=2)
    apart = np.linalg.norm(centres[nearest[..., 0]] - centres[nearest[..., 1]], axis=-1)
    to_wall = (distance[..., 1] ** 2 - distance[..., 0] ** 2) / (2 * apart)
    label = nearest[..., 0]

    # The tissue ends at a wavy, brighter surface; beyond it is dark medium.
    open_side = where[1] + 0.35 * where[2] + 0.4 * where[0] + 10 * bend[0]
    tissue = step(open_side - 0.38 * size, 2.0)
    walls = np.exp(-0.5 * (to_wall / 1.6) ** 2) * (1 + 0.25 * clouds(rng, shape, (3, 6, 6)))
    rim = 2.0 * np.exp(-0.5 * ((open_side - 0.38 * size) / 3.0) ** 2)
    radius = rng.uniform(9.0, 12.0, len(centres))[label]
    nuclei = step(radius - distance[..., 0], 1.5)
    nuclei *= rng.uniform(0.5, 1.0, len(centres))[label]
    nuclei *= 1 + 0.2 * clouds(rng, shape, (2, 4, 4))
    light = tissue * (1.3 * walls.clip(0) + nuclei.clip(0) + 0.08) + rim * (0.5 + walls)
    light = ndimage.gaussian_filter(light, (1.1, 1.1, 1.1))
    light += 0.2 * ndimage.gaussian_filter(light, (3.0, 8.0, 8.0))
    depth = np.exp(-np.arange(planes) / 40)[:, None, None]
    noisy, truth = camera(rng, 7.0 * light * depth + 0.3, gain=6.0, read_noise=0.8)
    return _sample(noisy, truth, "zstack", "ZYX", (0.6, 0.2, 0.2))


def timelapse(*, frames: int = 20, size: int = 192, seed: int = 3) -> Sample:
    """Crawling cells with nuclei and vesicles, one frame every 10 seconds.

    Parameters
    ----------
    frames
        Number of time points.
    size
        Edge of a frame in pixels of 0.325 micrometer.
    seed
        Seed of the scene and of the noise.

    Returns
    -------
    Sample
        Axes TYX.

    Examples
    --------
    >>> timelapse(frames=3, size=64).noisy.units
    ('second', 'micrometer', 'micrometer')
    """
    rng = np.random.default_rng(seed)
    extent = np.array([size, size], float)
    centres = scatter(rng, extent, spacing=44.0, margin=10.0)
    heading = rng.uniform(0, 2 * np.pi, len(centres))
    speed = rng.uniform(0.6, 1.8, len(centres))  # pixels a frame
    lobes = np.arange(2, 7)
    phase = rng.uniform(0, 2 * np.pi, (len(centres), len(lobes)))
    drift = rng.normal(0, 0.18, phase.shape)
    swell = rng.uniform(0.3, 1.0, phase.shape) * 0.32 / lobes
    radius = rng.uniform(13.0, 18.0, len(centres))
    bright = rng.lognormal(0, 0.35, len(centres))
    vesicles = rng.uniform(0, 2 * np.pi, (len(centres), 12))  # their angle around the nucleus
    reach = rng.uniform(0.5, 0.9, vesicles.shape)
    shining = rng.lognormal(0, 0.5, vesicles.shape)
    texture = clouds(rng, (size, size), (4, 4))

    light = np.empty((frames, size, size))
    yx = np.indices((size, size), float)
    for t in range(frames):
        frame = np.zeros((size, size))
        ahead = np.stack([np.sin(heading), np.cos(heading)], -1)
        for i, centre in enumerate(centres):
            window = around(centre, 34, frame.shape)
            dy, dx = yx[:, *window] - centre[:, None, None]
            distance, angle = np.hypot(dy, dx), np.arctan2(dy, dx) - heading[i]
            waves = np.cos(lobes[:, None, None] * angle + phase[i][:, None, None])
            edge = radius[i] * (1 + np.tensordot(swell[i], waves, 1)) - distance
            ruffle = 0.3 * np.exp(-0.5 * ((edge - 1.5) / 1.3) ** 2) * (1 + np.cos(angle))
            y, x = 2.0 * ahead[i]
            nucleus = step(0.45 * radius[i] - np.hypot(dy + y, dx + x), 0.8)
            body = step(edge, 1.2) * (0.45 + 0.1 * texture[window])
            frame[window] += bright[i] * (body + ruffle + (1 + 0.2 * texture[window]) * nucleus)
        orbit = np.stack([np.sin(vesicles), np.cos(vesicles)], -1) * reach[..., None]
        points = (centres - 2.0 * ahead)[:, None] + radius[:, None, None] * orbit
        frame += 6.0 * splat(frame.shape, points.reshape(-1, 2), shining.ravel())
        light[t] = frame
        centres = centres + speed[:, None] * ahead
        heading = heading + rng.normal(0, 0.15, heading.shape)
        phase = phase + drift
        vesicles = vesicles + rng.normal(0, 0.12, vesicles.shape)
    light = ndimage.gaussian_filter(light, (0, 1.0, 1.0))
    light += 0.15 * ndimage.gaussian_filter(light, (0, 9.0, 9.0))
    bleach = np.exp(-np.arange(frames) / 80)[:, None, None]
    noisy, truth = camera(rng, 5.0 * light * bleach + 0.3, gain=4.0, read_noise=1.2)
    return _sample(noisy, truth, "timelapse", "TYX", (10.0, 0.325, 0.325))


SAMPLES: Mapping[str, Callable[[], Sample]] = {
    "cells": cells,
    "zstack": zstack,
    "timelapse": timelapse,
    "correlated": correlated,
}
"""The samples by name."""


def _sample(
    noisy: NDArray[np.uint16], truth: Array, name: str, axes: str, scale: tuple[float, ...]
) -> Sample:
    units = tuple("second" if letter == "T" else "micrometer" for letter in axes)
    return Sample(
        Image(noisy, axes, scale, units, name),
        Image(truth.astype(np.float32), axes, scale, units, f"{name} (truth)"),
    )
