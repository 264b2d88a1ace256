"""What the dock says in its state line, on its progress bar and about its model."""

from __future__ import annotations

from typing import Any

from ..core.axes import Stack
from ..core.config import Progress
from .durations import in_words

SETTLED = 1.5
"""Seconds after which an estimate of the rest is worth telling."""

STARTING = "Starting; the first time takes a few seconds."

READY = "Ready. Train learns from the layer above."

NO_IMAGE = "Open an image, or select one in the layer list."

_STAGES = {
    "analyse": "Looking at the image and its noise.",
    "read": "Reading the image.",
    "load": "Loading the model.",
    "save": "Saving the model.",
    "export": "Computing what other programs can compare with.",
}


MENDS = {
    **dict.fromkeys(
        (", for example with api.fill_nan(image)", ", for example with api.fill_nan(target)"),
        ' with "Layers > Filter > Replace NaN and infinite values"',
    ),
    "that are NaN or infinite; then": (
        'that are NaN or infinite with "Layers > Filter > Replace NaN and infinite values"; then'
    ),
    "give footprint=(1, 1)": 'write "1 x 1" as Mask footprint, under Advanced',
    "give footprint=(1, 1, 1)": 'write "1 x 1 x 1" as Mask footprint, under Advanced',
    "; convert it, for example image.astype('uint8')": "",
    "; convert it to a numeric dtype, for example image.astype('float32')": "",
    "; take a part of it, as image[0]": "; take a part of it that has fewer",
    "leave dimensions out and give a footprint of two widths,": (
        "choose automatic as Network in, and two widths as Mask footprint, under Advanced,"
    ),
    "device='cpu'": "the CPU as device, under Advanced",
}
"""What errors and notices advise in Python, and its counterpart here."""


def as_here(message: str) -> str:
    """Return what the engine says, with the mend that the dock has for it."""
    for python, here in MENDS.items():
        message = message.replace(python, here)
    return message


def running(progress: Progress, keeps: str = "") -> str:
    """Say what is going on, and what a stop of a Denoise `keeps`."""
    if progress.stage == "train":
        text = f"Training: step {progress.step} of {progress.steps}"
        best = f", best so far {progress.best_step}" if progress.best_step else ""
        return f"{text}{best}."
    if progress.stage == "predict":
        return denoising(keeps)
    return _STAGES.get(progress.stage, f"{progress.stage.capitalize()}.")


def denoising(keeps: str) -> str:
    """Say that results are being made, and what a stop `keeps` of them where it is finished."""
    return f"Denoising. Stop keeps the {keeps} that are finished." if keeps else "Denoising."


def on_bar(progress: Progress) -> str:
    """Say how much is done and how long the rest takes."""
    percent = round(100 * progress.step / max(1, progress.steps))
    if progress.seconds_left is None or progress.seconds < SETTLED:
        return f"{percent}%"
    return f"{percent}%, {in_words(progress.seconds_left)} left"


def trained(denoiser: Any, *, stopped: bool) -> str:
    """Say how a training ended."""
    record = denoiser.record
    how = "Stopped" if stopped else "Trained"
    text = f"{how} after {record.steps} steps, {in_words(record.seconds)}."
    if not record.best_step:
        return f"{text} Nothing was learnt yet: the model does no more than smooth."
    if record.best_step < record.steps:
        text += f" The weights of step {record.best_step} are kept: the best."
    if record.validation_loss >= record.baseline_loss:
        text += (
            " They are no better than an average of the neighbours: train for longer, or on a "
            "larger part of the image."
        )
    return text


def about_model(denoiser: Any) -> str:
    """Say what a model was trained on."""
    record = denoiser.record
    kind = "volumes" if denoiser.ndim == 3 else "planes"
    if denoiser.context:
        kind = f"{'planes' if denoiser.context_axis == 'Z' else 'frames'} with their neighbours"
    channels = f", {denoiser.channels} channels" if denoiser.channels > 1 else ""
    image = record.image or "an image that is not recorded"
    return f"Model for {kind}{channels}, trained {record.steps} steps on {image}."


def _channels(many: int) -> str:
    return "1 channel" if many == 1 else f"{many} channels"


def misfit(denoiser: Any, stack: Stack) -> str | None:
    """Say why a model does not fit an image; None if it does."""
    if denoiser.ndim > len(stack.spatial):
        return "It does not fit this layer, whose axes have no Z: it denoises volumes."
    if stack.channels != denoiser.channels:
        return (
            f"It does not fit this layer: it is for images of {_channels(denoiser.channels)}, "
            f"and this one has {_channels(stack.channels)}."
        )
    return None
