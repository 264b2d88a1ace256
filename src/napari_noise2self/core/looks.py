"""A look at the held-out pixels, and whether it is worse than another by more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Look:
    """Squared errors on the held-out pixels, crop by crop.

    Two looks see the same noisy pixels. What differs is the network's error, and the product of
    that difference with the noise, which has mean zero and is a matter of chance: on a few
    thousand pixels it may well be the larger part. Of weights that cannot be told apart the
    later ones have learnt more.

    Attributes
    ----------
    errors
        Sum of the squared errors in each crop, normalized units.
    counts
        Values in each crop that are held out; at least one in all.

    References
    ----------
    Breiman, Friedman, Olshen, Stone, "Classification and regression trees", 1984, section 3.4.3:
    their rule of one standard error, which keeps the simplest such model; here it is the latest.
    """

    errors: tuple[float, ...]
    counts: tuple[float, ...]

    @property
    def loss(self) -> float:
        """Mean squared error."""
        return sum(self.errors) / sum(self.counts)

    def worse_than(self, other: Look) -> bool:
        """Whether the loss is higher than that of `other` by more than one standard error.

        Parameters
        ----------
        other
            A look at the same pixels.

        Examples
        --------
        >>> before = Look((10.0, 20.0, 30.0), (10, 10, 10))
        >>> Look((11.0, 21.0, 31.0), (10, 10, 10)).worse_than(before)
        True
        >>> Look((15.0, 16.0, 30.0), (10, 10, 10)).worse_than(before)
        False
        """
        crops, total = len(self.errors), sum(self.counts)
        differences = [a - b for a, b in zip(self.errors, other.errors, strict=True)]
        mean = sum(differences) / total
        if crops == 1:
            return mean > 0
        square = sum((d - mean * n) ** 2 for d, n in zip(differences, self.counts, strict=True))
        return mean > math.sqrt(crops / (crops - 1) * square) / total
