"""How long something takes, in words, and what this computer needed before."""

from __future__ import annotations

from collections.abc import Mapping

from ..core.config import TrainingConfig

ROUGH_SECONDS_PER_STEP = 0.1
"""For the default configuration on an office computer, until a training has been timed here."""


def in_words(seconds: float) -> str:
    """Return a duration as people say it.

    Examples
    --------
    >>> [in_words(s) for s in (3, 42, 70, 400, 4000)]
    ['a few seconds', 'about 40 seconds', 'about a minute', 'about 7 minutes', 'about an hour']
    """
    if seconds < 8:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 10) * 10} seconds"
    minutes = round(seconds / 60)
    if minutes <= 1:
        return "about a minute"
    if minutes < 50:
        return f"about {minutes} minutes"
    hours = round(seconds / 3600)
    return "about an hour" if hours <= 1 else f"about {hours} hours"


def kind_of_step(config: TrainingConfig, ndim: int) -> str:
    """Return a key that two trainings share when their steps cost the same."""
    return f"{ndim}d-{config.width}-{config.depth}-{config.pixels_per_step}-{config.device}"


def expected(
    config: TrainingConfig,
    ndim: int,
    seconds_per_step: Mapping[str, float],
    *,
    steps_done: int = 0,
) -> tuple[float, bool]:
    """Estimate how long a training takes.

    Parameters
    ----------
    config
        What is to be trained.
    ndim
        2 or 3, as the image.
    seconds_per_step
        What earlier trainings on this computer took, by `kind_of_step`.
    steps_done
        Steps that a training has behind it that goes on.

    Returns
    -------
    seconds : float
        Expected duration; the time limit at most.
    measured : bool
        Whether it rests on an earlier training of the same kind.
    """
    measured = seconds_per_step.get(kind_of_step(config, ndim))
    if measured is not None:
        pace = measured
    else:
        default = TrainingConfig()
        # most of the work is in the convolutions: pixels times channels squared
        pace = (
            ROUGH_SECONDS_PER_STEP
            * (config.width / default.width) ** 2
            * config.pixels_per_step
            / default.pixels_per_step
            * (2 if ndim == 3 else 1)
        )
    seconds = pace * max(0, config.steps - steps_done)
    return min(seconds, config.time_limit or seconds), measured is not None
