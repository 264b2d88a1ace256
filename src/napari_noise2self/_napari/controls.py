"""The state of the dock, and what every control looks like in it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from . import pieces, words
from .panel import Panel
from .plan import Plan


class State(Enum):
    """What the dock is doing; the first three are at rest."""

    EMPTY = "no model"
    READY = "a model, trained to its end or loaded"
    STOPPED = "a model whose training was stopped"
    TRAINING = "training"
    PREDICTING = "denoising"
    LOADING = "loading a model"
    SAVING = "saving a model"

    @property
    def at_rest(self) -> bool:
        """Whether nothing runs."""
        return self in (State.EMPTY, State.READY, State.STOPPED)

    @property
    def stoppable(self) -> bool:
        """Whether what runs can be stopped."""
        return self in (State.TRAINING, State.PREDICTING, State.SAVING)


@dataclass(frozen=True)
class Situation:
    """All that the controls depend on.

    Attributes
    ----------
    state
        What the dock is doing.
    stopping
        Whether that has been asked to stop.
    plan
        What Train would do; None while something runs, or where it could do nothing.
    goes_on
        Whether Train would go on with the training of before.
    denoiser
        The model, or None.
    targets
        How many layers Denoise can work on.
    misfit
        Why the model does not fit the chosen layer; None if it does.
    """

    state: State
    stopping: bool
    plan: Plan | None
    goes_on: bool
    denoiser: Any
    targets: int
    misfit: str | None


def show(panel: Panel, now: Situation) -> None:
    """Derive every control from the situation."""
    resting = now.state.at_rest
    pieces.show_toggle(
        panel.train_button,
        "Continue" if now.goes_on else "Train",
        resting=resting,
        ready=now.plan is not None,
        stoppable=now.state.stoppable,
        stopping=now.stopping,
    )
    panel.restart_button.setVisible(now.goes_on)
    for choice in panel.choices:
        choice.setEnabled(resting)
    panel.pair_kind_combo.setVisible(panel.pair_combo.value() is not None)
    if now.denoiser is not None and now.denoiser.method.takes_target:
        panel.output_combo.setEnabled(False)  # what was trained on a pair has no strict output
    has_model = resting and now.denoiser is not None
    pieces.show_toggle(
        panel.denoise_button,
        "Denoise",
        resting=now.state is not State.PREDICTING,
        ready=has_model and now.targets > 0,
        stoppable=True,
        stopping=now.stopping,
    )
    panel.save_button.setEnabled(has_model)
    panel.load_button.setEnabled(resting)
    if now.state is State.TRAINING:
        panel.model_label.setText("A model is being trained.")
        panel.model_label.setToolTip("")
    elif resting:
        panel.model_label.setText(_about_model(now))
        panel.model_label.setToolTip(now.denoiser.record.noise if now.denoiser else "")


def _about_model(now: Situation) -> str:
    if now.denoiser is None:
        return "No model yet: train one, or load one."
    text = words.about_model(now.denoiser)
    return f"{text} {now.misfit}" if now.misfit else text
