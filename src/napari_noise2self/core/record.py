"""How a model came to be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, kw_only=True)
class TrainingRecord:
    """How a model came to be; saved with it.

    Attributes
    ----------
    image
        The image that it was trained on, in words.
    noise
        What was found about the noise's correlation, and the hole that follows.
    device
        What it was trained on, for example ``"GPU: NVIDIA H100"``.
    steps
        Optimiser steps of the latest training.
    earlier_steps
        Steps of the trainings before it, from whose weights it began.
    seconds
        Time they took.
    best_step
        Step whose averaged weights these are.
    validation_loss, baseline_loss
        Loss on the held-out pixels of these weights and of the donut average,
        normalized units.
    curve
        (step, validation loss) of each look at the held-out pixels.
    """

    image: str = ""
    noise: str = ""
    device: str = ""
    steps: int = 0
    earlier_steps: int = 0
    seconds: float = 0.0
    best_step: int = 0
    validation_loss: float = math.nan
    baseline_loss: float = math.nan
    curve: tuple[tuple[int, float], ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the record in JSON's types; what is not known is None."""
        values = {k: _known(v) for k, v in asdict(self).items()}
        values["curve"] = [[step, _known(loss)] for step, loss in self.curve]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TrainingRecord:
        """Rebuild a record; fields that this version does not know are left out."""
        known: dict[str, Any] = {f.name: type(f.default) for f in fields(cls)}
        kept = {k: known[k](v) for k, v in values.items() if k in known and v is not None}
        kept["curve"] = tuple(
            (int(step), math.nan if loss is None else float(loss))
            for step, loss in kept.get("curve", ())
        )
        return cls(**kept)


def _known(value: Any) -> Any:
    """Return `value`; None for what JSON has no number for."""
    return None if isinstance(value, float) and not math.isfinite(value) else value
