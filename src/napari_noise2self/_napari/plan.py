"""What a click on Train would do, and whether that goes on from what was done before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from weakref import ReferenceType

from ..core.config import TrainingConfig
from .layers import Source

BUDGET = ("steps", "time_limit", "patience")
"""Fields of the configuration that say how long; they may change from one part to the next."""


@dataclass(frozen=True)
class Plan:
    """One training: of what, on which part of it, how."""

    layer: ReferenceType[Any]
    source: Source
    region: tuple[slice, ...] | None
    config: TrainingConfig

    def goes_on_from(self, before: Plan | None, *, stopped: bool) -> bool:
        """Whether this is the training `before`, to be continued.

        A training that came to its end is continued only if this one is to
        have more steps.
        """
        if before is None or before.layer() is None:
            return False
        budget = {name: getattr(before.config, name) for name in BUDGET}
        same = (
            self.layer == before.layer
            and self.region == before.region
            and self.source.image.axes == before.source.image.axes
            and replace(self.config, **budget) == before.config
        )
        return same and (stopped or self.config.steps > before.config.steps)
