"""Pixel size and unit in the dialects of TIFF: ImageJ, OME and the plain tags.

Sizes are a mapping from axis letter to (size, unit); an axis whose size is
unknown is not in it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

import tifffile

from .tiff_sets import ome_image
from .units import PIXEL, SYMBOLS, canonical

Sizes = dict[str, tuple[float, str]]

PRINTER_DPI = 1200
"""Resolutions up to this one, in dots per inch, speak of a screen or a printer."""

_log = logging.getLogger(__name__)

_MICROMETERS = {"inch": 25_400.0, "centimeter": 10_000.0}


def read_sizes(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Sizes:
    """Return the pixel sizes of `series` as its dialect has them.

    They are unknown where what the file says makes no sense: its pixels can still be denoised.
    """
    try:
        return _stated_sizes(tiff, series)
    except Exception as reason:  # whatever a writer may have put there
        _log.warning("%s: its pixel size cannot be read (%s)", tiff.filename, reason)
        return {}


def _stated_sizes(tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Sizes:
    if series.kind == "ome" and tiff.ome_metadata:
        image = ome_image(tiff, series)
        return {} if image is None else ome_sizes(image)
    resolution = _resolution(series.keyframe)
    if series.kind == "imagej" and tiff.imagej_metadata:
        return imagej_sizes(tiff.imagej_metadata, resolution)
    return plain_sizes(series.keyframe, resolution)


def _resolution(page: Any) -> tuple[float, float]:
    """Return the tags XResolution and YResolution in pixels per unit, 0 if absent."""
    both = []
    for code in (282, 283):
        value = page.tags.valueof(code) or 0.0
        # a ratio, as the standard has it, or a plain number
        numbers = value if isinstance(value, tuple) else (value,)
        numerator, denominator = (*numbers, 1) if len(numbers) == 1 else numbers
        value = numerator / denominator if denominator else 0.0
        both.append(float(value) if 1e-30 < value < 1e30 else 0.0)
    return both[0], both[1]


def _size(units_per_pixel: float) -> float:
    return float(f"{units_per_pixel:.9g}")  # the tags hold a ratio, of some 9 digits


def plain_sizes(page: Any, resolution: tuple[float, float]) -> Sizes:
    """Read the resolution tags, unless they only state a printer's resolution."""
    unit = {2: "inch", 3: "centimeter"}.get(int(page.tags.valueof(296) or 0))
    if unit is None:
        return {}
    coarsest = _MICROMETERS["inch"] / PRINTER_DPI
    sizes: Sizes = {}
    for letter, per_unit in zip("XY", resolution, strict=True):
        if per_unit > 0 and _MICROMETERS[unit] / per_unit < 0.999 * coarsest:
            sizes[letter] = (_size(_MICROMETERS[unit] / per_unit), "micrometer")
    return sizes


def imagej_sizes(metadata: Mapping[str, Any], resolution: tuple[float, float]) -> Sizes:
    """Read an ImageJ description; the unit in it is that of the resolution tags."""
    sizes: Sizes = {}
    units = {"X": metadata.get("unit"), "Y": metadata.get("yunit"), "Z": metadata.get("zunit")}
    if units["X"]:
        for letter, per_unit in zip("XY", resolution, strict=True):
            if per_unit > 0:
                sizes[letter] = (_size(1 / per_unit), canonical(units[letter] or units["X"]))
        # ImageJ leaves out a spacing of 1
        spacing = _positive(metadata.get("spacing", 1.0))
        if spacing:
            sizes["Z"] = (spacing, canonical(units["Z"] or units["X"]))
    interval = _positive(metadata.get("finterval"))
    if interval:
        sizes["T"] = (interval, canonical(metadata.get("tunit") or "second"))
    return sizes


def _positive(value: Any) -> float | None:
    try:
        number = abs(float(value))  # ImageJ marks a reversed stack with a negative spacing
    except (TypeError, ValueError):
        return None
    return number if number > 0 and math.isfinite(number) else None


def ome_sizes(image: ElementTree.Element) -> Sizes:
    """Read the sizes of an Image of an OME-XML block."""
    pixels = image.find("{*}Pixels")
    sizes: Sizes = {}
    if pixels is None:
        return sizes
    for letter in "XYZ":
        size = _positive(pixels.get(f"PhysicalSize{letter}"))
        if size:
            unit = pixels.get(f"PhysicalSize{letter}Unit", "µm")
            sizes[letter] = (size, canonical(unit))
    interval = _positive(pixels.get("TimeIncrement"))
    if interval:
        sizes["T"] = (interval, canonical(pixels.get("TimeIncrementUnit", "s")))
    return sizes


def imagej_metadata(sizes: Mapping[str, tuple[float, str]]) -> dict[str, Any] | None:
    """Return what `tifffile` writes into an ImageJ description, with the resolution.

    None if the resolution tags, which hold a ratio of two 32-bit numbers, cannot
    express the pixel size.
    """
    metadata: dict[str, Any] = {}
    if {"X", "Y", "Z"} & set(sizes):
        (x, unit), (y, y_unit) = (sizes.get(letter, (1.0, PIXEL)) for letter in "XY")
        if not all(1e-6 < size < 1e6 for size in (x, y)):
            return None
        z, z_unit = sizes.get("Z", (1.0, unit))
        metadata |= {"unit": _imagej_unit(unit), "spacing": z, "resolution": (1 / x, 1 / y)}
        if y_unit != unit:
            metadata["yunit"] = _imagej_unit(y_unit)
        if z_unit != unit:
            metadata["zunit"] = _imagej_unit(z_unit)
    if "T" in sizes:
        metadata["finterval"], unit = sizes["T"]
        if unit != "second":
            metadata["tunit"] = unit
    return metadata


def _imagej_unit(unit: str) -> str:
    if unit == "micrometer":
        return "micron"
    return SYMBOLS[unit] if SYMBOLS[unit].isascii() else unit


def ome_metadata(sizes: Mapping[str, tuple[float, str]]) -> dict[str, Any]:
    """Return what `tifffile` writes as attributes of OME's Pixels."""
    metadata: dict[str, Any] = {}
    for letter in "XYZ":
        if letter in sizes:
            metadata[f"PhysicalSize{letter}"], unit = sizes[letter]
            metadata[f"PhysicalSize{letter}Unit"] = SYMBOLS[unit]
    if "T" in sizes and sizes["T"][1] != PIXEL:
        metadata["TimeIncrement"], unit = sizes["T"]
        metadata["TimeIncrementUnit"] = SYMBOLS[unit]
    return metadata
