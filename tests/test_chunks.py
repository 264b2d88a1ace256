"""Lazy arrays: each chunk is computed once, whoever reads it in whatever parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_noise2self import api
from napari_noise2self.core.axes import Stack
from napari_noise2self.core.chunks import Chunks

Build = Callable[..., api.TrainingConfig]


class Counted:
    """An array in chunks that counts the values it was asked for."""

    def __init__(self, values: np.ndarray, chunks: tuple[Any, ...]) -> None:
        self.values, self.chunks = values, chunks
        self.shape, self.dtype = values.shape, values.dtype
        self.asked = 0

    def __getitem__(self, index: Any) -> np.ndarray:
        part = self.values[index]
        self.asked += part.size
        return part


MOVIE = np.random.default_rng(0).poisson(50, (12, 40, 48)).astype(np.float32)


@pytest.mark.parametrize("chunks", [((5, 5, 2), (40,), (48,)), (5, 40, 48), (5, 17, 48)])
def test_any_part_is_what_the_array_says(chunks: tuple[Any, ...]) -> None:
    lazy = Counted(MOVIE, chunks)
    kept = Chunks(lazy)
    rng = np.random.default_rng(1)
    for _ in range(30):
        t = int(rng.integers(12))
        y, x = (slice(*sorted(rng.choice(n + 1, 2, replace=False))) for n in (40, 48))
        np.testing.assert_array_equal(kept[t, y, x], MOVIE[t, y, x])
    assert lazy.asked <= 4 * MOVIE.size


def test_what_is_kept_is_bounded_and_cannot_be_changed() -> None:
    frame = MOVIE[0].nbytes
    lazy = Counted(MOVIE, (3, 40, 48))
    kept = Chunks(lazy, limit=7 * frame)
    whole = (slice(0, 40), slice(0, 48))
    for t in range(12):
        kept[(t, *whole)]
    assert lazy.asked == MOVIE.size, "a chunk of three frames is read once"
    kept[(9, *whole)]
    assert lazy.asked == MOVIE.size
    kept[(0, *whole)]
    assert lazy.asked == MOVIE.size + 3 * MOVIE[0].size, "two chunks fit; the first had to go"
    with pytest.raises(ValueError, match="read-only"):
        kept[(0, *whole)][:] = 0
    small = Chunks(lazy, limit=2 * frame)
    lazy.asked = 0
    small[(0, *whole)]
    assert lazy.asked == MOVIE[0].size, "a chunk that is too large to keep is not read whole"


def test_each_verb_computes_a_chunk_about_once(tiny: Build) -> None:
    lazy = Counted(MOVIE, (6, 40, 48))

    def times() -> float:
        asked, lazy.asked = lazy.asked, 0
        return asked / MOVIE.size

    config = tiny(steps=3, context=1)
    denoiser = api.Denoiser.for_image(lazy, "TYX", config)
    assert times() == 1
    for _ in api.train(denoiser, lazy, config):
        pass
    assert times() == 1
    result = denoiser.predict(lazy)
    assert times() <= 1.5  # the middle frame is looked at first
    np.testing.assert_array_equal(result, denoiser.predict(MOVIE))
    api.diagnose(lazy, "TYX")
    assert times() == 1
    api.denoise(lazy, axes="TYX", config=config)
    assert times() == 1


@pytest.mark.parametrize("kind", ["dask", "zarr"])
def test_a_lazy_array_of_either_kind_is_read_in_chunks(kind: str) -> None:
    if kind == "dask":
        lazy: Any = da.from_array(MOVIE, chunks=(5, 20, 48))
    else:
        lazy = zarr.create_array({}, data=MOVIE, chunks=(5, 20, 48))
    stack = Stack.of(lazy, "TYX")
    assert stack.chunks is not None
    np.testing.assert_array_equal(stack.read(7)[0], MOVIE[7])
    assert Stack.of(stack).chunks is stack.chunks, "what was read once is not read again"
    assert Stack.of(MOVIE, "TYX").chunks is None
