"""Keeps preset, advanced settings and everything remembered in step with the controls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from qtpy.QtCore import QObject, Signal

from ..core.axes import Stack
from ..core.config import TrainingConfig
from ..core.errors import ConfigError
from . import settings
from .durations import expected, in_words, kind_of_step
from .panel import PRESET_LABELS, Panel
from .plan import Plan


class Memory(QObject):
    """Reads the remembered settings into the controls, and keeps what is changed there.

    Parameters
    ----------
    panel
        The controls.
    parent
        Lives as long as this.
    """

    changed = Signal()

    def __init__(self, panel: Panel, parent: QObject) -> None:
        super().__init__(parent)
        self._panel = panel
        self.remembered = settings.load()
        self._show()
        panel.preset_combo.currentIndexChanged.connect(self._preset_chosen)
        panel.form.valueChanged.connect(self._form_edited)
        panel.form.resetRequested.connect(self._preset_chosen)
        panel.output_combo.currentIndexChanged.connect(self._controls_changed)
        panel.denoise_after_check.toggled.connect(self._controls_changed)
        # clicked, not toggled: deleting a preview takes the tick away, and is no habit
        panel.preview_check.clicked.connect(self._preview_clicked)
        panel.advanced_button.toggled.connect(self._controls_changed)

    def keep(self, **changes: Any) -> None:
        """Remember `changes`, fields of `settings.Remembered`."""
        self.remembered = replace(self.remembered, **changes)
        settings.save(self.remembered)

    def keep_device(self, config: TrainingConfig, device: str) -> None:
        """Remember what the device of a configuration is, in words."""
        self.keep(devices={**self.remembered.devices, _setting(config): device})

    def keep_pace(self, config: TrainingConfig, denoiser: Any) -> None:
        """Remember what a step of a training took."""
        record = denoiser.record
        if record.steps < 10:  # too short to tell
            return
        kind = kind_of_step(config, denoiser.ndim)
        paces = {**self.remembered.seconds_per_step, kind: record.seconds / record.steps}
        self.keep(seconds_per_step=paces)

    def expectation(self, plan: Plan, *, steps_done: int) -> str:
        """Say how long a training will take, and on what."""
        axes = Stack.of(plan.source.image).axes
        ndim = plan.config.dimensions_for(axes)
        seconds, measured = expected(
            plan.config, ndim, self.remembered.seconds_per_step, steps_done=steps_done
        )
        where = "on this computer" if measured else "on an office computer, less with a GPU"
        device = self.remembered.devices.get(_setting(plan.config)) or _likely(plan.config)
        return f"{in_words(seconds).capitalize()} {where}. {device[:1].upper()}{device[1:]}."

    def _show(self) -> None:
        panel, remembered = self._panel, self.remembered
        panel.preset_combo.setCurrentIndex(panel.preset_combo.findData(remembered.preset))
        panel.form.setValue(remembered.config())
        self._mark_changes()
        panel.output_combo.setCurrentIndex(panel.output_combo.findData(remembered.output))
        panel.denoise_after_check.setChecked(remembered.denoise_after)
        panel.preview_check.setChecked(remembered.preview)
        panel.advanced_button.setChecked(remembered.advanced)

    def _preset_chosen(self, _: Any = None) -> None:
        preset = self._panel.preset_combo.currentData()
        self.keep(preset=preset, changes={})
        self._panel.form.setValue(TrainingConfig.preset(preset))

    def _form_edited(self) -> None:
        try:
            config = self._panel.form.value()
        except ConfigError:
            self.changed.emit()  # whoever plans a training will say what is wrong
            return
        self.keep(changes=settings.changes_from_preset(config, self.remembered.preset))
        self._mark_changes()
        self.changed.emit()

    def _mark_changes(self) -> None:
        """Say in the preset's name that advanced settings differ from it."""
        changed = bool(self.remembered.changes)
        self._panel.form.reset_button.setEnabled(changed)
        combo = self._panel.preset_combo
        for index in range(combo.count()):
            mark = ", changed" if changed and index == combo.currentIndex() else ""
            combo.setItemText(index, PRESET_LABELS[combo.itemData(index)] + mark)

    def _controls_changed(self, _: Any = None) -> None:
        panel = self._panel
        output = panel.output_combo.currentData()
        if output == "disagreement":  # a question asked now and then, not a habit
            output = self.remembered.output
        self.keep(
            output=output,
            denoise_after=panel.denoise_after_check.isChecked(),
            advanced=panel.advanced_button.isChecked(),
        )

    def _preview_clicked(self, wanted: bool) -> None:
        self.keep(preview=wanted)


def _setting(config: TrainingConfig) -> str:
    return config.device or "automatic"


def _likely(config: TrainingConfig) -> str:
    """Say what a setting of Device will come to that nobody has trained with."""
    if config.device is None:
        return "a GPU is used if there is one"
    return f"the {config.device.upper()} is used, as chosen"
