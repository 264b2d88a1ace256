"""What a file says about its axes, in this package's letters.

Readers hand over what they found as the file has it (`Found`); here it becomes
an `Image` with axes that a `Stack` accepts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.axes import CHANNEL, SAMPLES, Image, check_axes, guess_axes
from .units import PIXEL

UNNAMED = "?"
"""An axis of which the file says nothing."""

OTHER = "#"
"""An axis that is none of ours: a tile, an angle, a phase; its positions are samples."""


@dataclass(frozen=True)
class Found:
    """Pixels as a file has them.

    Attributes
    ----------
    data
        Array-like with every dimension, those of length 1 included.
    axes
        One letter for each dimension, `UNNAMED` and `OTHER` among them; None if
        it is a bare array.
    sizes
        Pixel size and unit of the axes where they are known.
    channels
        Names of the channels as the file has them; None if it has none.
    """

    data: Any
    axes: str | None = None
    sizes: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    channels: Sequence[str | None] | None = None


def settle(found: Found, name: str, axes: str | None = None) -> Image:
    """Return what was found as an image.

    Axes of length 1 other than Y and X are dropped, since most formats pad to
    five dimensions. Unnamed axes are taken as they would be for a bare array,
    else as samples (T, then S); where these letters do not suffice, all samples
    are counted along one T. `axes` overrules the file, and may count the
    dimensions with or without those of length 1.

    Raises
    ------
    AxesError
        If `axes` do not fit the image.
    """
    data, letters = found.data, found.axes
    if letters is None:
        return Image(data, None if axes is None else check_axes(_shape(data), axes), name=name)
    if axes is None or len(axes) != data.ndim:
        data, letters = _without_singletons(data, letters)
    names = found.channels
    if axes is not None:
        own, letters = letters, check_axes(_shape(data), axes)
        if own.find(CHANNEL) != letters.find(CHANNEL):  # the names are those of another axis
            names = None
    elif UNNAMED in letters or OTHER in letters:
        data, letters = _named(data, letters)
    sizes = [found.sizes.get(letter, (1.0, PIXEL)) for letter in letters]
    return Image(
        data,
        letters,
        tuple(size for size, _ in sizes),
        tuple(unit for _, unit in sizes),
        name,
        _channels(names, dict(zip(letters, _shape(data), strict=True)).get(CHANNEL)),
    )


def _channels(names: Sequence[str | None] | None, count: int | None) -> tuple[str, ...] | None:
    """Return the names of `count` channels in one printable line each, None if there are none."""
    lines = [(name or "").strip().partition("\n")[0] for name in names or ()]
    plain = tuple("".join(c for c in line if c.isprintable()).strip() for line in lines)
    return plain if any(plain) and len(plain) == count else None


def _shape(data: Any) -> tuple[int, ...]:
    return tuple(int(n) for n in data.shape)


def _without_singletons(data: Any, letters: str) -> tuple[Any, str]:
    gone = [n == 1 and a not in "YX" for n, a in zip(data.shape, letters, strict=True)]
    if not any(gone):
        return data, letters
    short = data[tuple(0 if g else slice(None) for g in gone)]
    return short, "".join(a for a, g in zip(letters, gone, strict=True) if not g)


def _named(data: Any, letters: str) -> tuple[Any, str]:
    """Give every axis one of our letters."""
    lead = letters.rstrip("YXC")
    if lead == UNNAMED * len(lead) and letters[len(lead) :] in ("YX", "YXC") and len(letters) <= 5:
        return data, guess_axes(_shape(data), rgb=letters.endswith("C"))
    free = [letter for letter in SAMPLES if letter not in letters]
    if sum(a in UNNAMED + OTHER for a in letters) <= len(free):
        names = iter(free)
        return data, "".join(next(names) if a in UNNAMED + OTHER else a for a in letters)
    many = [i for i, a in enumerate(letters) if a in SAMPLES + UNNAMED + OTHER]
    rest = [i for i in range(len(letters)) if i not in many]
    samples = math.prod(data.shape[i] for i in many)
    merged = data.transpose(many + rest).reshape((samples, *(data.shape[i] for i in rest)))
    return merged, "T" + "".join(letters[i] for i in rest)
