"""Round values for the marks of an axis."""

from __future__ import annotations

import math

_ROUND = (1, 2, 5)
"""What the marks of a logarithmic axis begin with."""


def marks(low: float, high: float) -> list[float]:
    """Return round values from `low` to `high`, for a logarithmic axis.

    Examples
    --------
    >>> marks(0.4, 6.4)
    [0.5, 1.0, 2.0, 5.0]
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    values = [float(f"{digit}e{decade}") for decade in decades for digit in _ROUND]
    return [value for value in values if low <= value <= high]


def few_marks(low: float, high: float) -> list[float]:
    """Return the roundest values from `low` to `high`: two at least, about four at most.

    Examples
    --------
    >>> few_marks(0.05, 3), few_marks(0.3, 1.2), few_marks(0.39, 0.52)
    ([0.1, 1.0], [0.5, 1.0], [0.4, 0.5])
    """
    wide = marks(low, high)
    for found in ([value for value in wide if f"{value:e}".startswith("1.")], wide):
        if len(found) > 1:
            return found
    decade = math.floor(math.log10(high - low))
    for step in (float(f"{digit}e{d}") for d in (decade, decade - 1) for digit in (5, 2, 1)):
        first, last = math.ceil(low / step), math.floor(high / step)
        if last > first:
            break
    return [float(f"{n * step:.6g}") for n in range(first, last + 1)]
