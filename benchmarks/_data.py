"""Noisy images with their truth, from a folder, and synthetic movies of any length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_noise2self import api


@dataclass(frozen=True)
class Pair:
    """One noisy frame of a scene, and the truth; both float32, (Y, X)."""

    scene: str
    frame: str
    noisy: NDArray[np.float32]
    truth: NDArray[np.float32]


def find_pairs(folder: Path) -> list[tuple[str, str, Path, Path]]:
    """List (scene, frame, noisy file, truth file) of a folder with ``raw/`` and ``gt/``.

    ``raw/<scene>_<frame>.<ext>`` goes with the file in ``gt/`` of the same stem,
    else with ``<scene>_1``, else with ``<scene>``.
    """
    raw, gt = folder / "raw", folder / "gt"
    if not (raw.is_dir() and gt.is_dir()):
        raise SystemExit(
            f"{folder} has no folders raw/ and gt/; expected raw/<scene>_<frame>.png and "
            "gt/<scene>_1.png, as in FMD (doi:10.7274/r0-ed2r-4052)"
        )
    truths = {path.stem: path for path in sorted(gt.iterdir())}
    found = []
    for path in sorted(raw.iterdir()):
        scene, _, frame = path.stem.rpartition("_")
        for stem in (path.stem, f"{scene}_1", scene):
            if stem in truths:
                found.append((scene or path.stem, frame, path, truths[stem]))
                break
        else:
            raise SystemExit(f"{path} has no truth in {gt}")
    return found


def read_pairs(
    folder: Path, scenes: Sequence[str] | None = None, frames: Sequence[str] | None = None
) -> Iterator[Pair]:
    """Read the pairs whose scene and frame are asked for; None for all."""
    found = find_pairs(folder)
    unknown = set(scenes or ()) - {scene for scene, *_ in found}
    if unknown:
        raise SystemExit(
            f"no scene {', '.join(sorted(unknown))} in {folder}; it has "
            + ", ".join(sorted({scene for scene, *_ in found}))
        )
    wanted = [
        entry
        for entry in found
        if (not scenes or entry[0] in scenes) and (not frames or entry[1] in frames)
    ]
    if not wanted:
        raise SystemExit(f"{folder} has none of the frames {', '.join(frames or ())}")
    for scene, frame, noisy, truth in wanted:
        yield Pair(scene, frame, read_plane(noisy), read_plane(truth))


def read_plane(path: Path) -> NDArray[np.float32]:
    """Read a grey image."""
    data = np.asarray(api.read_image(path).data, dtype=np.float32)
    if data.ndim != 2:
        raise SystemExit(f"{path} has shape {data.shape}; expected a grey image (Y, X)")
    return data


def moving_cells(frame: int, size: int) -> tuple[NDArray[np.uint16], NDArray[np.float32]]:
    """Return one noisy frame of an endless movie, and its truth: blurred discs that drift.

    Each frame depends on its number alone, so that a movie of any length begins
    with the same frames.
    """
    scene = np.random.default_rng(0)
    count = size * size // 1500
    start = scene.uniform(0, size, (count, 2))
    speed = scene.normal(0, 0.5, (count, 2))
    radius = scene.uniform(4, 12, count)
    brightness = scene.uniform(5, 40, count)
    centres = (start + frame * speed) % size
    truth = np.full((size, size), 3.0)
    reach = np.arange(-15, 16)
    for (y, x), r, light in zip(centres, radius, brightness, strict=True):
        rows, columns = int(y) + reach, int(x) + reach
        near = np.hypot((rows - y)[:, None], columns - x) < r
        truth[np.ix_(rows % size, columns % size)] += light * near
    truth = gaussian_filter(truth, 1.2, mode="wrap")
    noisy = np.random.default_rng((1, frame)).poisson(truth) * 10 + 100
    return noisy.astype(np.uint16), (truth * 10 + 100).astype(np.float32)
