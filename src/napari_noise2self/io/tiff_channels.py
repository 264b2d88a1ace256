"""Names of channels in the dialects of TIFF: OME's Channel, and the labels of ImageJ's planes."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import tifffile

from .tiff_sets import ome_image

_log = logging.getLogger(__name__)


def read_channels(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> Sequence[str | None] | None:
    """Return the names of the channels of `series`, None where there are none to be made out."""
    try:
        return _stated_channels(tiff, series)
    except Exception as reason:  # whatever a writer may have put there
        _log.warning("%s: the names of its channels cannot be read (%s)", tiff.filename, reason)
        return None


def _stated_channels(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> Sequence[str | None] | None:
    if series.kind == "ome" and tiff.ome_metadata:
        image = ome_image(tiff, series)
        found = [] if image is None else image.findall("{*}Pixels/{*}Channel")
        return [channel.get("Name") for channel in found]
    if series.kind == "imagej" and tiff.imagej_metadata:
        count = dict(zip(series.axes, series.shape, strict=True)).get("C", 1)
        return _of_labels(tiff.imagej_metadata.get("Labels"), count)
    return None


def _of_labels(labels: Any, count: int) -> Sequence[str] | None:
    """Return the labels of the first planes, if those of all others repeat them.

    ImageJ labels planes, and channels come first among these. A label that
    changes from frame to frame is that of a frame.
    """
    if not isinstance(labels, list | tuple):
        return None
    names = [str(label) for label in labels[:count]]
    repeated = all(str(label) == names[i % count] for i, label in enumerate(labels))
    return names if repeated and (count == 1 or len(set(names)) > 1) else None


def imagej_labels(channels: Sequence[str], planes: int) -> dict[str, Any]:
    """Return what `tifffile` writes into an ImageJ file of that many planes."""
    return {"Labels": list(channels) * (planes // len(channels))}


def ome_channels(channels: Sequence[str]) -> dict[str, Any]:
    """Return what `tifffile` writes as OME's Channels."""
    return {"Channel": {"Name": list(channels)}}
