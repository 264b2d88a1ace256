"""What a click on Train would do, and whether that goes on from what was done before."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from weakref import ReferenceType

from ..core.axes import Image, Stack, check_size
from ..core.config import TrainingConfig
from ..core.errors import ImageError
from .layers import Source

BUDGET = ("steps", "time_limit", "patience")
"""Fields of the configuration that say how long; they may change from one part to the next."""


@dataclass(frozen=True)
class Past:
    """What is remembered of a training: it keeps no pixels alive.

    Attributes
    ----------
    layer, pair, region, config
        Of the plan.
    axes, name
        Of its image.
    """

    layer: ReferenceType[Any]
    pair: ReferenceType[Any] | None
    region: tuple[slice, ...] | None
    config: TrainingConfig
    axes: str | None
    name: str


@dataclass(frozen=True)
class Plan:
    """One training: of what, on which part of it, how.

    Attributes
    ----------
    layer, source
        The noisy layer, and what is known about it.
    region
        The part of it to train on; None for all of it.
    config
        How to train.
    pair, target
        The layer to train against, and its image; None where the noisy image
        is enough.

    Raises
    ------
    ImageError
        If the image, or the region, is too small, or the two images differ in shape.
    ConfigError
        If a 3-D network is asked for and the image has no Z.
    """

    layer: ReferenceType[Any]
    source: Source
    region: tuple[slice, ...] | None
    config: TrainingConfig
    pair: ReferenceType[Any] | None = None
    target: Image | None = None

    def __post_init__(self) -> None:
        stack = Stack.of(self.source.image)
        self.config.dimensions_for(stack.axes)
        if self.region is None:
            check_size(stack.spatial)
        else:
            along = zip(stack.axes, self.region, strict=True)
            sizes = {letter: part.stop - part.start for letter, part in along}
            check_size((sizes["Y"], sizes["X"]), "region")
        if self.target is not None and self.target.data.shape != self.source.image.data.shape:
            raise ImageError(
                f'the target "{self.target.name}" has the shape {tuple(self.target.data.shape)} '
                f"and the image {tuple(self.source.image.data.shape)}; choose a layer of the same "
                'scene in the same shape, or "none"'
            )

    def past(self) -> Past:
        """Return what is to be remembered of it."""
        image = self.source.image
        return Past(self.layer, self.pair, self.region, self.config, image.axes, image.name)

    def goes_on_from(self, before: Past | None, *, stopped: bool) -> bool:
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
            and self.pair == before.pair
            and self.source.image.axes == before.axes
            and replace(self.config, **budget) == before.config
        )
        return same and (stopped or self.config.steps > before.config.steps)
