"""The look of the dock: every control with its name, place and tooltip, and no behaviour."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFormLayout,
    QFrame,
    QHBoxLayout,
    QLabel,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from ..core.config import Progress
from . import words
from .form import ConfigForm
from .layer_box import LABEL_WIDTH, LayerBox
from .plot import LossPlot

PRESET_LABELS = {"fast": "Fast", "balanced": "Balanced", "best": "Best"}
OUTPUT_LABELS = {"best": "Best", "j-invariant": "Strict"}
TARGET_LABELS = {
    "layer": "the layer above",
    "selected": "layers selected in the list",
    "all": "all open images",
}


class Panel(QScrollArea):
    """The controls from top to bottom; whoever holds it connects them."""

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)

        self._error_colour = "red"
        self.layer_box = LayerBox(viewer)
        self._make_training()
        self._make_denoising()
        self._make_model()
        self.form = ConfigForm()
        self.form.setVisible(False)
        self.advanced_button = QToolButton()
        self.advanced_button.setObjectName("advanced_button")
        self.advanced_button.setText("Advanced")
        self.advanced_button.setCheckable(True)
        self.advanced_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self.advanced_button.setArrowType(Qt.ArrowType.RightArrow)
        self.advanced_button.setToolTip("Every setting of the training. The defaults are good.")
        self.advanced_button.toggled.connect(self._unfold)

        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(6, 4, 6, 4)
        column.setSpacing(5)
        column.addWidget(self.layer_box)
        column.addLayout(_form(("Preset", self.preset_combo)))
        column.addWidget(self.expected_label)
        column.addLayout(_row((self.train_button, 3), (self.restart_button, 1)))
        column.addWidget(self.progress_bar)
        column.addWidget(self.state_label)
        column.addWidget(self.loss_plot)
        column.addLayout(_row((self.preview_check, 1), (self.denoise_after_check, 1)))
        column.addWidget(_line())
        column.addLayout(_form(("Apply to", self.target_combo), ("Output", self.output_combo)))
        column.addWidget(self.denoise_button)
        column.addWidget(_line())
        column.addWidget(self.model_label)
        column.addLayout(_row((self.save_button, 1), (self.load_button, 1)))
        column.addWidget(self.advanced_button)
        column.addWidget(self.form)
        column.addStretch(1)
        self.setWidget(content)

    @property
    def choices(self) -> tuple[QWidget, ...]:
        """What must not change while something runs."""
        box = self.layer_box
        return (
            box.layer_combo,
            box.region_combo,
            box.axes_edit,
            self.preset_combo,
            self.form,
            self.target_combo,
            self.output_combo,
        )

    def say(self, message: str, *, error: bool = False) -> None:
        """Show a sentence in the state line."""
        colour = f"color: {self._error_colour};" if error else ""
        if self.state_label.styleSheet() != colour:
            self.state_label.setStyleSheet(colour)
        self.state_label.setText(message[:1].upper() + message[1:])

    def show_progress(self, progress: Progress) -> None:
        """Show how much is done and how long the rest takes."""
        self.progress_bar.setRange(0, progress.steps)
        self.progress_bar.setValue(progress.step)
        self.progress_bar.setFormat(words.on_bar(progress))

    def recolour(self, *, background: str, text: str, error: str) -> None:
        """Take on the colours of a theme, where stylesheets do not reach."""
        self._error_colour = error
        self.loss_plot.set_colours(background=background, text=text)

    def sizeHint(self) -> QSize:
        """Leaves a canvas of some 650 pixels in a window of 1280 x 720."""
        return QSize(320, 560)

    def minimumSizeHint(self) -> QSize:
        """Leave the rest to the scroll bar."""
        return QSize(250, 120)

    def _make_training(self) -> None:
        self.preset_combo = _combo("preset_combo", PRESET_LABELS)
        self.preset_combo.setToolTip(
            "How long to train. Fast for a first look, Balanced for most images, Best for the "
            "figure in the paper."
        )
        self.expected_label = _text("expected_label")
        self.train_button = _button(
            "train_button",
            "Train",
            "Learn to denoise from this image alone; nothing else is needed.\nStop keeps the best "
            "network so far; Continue goes on from there.",
        )
        font = self.train_button.font()
        font.setBold(True)
        self.train_button.setFont(font)
        self.restart_button = _button(
            "restart_button", "Start over", "Forget this network and train a new one."
        )
        self.progress_bar = QProgressBar()
        self.progress_bar.setObjectName("progress_bar")
        self.progress_bar.setToolTip("How much is done, and how long the rest will take.")
        self.progress_bar.setTextVisible(True)
        self.state_label = _text("state_label")
        self.state_label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.loss_plot = LossPlot()
        self.preview_check = QCheckBox("Live preview")
        self.preview_check.setObjectName("preview_check")
        self.preview_check.setToolTip(
            "While training, show what is on the screen as the network denoises it at the moment."
        )
        self.denoise_after_check = QCheckBox("Denoise at the end")
        self.denoise_after_check.setObjectName("denoise_after_check")
        self.denoise_after_check.setToolTip(
            "When the training has come to its end, denoise the whole layer at once."
        )

    def _make_denoising(self) -> None:
        self.target_combo = _combo("target_combo", TARGET_LABELS)
        self.target_combo.setToolTip("Which layers to denoise with the model.")
        self.output_combo = _combo("output_combo", OUTPUT_LABELS)
        self.output_combo.setToolTip(
            "Best gives the cleanest image.\nStrict computes every pixel from its neighbours "
            "alone, never from its own value: what theory and error estimates ask for."
        )
        self.denoise_button = _button(
            "denoise_button",
            "Denoise",
            "Apply the model. The result is a new layer; no other layer is touched.",
        )

    def _make_model(self) -> None:
        self.model_label = _text("model_label")
        self.save_button = _button(
            "save_button", "Save model...", "Keep the trained network in a small file."
        )
        self.load_button = _button(
            "load_button",
            "Load model...",
            "Use a network that was saved before. A model file may also be dropped on the viewer.",
        )

    def _unfold(self, shown: bool) -> None:
        self.form.setVisible(shown)
        arrow = Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow
        self.advanced_button.setArrowType(arrow)


def _combo(name: str, labels: dict[str, str]) -> QComboBox:
    combo = QComboBox()
    combo.setObjectName(name)
    for key, label in labels.items():
        combo.addItem(label, key)
    combo.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return combo


def _button(name: str, text: str, tooltip: str) -> QPushButton:
    button = QPushButton(text)
    button.setObjectName(name)
    button.setToolTip(tooltip)
    return button


def _text(name: str) -> QLabel:
    label = QLabel()
    label.setObjectName(name)
    label.setWordWrap(True)
    label.setTextFormat(Qt.TextFormat.PlainText)
    return label


def _line() -> QFrame:
    line = QFrame()
    line.setFrameShape(QFrame.Shape.HLine)
    return line


def _row(*widgets: tuple[QWidget, int]) -> QHBoxLayout:
    row = QHBoxLayout()
    for widget, stretch in widgets:
        row.addWidget(widget, stretch)
    return row


def _form(*rows: tuple[str, QWidget]) -> QFormLayout:
    form = QFormLayout()
    form.setContentsMargins(0, 0, 0, 0)
    for label, widget in rows:
        form.addRow(label, widget)
        form.labelForField(widget).setMinimumWidth(LABEL_WIDTH)
    return form
