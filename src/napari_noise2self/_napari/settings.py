"""What the dock remembers between two starts of napari."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings

from ..core.config import Output, TrainingConfig, check_output
from ..core.errors import ConfigError

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Remembered:
    """The state of the dock that outlives it.

    Attributes
    ----------
    preset
        Name of the preset.
    changes
        Fields of `TrainingConfig` that differ from the preset.
    output
        Which output Denoise makes.
    denoise_after
        Whether a training that ends by itself is followed by Denoise.
    preview
        Whether to show the live preview.
    advanced
        Whether the advanced settings are unfolded.
    folder
        Where a model was last saved or loaded.
    devices
        What each setting of Device came to when it was last trained with, in words.
    seconds_per_step
        Of earlier trainings, by `durations.kind_of_step`.
    """

    preset: str = "balanced"
    changes: Mapping[str, Any] = field(default_factory=dict)
    output: Output = "best"
    denoise_after: bool = True
    preview: bool = True
    advanced: bool = False
    folder: str = ""
    devices: Mapping[str, str] = field(default_factory=dict)
    seconds_per_step: Mapping[str, float] = field(default_factory=dict)

    def config(self) -> TrainingConfig:
        """Return the preset with the changes."""
        return TrainingConfig(**{**asdict(TrainingConfig.preset(self.preset)), **self.changes})


def changes_from_preset(config: TrainingConfig, preset: str) -> dict[str, Any]:
    """Return the fields in which a configuration differs from a preset."""
    base = asdict(TrainingConfig.preset(preset))
    return {name: value for name, value in asdict(config).items() if value != base[name]}


def _storage() -> QSettings:
    return QSettings(
        QSettings.Format.IniFormat, QSettings.Scope.UserScope, "napari-noise2self", "dock"
    )


def save(remembered: Remembered) -> None:
    """Keep `remembered` for the next start."""
    _storage().setValue("remembered", json.dumps(asdict(remembered)))


def load() -> Remembered:
    """Return what was kept; the defaults where nothing was, or nothing that can be read."""
    text = _storage().value("remembered")
    if not text:
        return Remembered()
    known = {f.name for f in fields(Remembered)}
    try:
        stored = {name: value for name, value in json.loads(text).items() if name in known}
        if isinstance(footprint := stored.get("changes", {}).get("footprint"), list):
            stored["changes"]["footprint"] = tuple(footprint)
        remembered = Remembered(**stored)
        remembered.config()
        check_output(remembered.output)
        Path(remembered.folder)
    except (AttributeError, ConfigError, TypeError, ValueError) as error:
        # written by another version, or damaged: the defaults are always right
        _log.warning("the remembered settings were not usable (%s); starting with defaults", error)
        return Remembered()
    return remembered
