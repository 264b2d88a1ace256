"""The held-out pixels on the device, and what a network makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .batch import Batch
from .devices import autocast
from .looks import Look
from .masks import donut_fill
from .methods import Noise2Self, masked_errors
from .model import Model
from .networks import continued
from .patches import Crops, window_at


class Validation:
    """Looks at the held-out pixels with a model's averaged weights.

    Before any can be taken, `read_iter` has to read the windows that hold the pixels.

    Parameters
    ----------
    model
        Whose network looks, as it is at that moment.
    device
        Where the windows lie.
    dtype
        In which the network computes.
    """

    def __init__(self, model: Model, device: torch.device, dtype: torch.dtype) -> None:
        self.model, self.device, self.dtype = model, device, dtype
        self.batches: list[Batch] = []

    def read_iter(
        self, crops: Crops, places: Sequence[tuple[int, tuple[int, ...]]], count: int
    ) -> Iterator[int]:
        """Lay the windows on the device.

        Parameters
        ----------
        crops
            Of the data that are trained on; they know which pixels are held out.
        places
            Sample and origin of each window, as `validation_windows` returns them.
        count
            Windows that are looked at together.

        Yields
        ------
        int
            How many of the windows are read.
        """
        batches = []
        for start in range(0, len(places), count):
            part = places[start : start + count]
            seen = [crops.read(n, window_at(at, crops.patch), crops.context) for n, at in part]
            noisy, *targets = (torch.stack(each) for each in zip(*seen, strict=True))
            target = targets[0] if targets else None
            origins = [at for _, at in part]
            counted = crops.held_out.counted(origins, crops.patch, self.device)
            batches.append(Batch(noisy, target, *counted))
            yield start + len(part)
        self.batches = batches  # all or none: who stops in between must not look at a part

    @torch.no_grad()
    def baseline(self) -> float:
        """Return the donut average's loss on the held-out pixels, the line to beat."""
        seen, grid = [], self.model.method.grid
        for batch in self.batches:
            _, hidden = grid.masks(batch.noisy.shape[2:], batch.offsets)
            own = self.model.method.own(batch.noisy)
            average = donut_fill(own, hidden, grid.footprint)
            wanted = own if batch.target is None else batch.target
            seen.append(masked_errors(average, wanted, batch.counted))
        return _gathered(seen).loss

    @torch.no_grad()
    def look(self) -> Look:
        """Predict the held-out pixels."""
        with autocast(self.device, self.dtype):
            compared = [self.model.method.compared(self._predict, batch) for batch in self.batches]
        return _gathered([masked_errors(*each) for each in compared])

    @torch.no_grad()
    def error_of_a_split(self, method: Noise2Self, seed: int) -> float:
        """Return the error of predicting one half of a split, over the least that is possible.

        Parameters
        ----------
        method
            Of the model, with a recorruption.
        seed
            Seed of the split.
        """
        generator = torch.Generator().manual_seed(seed)
        error, least = 0.0, 0.0
        for batch in self.batches:
            with autocast(self.device, self.dtype):
                here = method.split_errors(self._predict, batch.noisy, generator)
            error, least = error + float(here[0]), least + float(here[1])
        return error / least if least else 1.0

    def _predict(self, x: Tensor) -> Tensor:
        """Apply the network as a prediction does: the border is continued."""
        network: Any = self.model.network
        return continued(network, x)


def _gathered(seen: list[tuple[Tensor, Tensor]]) -> Look:
    """Lay the crops of all batches behind each other; one wait for the device."""
    both = torch.cat([torch.stack(each) for each in seen], dim=1)
    errors, counts = both.tolist()
    return Look(tuple(errors), tuple(counts))
