"""The controls that every dock is made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QWidget,
)

from napari_noise2self._napari.calibrate import CalibrateWidget
from napari_noise2self._napari.dock import Dock
from napari_noise2self._napari.inspect import InspectWidget
from napari_noise2self._napari.pieces import combo
from napari_noise2self._napari.widget import DenoiseWidget


@pytest.fixture(params=[DenoiseWidget, CalibrateWidget, InspectWidget])
def dock(request: Any, qtbot: Any, viewer: ViewerModel, noisy: np.ndarray) -> Dock:
    for name in ("first", "second", "third"):
        viewer.add_image(noisy, name=name)
        viewer.add_shapes(name=f"around {name}")
    viewer.layers.selection = {viewer.layers["second"]}
    widget = request.param(viewer)
    qtbot.addWidget(widget)
    if isinstance(widget, DenoiseWidget):
        widget.panel.advanced_button.click()
    widget.show()
    qtbot.waitExposed(widget)
    return widget


def cut(control: QWidget) -> bool:
    """Whether a control has less width than it needs, or stands out of what the dock shows."""
    short = control.width() < control.minimumSizeHint().width()
    end = control.mapTo(control.window(), control.rect().topRight()).x()
    return short or end > control.window().width()


def test_every_control_is_whole_in_the_narrowest_dock(dock: Dock, qtbot: Any) -> None:
    if isinstance(dock, DenoiseWidget):
        dock.panel.pair_combo.setCurrentIndex(1)
    dock.say("The model is saved in /a/folder/" + "of-many-letters" * 9 + ".safetensors.")
    qtbot.wait(50)
    dock.resize(dock.minimumSizeHint())
    qtbot.wait(50)
    assert dock.width() <= 360, "a long name does not widen it"
    assert dock.column.verticalScrollBar().isVisible()
    kinds = (QComboBox, QAbstractSpinBox, QAbstractButton)
    controls = [c for kind in kinds for c in dock.findChildren(kind) if c.isVisible()]
    assert len(controls) >= 3
    assert [c.objectName() for c in controls if cut(c)] == []


def test_a_choice_that_is_offered_later_widens_the_narrowest_dock(
    qtbot: Any, viewer: ViewerModel
) -> None:
    dock = InspectWidget(viewer)
    qtbot.addWidget(dock)
    dock.show()
    before = dock.layout().minimumSize().width()
    later = combo("later", {"long": "a choice that is as long as a whole sentence of words"}, "")
    dock.column.rows.addWidget(later)
    qtbot.waitUntil(lambda: dock.layout().minimumSize().width() > before)


def test_a_combo_has_room_for_its_longest_choice(qtbot: Any) -> None:
    longest = "Disagreement of many kinds"
    box = combo("box", {"first": "layer", "last": longest}, "")
    qtbot.addWidget(box)
    assert box.minimumSizeHint().width() > box.fontMetrics().horizontalAdvance(longest)


def roll(control: QWidget) -> bool:
    """Turn the wheel over a control by one notch; whether it took that, so that nothing scrolls."""
    place = QPointF(control.rect().center())
    event = QWheelEvent(
        place,
        QPointF(control.mapToGlobal(control.rect().center())),
        QPoint(),
        QPoint(0, -120),
        Qt.MouseButton.NoButton,
        Qt.KeyboardModifier.NoModifier,
        Qt.ScrollPhase.NoScrollPhase,
        False,
    )
    QApplication.sendEvent(control, event)
    return bool(event.isAccepted())


def shown(control: QWidget) -> str:
    return control.currentText() if isinstance(control, QComboBox) else control.text()


def test_rolling_over_a_control_is_left_to_the_dock(dock: Dock) -> None:
    controls = [*dock.findChildren(QComboBox), *dock.findChildren(QAbstractSpinBox)]
    assert len(controls) >= 3
    for control in controls:
        before = shown(control)
        assert not roll(control), control.objectName()
        assert shown(control) == before, control.objectName()


def test_after_a_click_the_wheel_goes_through_the_choices(dock: Dock, qtbot: Any) -> None:
    combo = dock.layer_box.layer_combo
    dock.activateWindow()
    combo.setFocus()
    qtbot.waitUntil(combo.hasFocus)
    before = combo.currentText()
    assert roll(combo)
    assert combo.currentText() != before
