"""Buttons, labels and rows as every dock has them."""

from __future__ import annotations

from collections.abc import Mapping

from qtpy.QtCore import QEvent, QObject, QSize, Qt
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

LABEL_WIDTH = 56
"""Pixels, so that the controls of a whole dock stand in one column."""


class Column(QScrollArea):
    """A column of controls that scrolls where the window is too low for it."""

    def __init__(self) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        content = QWidget()
        self.rows = QVBoxLayout(content)
        self.rows.setContentsMargins(6, 4, 6, 4)
        self.rows.setSpacing(5)
        self.setWidget(content)

    def sizeHint(self) -> QSize:
        """Leaves a canvas of some 600 pixels in a window of 1280 x 720."""
        return QSize(336, 560).expandedTo(self.minimumSizeHint())

    def minimumSizeHint(self) -> QSize:
        """Give every control its width; the height is left to the scroll bar."""
        bar = self.verticalScrollBar().sizeHint().width()
        return QSize(self.widget().minimumSizeHint().width() + bar, 120)

    def event(self, event: QEvent) -> bool:
        """Pass on that the controls need another width: some do in napari's style."""
        if event.type() in (QEvent.Type.LayoutRequest, QEvent.Type.Show):
            self.updateGeometry()
        return super().event(event)


class _Unfocused(QObject):
    """Passes the wheel on to the dock unless the control that it is over has the focus."""

    def eventFilter(self, control: QObject, event: QEvent) -> bool:
        if event.type() != QEvent.Type.Wheel or control.hasFocus():
            return False
        event.ignore()  # Qt then asks the parent, and so the scroll area
        return True


def clicked_before_rolled(control: QWidget) -> None:
    """Let the wheel change a combo or spin box only after a click: rolling past it scrolls."""
    control.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
    control.installEventFilter(_Unfocused(control))


def combo(name: str, labels: Mapping[str, str], tooltip: str) -> QComboBox:
    """Return a combo box that offers `labels`, with their keys as data."""
    box = QComboBox()
    box.setObjectName(name)
    box.setToolTip(tooltip)
    for key, label in labels.items():
        box.addItem(label, key)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToContents)
    box.view().setMinimumWidth(box.view().sizeHintForColumn(0) + 24)
    clicked_before_rolled(box)
    return box


def button(name: str, text: str, tooltip: str, *, bold: bool = False) -> QPushButton:
    """Return a push button."""
    made = QPushButton(text)
    made.setObjectName(name)
    made.setToolTip(tooltip)
    font = made.font()
    font.setBold(bold)
    made.setFont(font)
    return made


def show_toggle(
    button: QPushButton, verb: str, *, resting: bool, ready: bool, stoppable: bool, stopping: bool
) -> None:
    """Let a button begin a job, and stop it.

    Parameters
    ----------
    button
        The button.
    verb
        What it says at rest.
    resting
        Whether no job runs.
    ready
        Whether one can begin.
    stoppable
        Whether the one that runs can be stopped.
    stopping
        Whether it has been asked to stop.
    """
    button.setText(verb if resting else "Stopping" if stopping else "Stop")
    button.setEnabled(ready if resting else stoppable and not stopping)


def text(name: str) -> QLabel:
    """Return a label for sentences, which can be selected and copied."""
    label = QLabel()
    label.setObjectName(name)
    # A file name cannot be wrapped: it must not widen the dock beyond the window.
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def progress_bar() -> QProgressBar:
    """Return the bar of a dock."""
    bar = QProgressBar()
    bar.setObjectName("progress_bar")
    bar.setToolTip("How much is done, and how long the rest will take.")
    bar.setTextVisible(True)
    bar.setRange(0, 1)
    bar.setValue(0)
    bar.setFormat("")
    return bar


def line() -> QFrame:
    """Return a horizontal line."""
    made = QFrame()
    made.setFrameShape(QFrame.Shape.HLine)
    return made


def row(*widgets: tuple[QWidget, int]) -> QHBoxLayout:
    """Return widgets side by side, each with its stretch."""
    layout = QHBoxLayout()
    for widget, stretch in widgets:
        layout.addWidget(widget, stretch)
    return layout


def form(*rows: tuple[str, QWidget]) -> QFormLayout:
    """Return labelled widgets below one another."""
    layout = QFormLayout()
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
    for label, widget in rows:
        layout.addRow(_Label(label), widget)
    return layout


class _Label(QLabel):
    """The label of a row: as wide as its text, and at least as those of the other forms."""

    def sizeHint(self) -> QSize:
        return super().sizeHint().expandedTo(QSize(LABEL_WIDTH, 0))

    def minimumSizeHint(self) -> QSize:
        return self.sizeHint()
