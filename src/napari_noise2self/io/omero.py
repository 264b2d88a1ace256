"""Names of channels in OME-Zarr, which stand among what a viewer needs to show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import dask.array as da
import numpy as np

COLOURS = ("00FF00", "FF00FF", "00FFFF", "FFFF00", "FF0000", "0000FF")
"""Colours that a viewer may show the channels in, in turn: OME-Zarr asks for one."""


def labels(ome: Mapping[str, Any]) -> Sequence[str | None] | None:
    """Return the names of the channels, None if there are none."""
    match ome.get("omero"):
        case {"channels": [*channels]}:
            found = [c.get("label") if isinstance(c, dict) else None for c in channels]
            return [label if isinstance(label, str) else None for label in found]
    return None


def omero(data: da.Array, axis: int, channels: Sequence[str]) -> dict[str, Any]:
    """Return the metadata that name the channels of `data` along `axis`.

    A viewer takes the range of the values from them: all of `data` is read.
    """
    others = tuple(i for i in range(data.ndim) if i != axis)
    finite = da.map_blocks(np.nan_to_num, data, posinf=0, neginf=0, dtype=data.dtype)
    low, high = (v.tolist() for v in da.compute(finite.min(others), finite.max(others)))
    return {
        "channels": [
            {
                "label": name,
                "color": colour,
                "active": True,
                "window": {"min": a, "max": b, "start": a, "end": b},
            }
            for name, colour, a, b in zip(channels, cycle(COLOURS), low, high, strict=False)
        ]
    }
