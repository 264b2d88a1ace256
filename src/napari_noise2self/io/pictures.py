"""PNG and JPEG, and the opacity that pictures carry.

Opacity is no measurement: no detector recorded it. Where it is constant, which
is nearly always, it tells nothing and would stop a training (a constant channel
cannot be normalized), so it is left out. Where it varies it is kept as a
channel: programs that know only RGBA store a fourth fluorescence channel there.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import imagecodecs

from ..core.errors import ImageFileError
from .letters import Found

_log = logging.getLogger(__name__)


def read_png(path: Path) -> Found:
    """Read a PNG file of 8 or 16 bits, grey or colour."""
    pixels = imagecodecs.png_decode(path.read_bytes())
    if pixels.ndim == 2:
        return Found(pixels, "YX")
    if pixels.shape[-1] in (2, 4):
        pixels = without_constant_alpha(pixels, 2)
    return Found(pixels, "YXC")


def read_jpeg(path: Path) -> Found:
    """Read a JPEG file; a log line says what its compression does to noise."""
    content = path.read_bytes()
    if b"\xff\xd9" not in content[-4096:]:  # the decoder fills what is missing with grey
        raise ImageFileError(f"{path} is truncated or no JPEG file; copy or export it again")
    pixels = imagecodecs.jpeg_decode(content)
    _log.warning("%s is compressed with loss, which changes the noise; denoise the original", path)
    return Found(pixels, "YX" if pixels.ndim == 2 else "YXC")


def without_constant_alpha(data: Any, axis: int) -> Any:
    """Return `data` without the last entry along `axis`, if that entry is constant."""
    before = (slice(None),) * axis
    alpha = data[(*before, -1)]
    if bool(alpha.min() != alpha.max()):
        _log.info("the alpha channel varies and is kept as a channel")
        return data
    _log.info("the alpha channel is constant and is left out")
    return data[(*before, slice(0, -1))]
