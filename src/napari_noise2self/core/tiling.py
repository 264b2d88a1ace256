"""Windows with a halo, so that a large image is predicted in pieces and equals the whole."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass
from numbers import Integral

from .errors import ConfigError

Window = tuple[slice, ...]


@dataclass(frozen=True)
class Tile:
    """A window of the image that is predicted at once.

    Attributes
    ----------
    window
        The pixels it is for.
    reach
        The pixels it reads: the window grown by the halo, within the image.
    """

    window: Window
    reach: Window

    @property
    def extent(self) -> tuple[int, ...]:
        """Size of the window, in pixels."""
        return tuple(w.stop - w.start for w in self.window)

    @property
    def inner(self) -> Window:
        """The window as seen from `reach`."""
        return tuple(
            slice(w.start - r.start, w.stop - r.start)
            for w, r in zip(self.window, self.reach, strict=True)
        )

    @property
    def origin(self) -> tuple[int, ...]:
        """First pixel of `reach`."""
        return tuple(r.start for r in self.reach)


@dataclass(frozen=True)
class Tiling:
    """How an image may be cut for a network.

    Attributes
    ----------
    shape
        Spatial extent of the image.
    halo
        How far an output pixel looks, in pixels along each axis.
    divisor
        What the first pixel of a tile's reach must be a multiple of, so that
        pooling falls on the same pixels as in the whole image.
    """

    shape: tuple[int, ...]
    halo: tuple[int, ...]
    divisor: tuple[int, ...]

    def tile(self, window: Window) -> Tile:
        """Return the tile for `window`, which begins at a multiple of the divisor."""
        reach = []
        for w, n, h, d in zip(window, self.shape, self.halo, self.divisor, strict=True):
            margin = math.ceil(h / d) * d
            reach.append(slice(max(0, w.start - margin), min(n, w.stop + margin)))
        return Tile(window, tuple(reach))

    def cut(self, size: tuple[int, ...]) -> list[Tile]:
        """Cut the image into tiles of `size`, rounded up to the divisor.

        Examples
        --------
        >>> tiling = Tiling(shape=(100, 32), halo=(8, 8), divisor=(8, 8))
        >>> [t.window[0] for t in tiling.cut((64, 32))]
        [slice(0, 64, None), slice(64, 100, None)]
        """
        sizes = tuple(size) if isinstance(size, Iterable) else ()
        whole = all(isinstance(n, Integral) and n > 0 for n in sizes)
        if len(sizes) != len(self.shape) or not whole:
            raise ConfigError(
                f"tile={size}: expected {len(self.shape)} sizes above 0, one for each "
                "spatial axis; or None, to take them from the memory that is free"
            )
        steps = [math.ceil(s / d) * d for s, d in zip(sizes, self.divisor, strict=True)]
        lines = [
            [slice(start, min(start + step, n)) for start in range(0, n, step)]
            for n, step in zip(self.shape, steps, strict=True)
        ]
        return [self.tile(window) for window in itertools.product(*lines)]

    def reached(self, size: tuple[int, ...]) -> int:
        """Return how many pixels a tile of this size reads at the most."""
        sizes = zip(self.shape, size, self.halo, strict=True)
        return math.prod(min(n, s + 2 * h) for n, s, h in sizes)

    def largest(self, pixels: int, *, at_least: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Return the largest size whose tiles reach over at most about `pixels` pixels.

        The longest axis is cut first, so that tiles become square and the halo,
        which is computed twice, costs least. No axis is cut below `at_least`.
        """
        size = self.shape
        while self.reached(size) > pixels:
            smaller = self._halved(size)
            if smaller is None or (
                at_least
                and any(a < min(n, m) for a, n, m in zip(smaller, size, at_least, strict=True))
            ):
                break
            size = smaller
        return size

    def halve(self, tile: Tile) -> list[Tile]:
        """Cut a tile in two along its longest axis; an empty list if it is the smallest."""
        half = self._halved(tile.extent)
        if half is None:
            return []
        lines = [
            [slice(a, min(a + h, w.stop)) for a in range(w.start, w.stop, h)]
            for w, h in zip(tile.window, half, strict=True)
        ]
        return [self.tile(window) for window in itertools.product(*lines)]

    def _halved(self, size: tuple[int, ...]) -> tuple[int, ...] | None:
        axis = max(range(len(size)), key=lambda a: size[a] / self.divisor[a])
        half = math.ceil(size[axis] / 2 / self.divisor[axis]) * self.divisor[axis]
        if half >= size[axis]:
            return None
        return (*size[:axis], half, *size[axis + 1 :])
