"""The advanced settings, generated from `TrainingConfig` with its types, limits and defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from magicgui.widgets import create_widget
from magicgui.widgets.bases import ValueWidget
from qtpy.QtCore import Signal
from qtpy.QtWidgets import QAbstractSpinBox, QComboBox, QPushButton, QWidget

from ..core.config import CHOICES, LIMITS, MOST_CONTEXT, TrainingConfig, sizes_in_words
from ..core.errors import ConfigError
from . import pieces

LARGEST_SPIN = 2**31 - 1
AUTOMATIC = "automatic"


def _same(value: Any) -> Any:
    return value


def _spinnable(number: int) -> int:
    return min(number, LARGEST_SPIN)


def _minutes(seconds: float | None) -> float:
    return 0.0 if seconds is None else seconds / 60


def _seconds(minutes: float) -> float | None:
    return minutes * 60 if minutes > 0 else None


def _none_shown(choice: Any) -> Callable[[Any], Any]:
    """Show None as `choice`: a combo box has none for it."""
    return lambda value: choice if value is None else value


def _none_read(choice: Any) -> Callable[[Any], Any]:
    return lambda shown: None if shown == choice else shown


def _hole_text(footprint: tuple[int, ...] | None) -> str:
    return "" if footprint is None else sizes_in_words(footprint)


def _hole(text: str) -> tuple[int, ...] | None:
    if not text.strip():
        return None
    parts = text.strip().strip("()[]").lower().replace(",", "x").split("x")
    with suppress(ValueError):
        widths = tuple(int(part) for part in parts)
        if len(widths) in (2, 3) and all(w > 0 and w % 2 for w in widths):
            return widths
    raise ConfigError(
        f'Mask footprint "{text}": expected odd widths along Y and X, for example "1 x 9" or '
        '"5 x 5", along Z as well for a 3-D network, or nothing to take it from the noise'
    )


@dataclass(frozen=True)
class Field:
    """How one field of the configuration is shown.

    Attributes
    ----------
    label, tooltip
        In the words of somebody who has images to denoise.
    options
        For the magicgui widget.
    show, read
        From the field's value to the widget's, and back.
    """

    label: str
    tooltip: str
    options: Mapping[str, Any] = field(default_factory=dict)
    show: Callable[[Any], Any] = _same
    read: Callable[[Any], Any] = _same


FIELDS: Mapping[str, Field] = {
    "steps": Field("Steps", "How long to train. More steps, a better result, up to a point."),
    "time_limit": Field(
        "Minutes",
        "Stop training after this many minutes; 0 for no limit.",
        {"widget_type": "FloatSpinBox", "min": 0, "max": 100_000, "step": 0.5},
        _minutes,
        _seconds,
    ),
    "patience": Field(
        "Patience",
        "Stop early after this many looks at the held-out pixels without any improvement; "
        "0 never stops early.",
    ),
    "validate_every": Field(
        "Look every", "Steps between two looks at the held-out pixels (the orange curve)."
    ),
    "network": Field(
        "Network",
        "How the network is built. unet sees structures of every size; dncnn sees a small "
        "neighbourhood, and needs more time.",
        {"widget_type": "ComboBox", "choices": list(CHOICES["network"])},
    ),
    "width": Field(
        "Width",
        "Size of the network. Wider learns finer structures, and takes longer and more memory.",
        {"step": 8},
    ),
    "depth": Field(
        "Depth", "How far the network looks around a pixel: each level doubles the distance."
    ),
    "learning_rate": Field(
        "Learning rate",
        "Size of one training step. Smaller if the curves jump about, larger if they hardly fall.",
        {"min": 1e-6, "max": 1.0, "step": 0.0005},
    ),
    "patch_size": Field(
        "Patch", "Edge of the pieces that the network is trained on, in pixels.", {"step": 16}
    ),
    "patch_depth": Field(
        "Patch depth", "Planes of the pieces that a 3-D network is trained on.", {"step": 4}
    ),
    "pixels_per_step": Field(
        "Pixels per step",
        "Pixels that are looked at in one step. Fewer need less memory.",
        {"step": 8192},
    ),
    "stride": Field(
        "Mask stride", "Distance between the pixels that are hidden together, in pixels."
    ),
    "footprint": Field(
        "Mask footprint",
        "The hole that hides a pixel with the noise it shares with its neighbours, for example "
        '"5 x 5" (Y x X), or "1 x 9" for noise in horizontal lines. Empty: measured in the image.',
        {"widget_type": "LineEdit"},
        _hole_text,
        _hole,
    ),
    "dimensions": Field(
        "Network in",
        "Automatic denoises a z-stack plane by plane, with the neighbouring planes in view. A 3-D "
        "network takes several times as long for a step.",
        {
            "widget_type": "ComboBox",
            "choices": [(AUTOMATIC, 0), ("2-D", 2), ("3-D", 3)],
        },
        _none_shown(0),
        _none_read(0),
    ),
    "context": Field(
        "Neighbours",
        "How many frames (or planes) before and after it the network sees when it denoises one. "
        "Automatic: 2, or 0 where neighbours share noise.",
        {
            "widget_type": "ComboBox",
            "choices": [(AUTOMATIC, -1), *((str(n), n) for n in range(MOST_CONTEXT + 1))],
        },
        _none_shown(-1),
        _none_read(-1),
    ),
    "noise_model": Field(
        "Noise level",
        "Measure how strong the noise is and, where that is sure, let each pixel's own value count "
        "for as much as it should; what noise cannot explain is given back to the result. Off: "
        "hide pixels, and nothing else.",
        {"text": "use it where it is sure"},
    ),
    "seed": Field(
        "Seed",
        "Two trainings with the same seed on the same computer give the same result.",
        show=_spinnable,
    ),
    "device": Field(
        "Device",
        "What computes. Automatic takes the GPU if there is one.",
        {
            "widget_type": "ComboBox",
            "choices": [
                ("automatic", AUTOMATIC),
                ("CPU", "cpu"),
                ("GPU (CUDA)", "cuda"),
                ("GPU (Apple)", "mps"),
            ],
        },
        _none_shown(AUTOMATIC),
        _none_read(AUTOMATIC),
    ),
    "precision": Field(
        "Precision",
        "Automatic computes with fewer digits where the device is much faster at it.",
        {"widget_type": "ComboBox", "choices": list(CHOICES["precision"])},
    ),
}


class ConfigForm(QWidget):
    """Edits one `TrainingConfig`; `valueChanged` says that it was edited."""

    valueChanged = Signal()
    resetRequested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._base = TrainingConfig()
        self._widgets = {
            name: _widget(name, how, getattr(self._base, name)) for name, how in FIELDS.items()
        }
        self._shown = self._raw()
        for widget in self._widgets.values():
            widget.changed.connect(self._edited)
        self.reset_button = QPushButton("Reset to preset")
        self.reset_button.setObjectName("reset_button")
        self.reset_button.setToolTip("Put every advanced setting back to what the preset says.")
        self.reset_button.clicked.connect(self._reset)
        layout = pieces.form(*((FIELDS[name].label, w.native) for name, w in self._widgets.items()))
        layout.addRow(self.reset_button)
        self.setLayout(layout)

    def value(self) -> TrainingConfig:
        """Return the configuration as it stands.

        Raises
        ------
        ConfigError
            If a field is out of its range.
        """
        changed = {
            name: FIELDS[name].read(raw)
            for name, raw in self._raw().items()
            if raw != self._shown[name]  # a widget may round: what was not touched stays exact
        }
        return replace(self._base, **changed)

    def setValue(self, config: TrainingConfig) -> None:
        """Show a configuration."""
        self._base = config
        for name, how in FIELDS.items():
            widget, value = self._widgets[name], how.show(getattr(config, name))
            with widget.changed.blocked():
                if name == "device":
                    _offer(widget, value)
                widget.value = value
        self._shown = self._raw()
        self.valueChanged.emit()

    def _edited(self, _: Any) -> None:
        self.valueChanged.emit()

    def _reset(self) -> None:
        self.resetRequested.emit()

    def _raw(self) -> dict[str, Any]:
        return {name: widget.value for name, widget in self._widgets.items()}


def _widget(name: str, how: Field, value: Any) -> ValueWidget[Any]:
    options = dict(how.options)
    if name in LIMITS:
        low, high = LIMITS[name]
        options.update(min=low, max=min(high, LARGEST_SPIN))
    options["tooltip"] = how.tooltip
    widget_type = options.pop("widget_type", None)
    if "text" not in options:  # a button says it itself
        options["label"] = how.label
    widget = create_widget(how.show(value), name=name, widget_type=widget_type, options=options)
    assert isinstance(widget, ValueWidget)
    if isinstance(widget.native, QComboBox | QAbstractSpinBox):
        pieces.clicked_before_rolled(widget.native)
    if name == "footprint":
        widget.native.setPlaceholderText("from the noise")
    return widget


def _offer(combo: Any, device: str) -> None:
    """Add a device that is not among the choices, for example the second GPU."""
    if device not in combo.choices:
        combo.choices = [*FIELDS["device"].options["choices"], (device, device)]
