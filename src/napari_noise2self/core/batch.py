"""What a training step works on: crops, and which of their pixels are hidden and counted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Batch:
    """Crops on the device.

    Attributes
    ----------
    noisy
        Normalized float32 of shape (N, C * (1 + 2 * context), *patch).
    target
        (N, C, *patch) where the method has a target of its own, else None.
    counted
        Boolean (N, 1, *patch): pixels that the loss may be taken on.
    offsets
        Integers (N, ndim), the J-set that is hidden in each crop.
    """

    noisy: Tensor
    target: Tensor | None
    counted: Tensor
    offsets: Tensor

    def __len__(self) -> int:
        return len(self.noisy)

    def __getitem__(self, which: slice) -> Batch:
        return self._each(lambda values: values[which])

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            change(self.noisy),
            None if self.target is None else change(self.target),
            change(self.counted),
            change(self.offsets),
        )
