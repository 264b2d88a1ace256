from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from qtpy.QtWidgets import QWidget

from napari_noise2self._napari.form import FIELDS, ConfigForm
from napari_noise2self.core.config import PRESETS, TrainingConfig
from napari_noise2self.core.errors import ConfigError

NOT_SHOWN = {"method"}
"""It follows from the target; the value is carried along."""


@pytest.fixture
def form(qtbot: Any) -> ConfigForm:
    form = ConfigForm()
    qtbot.addWidget(form)
    return form


def widget(form: ConfigForm, name: str) -> Any:
    return form._widgets[name]


@pytest.mark.parametrize(
    "config",
    [
        *(TrainingConfig.preset(name) for name in PRESETS),
        TrainingConfig(time_limit=100.0, learning_rate=0.00123456, footprint=(1, 9)),
        TrainingConfig(device="cuda:1", precision="float32", seed=2**40, patience=0),
        TrainingConfig(footprint=(1, 5, 5), steps=7, width=4, depth=1, network="dncnn"),
    ],
)
def test_round_trip(form: ConfigForm, config: TrainingConfig) -> None:
    form.setValue(config)
    assert form.value() == config


def test_every_field_is_shown_with_a_tooltip(form: ConfigForm) -> None:
    assert {f.name for f in fields(TrainingConfig)} == set(FIELDS) | NOT_SHOWN
    for name in FIELDS:
        assert widget(form, name).tooltip
    assert all(child.toolTip() for child in form.findChildren(QWidget, "reset_button"))


@pytest.mark.parametrize(
    ("name", "shown", "value"),
    [
        ("steps", 77, 77),
        ("time_limit", 1.5, 90.0),
        ("time_limit", 0.0, None),
        ("footprint", "1 x 9", (1, 9)),
        ("footprint", "5,5", (5, 5)),
        ("footprint", "(1, 5, 5)", (1, 5, 5)),
        ("footprint", " ", None),
        ("device", "cpu", "cpu"),
        ("noise_model", False, False),
    ],
)
def test_an_edit_changes_its_field_alone(
    form: ConfigForm, qtbot: Any, name: str, shown: Any, value: Any
) -> None:
    base = TrainingConfig(time_limit=600.0, footprint=(3, 3), device="cuda")
    form.setValue(base)
    with qtbot.waitSignal(form.valueChanged):
        widget(form, name).value = shown
    edited = form.value()
    assert getattr(edited, name) == value
    others = [f.name for f in fields(TrainingConfig) if f.name != name]
    assert [getattr(edited, n) for n in others] == [getattr(base, n) for n in others]


@pytest.mark.parametrize("text", ["wide", "2 x 2", "5", "(5, 5, 5, 5)", "-1 x 5"])
def test_a_wrong_footprint_is_explained(form: ConfigForm, text: str) -> None:
    widget(form, "footprint").value = text
    with pytest.raises(ConfigError, match='for example "1 x 9" or "5 x 5"'):
        form.value()
