"""The many spellings of a unit, and the one this package uses.

Files write a micrometre as ``um``, ``µm`` (with either of two Greek letters),
``micron``, or the escape that ImageJ puts into an ASCII header.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

from ..core.errors import ImageError

PIXEL = "pixel"
"""The unit of an axis whose pixel size is unknown."""

SYMBOLS = {
    "femtometer": "fm",
    "picometer": "pm",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "angstrom": "Å",
    "inch": "in",
    "picosecond": "ps",
    "nanosecond": "ns",
    "microsecond": "µs",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
    PIXEL: "pixel",
}
"""The name of each known unit and its symbol, which is also OME's."""

_OTHERS = {
    "um": "micrometer",
    "micron": "micrometer",
    "angstroem": "angstrom",
    "ångström": "angstrom",
    "inches": "inch",
    "us": "microsecond",
    "msec": "millisecond",
    "sec": "second",
    "hr": "hour",
    "px": PIXEL,
}

_NAMES = {name: name for name in SYMBOLS} | {s: name for name, s in SYMBOLS.items()} | _OTHERS
_LOWER = {spelling.lower(): name for spelling, name in _NAMES.items()}


def canonical(spelling: str | None) -> str:
    """Return the name of a unit however it is spelled, ``"pixel"`` for an unknown one.

    Examples
    --------
    >>> canonical("microns"), canonical("µm"), canonical("sec"), canonical("furlong")
    ('micrometer', 'micrometer', 'second', 'pixel')
    """
    text = (spelling or "").strip().strip("\x00\"'")
    if "\\u" in text:  # ImageJ's escape, kept verbatim by some writers
        text = text.encode("ascii", "backslashreplace").decode("unicode_escape", "replace")
    text = unicodedata.normalize("NFC", text).replace("\u03bc", "µ")  # one Å, one µ
    if text in _NAMES:
        return _NAMES[text]
    text = text.lower().replace("metre", "meter")
    return _LOWER.get(text) or _LOWER.get(text.removesuffix("s")) or PIXEL


def pixel_sizes(
    axes: str, scale: Sequence[float] | None, units: Sequence[str] | None
) -> dict[str, tuple[float, str]]:
    """Return (size, unit) for each letter of `axes` of which anything is known.

    Raises
    ------
    ImageError
        If a size is missing, or not above 0.

    Examples
    --------
    >>> pixel_sizes("TYX", (1.0, 0.1, 0.1), ("pixel", "um", "um"))
    {'Y': (0.1, 'micrometer'), 'X': (0.1, 'micrometer')}
    """
    for name, given in (("scale", scale), ("units", units)):
        if given is not None and len(given) != len(axes):
            raise ImageError(
                f'{name} has {len(given)} entries; expected one for each letter of axes "{axes}"'
            )
    sizes = {}
    for i, letter in enumerate(axes):
        size = 1.0 if scale is None else float(scale[i])
        unit = PIXEL if units is None else canonical(str(units[i]))
        if not (size > 0 and math.isfinite(size)):
            raise ImageError(f"scale has {size} for {letter}; expected a number above 0")
        if (size, unit) != (1.0, PIXEL):
            sizes[letter] = (size, unit)
    return sizes
