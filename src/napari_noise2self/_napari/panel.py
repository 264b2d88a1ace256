"""The look of the dock: every control with its name, place and tooltip, and no behaviour."""

from __future__ import annotations

from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QCheckBox, QToolButton, QWidget

from .dock import Dock
from .form import ConfigForm
from .layer_box import LayerCombo
from .pieces import button, combo, form, line, row, text
from .plot import LossPlot

PRESET_LABELS = {"fast": "Fast", "balanced": "Balanced", "best": "Best"}
OUTPUT_LABELS = {"best": "Best", "j-invariant": "Strict", "disagreement": "Disagreement"}
PAIR_LABELS = {"noise2noise": "noisy", "noise2clean": "clean"}
TARGET_LABELS = {
    "layer": "this layer",
    "selected": "selected",
    "all": "all open",
}


class Panel:
    """The controls from top to bottom; the dock that they are in connects them.

    Parameters
    ----------
    dock
        Has a layer box, a progress bar, a state line, and the column to fill.
    """

    def __init__(self, dock: Dock) -> None:
        self.layer_box = dock.layer_box
        self.progress_bar = dock.progress_bar
        self.state_label = dock.state_label
        self._make_pair(dock)
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

        rows = dock.column.rows
        rows.addWidget(self.layer_box)
        rows.addLayout(form(("Target", self._pair)))
        rows.addLayout(form(("Preset", self.preset_combo)))
        rows.addWidget(self.expected_label)
        rows.addLayout(row((self.train_button, 3), (self.restart_button, 1)))
        rows.addWidget(self.progress_bar)
        rows.addWidget(self.state_label)
        rows.addWidget(self.loss_plot)
        rows.addLayout(row((self.preview_check, 1), (self.denoise_after_check, 1)))
        rows.addWidget(line())
        rows.addLayout(form(("Apply to", _beside((self.target_combo, 6), (self.output_combo, 7)))))
        rows.addWidget(self.denoise_button)
        rows.addWidget(line())
        rows.addWidget(self.model_label)
        rows.addLayout(row((self.save_button, 1), (self.load_button, 1)))
        rows.addWidget(self.advanced_button)
        rows.addWidget(self.form)
        rows.addStretch(1)

    @property
    def choices(self) -> tuple[QWidget, ...]:
        """What must not change while something runs."""
        box = self.layer_box
        return (
            box.layer_combo,
            box.region_combo,
            box.axes_edit,
            self.pair_combo,
            self.pair_kind_combo,
            self.preset_combo,
            self.form,
            self.target_combo,
            self.output_combo,
        )

    def _make_pair(self, dock: Dock) -> None:
        self.pair_combo = LayerCombo(dock.viewer, Image, nothing="none: the image alone")
        self.pair_combo.setObjectName("pair_combo")
        self.pair_combo.setToolTip(
            "None is needed. If the same scene was recorded twice, choose the second recording:\n"
            "the network then learns to predict one from the other (Noise2Noise)."
        )
        self.pair_kind_combo = combo(
            "pair_kind_combo",
            PAIR_LABELS,
            "Noisy: a second recording like the first. Clean: one with hardly any noise, for "
            "example a long exposure.",
        )
        self._pair = _beside((self.pair_combo, 3), (self.pair_kind_combo, 1))

    def _make_training(self) -> None:
        self.preset_combo = combo(
            "preset_combo",
            PRESET_LABELS,
            "How long to train. Fast for a first look, Balanced for most images, Best for stacks "
            "and movies, where longer training still gains.",
        )
        self.expected_label = text("expected_label")
        self.train_button = button(
            "train_button",
            "Train",
            "Learn to denoise from this image alone; nothing else is needed.\nStop keeps the best "
            "network so far; Continue goes on from there.",
            bold=True,
        )
        self.restart_button = button(
            "restart_button", "Start over", "Forget this network and train a new one."
        )
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
        self.target_combo = combo(
            "target_combo", TARGET_LABELS, "Which layers to denoise with the model."
        )
        self.output_combo = combo(
            "output_combo",
            OUTPUT_LABELS,
            "Best gives the cleanest image.\nStrict computes every pixel from its neighbours "
            "alone, never from its own value: what theory and error estimates ask for.\n"
            "Disagreement is no image: it shows where three strict results differ, because each "
            "was computed from other neighbours. Mistrust what is bright.",
        )
        self.denoise_button = button(
            "denoise_button",
            "Denoise",
            "Apply the model. The result is a new layer; no other layer is changed.\n"
            "A noisy channel that is added to others is hidden then: click the eye to compare.",
        )

    def _make_model(self) -> None:
        self.model_label = text("model_label")
        self.save_button = button(
            "save_button",
            "Save model...",
            "Keep the trained network in a small file, or write it for Fiji and other programs.",
        )
        self.load_button = button(
            "load_button",
            "Load model...",
            "Use a network that was saved before. A model file may also be dropped on the viewer.",
        )

    def _unfold(self, shown: bool) -> None:
        self.form.setVisible(shown)
        arrow = Qt.ArrowType.DownArrow if shown else Qt.ArrowType.RightArrow
        self.advanced_button.setArrowType(arrow)


def _beside(*widgets: tuple[QWidget, int]) -> QWidget:
    """Return widgets side by side as one, for a row of a form."""
    both = QWidget()
    layout = row(*widgets)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    both.setLayout(layout)
    return both
