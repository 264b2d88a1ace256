"""Results as JSON knows them."""

from __future__ import annotations

import math
from typing import Any


def plain(value: Any) -> Any:
    """Return nested dicts, lists and tuples with lists for tuples, and None for NaN and infinity.

    Examples
    --------
    >>> plain({"psnr": (20.5, float("inf"))})
    {'psnr': [20.5, None]}
    """
    if isinstance(value, dict):
        return {key: plain(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
