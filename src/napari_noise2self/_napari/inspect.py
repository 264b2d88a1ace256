"""The dock Inspect: what the noise of a layer is like, what suits it, and what a result lost."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any
from weakref import ref

from napari.layers import Image
from qtpy.QtCore import Qt, Signal

from ..core.config import Progress
from ..core.errors import Noise2SelfError
from . import dialogs, pieces, words
from . import inspection_jobs as jobs
from .dock import Dock
from .figure_view import FigureView
from .layer_box import LayerCombo
from .layers import METADATA_KEY, array_of
from .worker import Ended

READY = "Ready. Inspect looks at the noise of the layer above; nothing is changed."

NO_STRICT = "without the strict, J-invariant output"
WHERE_STRICT = (
    ': where "Denoise" made the layer, choose Strict there beside "Apply to", click Denoise, and '
    "inspect that result"
)
"""What an inspection says of an estimate that it lacks, and how to have it."""

_STAGES = {
    "diagnose": "Looking at the noise, plane by plane.",
    "inspect": "Looking at what was taken away.",
    "figure": "Drawing the figure.",
    "save": "Saving the figure.",
}


class InspectWidget(Dock):
    """Say in plain words what the noise of a layer is like, and what a result lost.

    `inspection_finished` is emitted when something was found; `failed` when
    anything went wrong, with the message.
    """

    inspection_finished = Signal()

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.found: jobs.Inspected | None = None
        """What was found last: a diagnosis, an inspection of the result, the figure."""
        self._subject = ""
        self._inspects = False  # or saves a figure
        self._looked_at: Callable[[], Any] = lambda: None  # the layer that was chosen last
        self._build()
        self.inspect_button.clicked.connect(self._inspect_clicked)
        self.save_button.clicked.connect(self._save_clicked)
        self.layer_box.valueChanged.connect(self._layer_changed)
        self.noisy_combo.valueChanged.connect(self.choice_changed)
        self.listen()

    def _build(self) -> None:
        box = self.layer_box
        box.layer_combo.setToolTip("The layer to look at: a noisy image, or a denoised one.")
        box.region_combo.setVisible(False)  # Qt 5 cannot hide a row as such
        box.layout().labelForField(box.region_combo).setVisible(False)
        self.noisy_combo = LayerCombo(self.viewer, Image, nothing="the layer above itself")
        self.noisy_combo.setObjectName("noisy_combo")
        self.noisy_combo.setToolTip(
            "For a denoised layer: the noisy image that it was made from.\nWhat was taken away is "
            "then tested: it should be noise and nothing else."
        )
        self.inspect_button = pieces.button(
            "inspect_button",
            "Inspect",
            "Measure the noise and look for faults of the recording. Takes a few seconds;\n"
            "no layer is changed.",
            bold=True,
        )
        self.verdict_label = pieces.text("verdict_label")
        font = self.verdict_label.font()
        font.setBold(True)
        self.verdict_label.setFont(font)
        self.details_label = pieces.text("details_label")
        self.details_label.setTextFormat(Qt.TextFormat.RichText)
        self.figure_view = FigureView()
        self.save_button = pieces.button(
            "save_button",
            "Save figure...",
            "Write the figure to a file, as PDF, SVG or PNG: for a supplement, for example.",
        )
        rows = self.column.rows
        rows.addWidget(box)
        rows.addLayout(pieces.form(("Noisy", self.noisy_combo)))
        rows.addWidget(self.inspect_button)
        rows.addWidget(self.progress_bar)
        rows.addWidget(self.state_label)
        rows.addWidget(self.verdict_label)
        rows.addWidget(self.details_label)
        rows.addWidget(self.figure_view)
        rows.addWidget(self.save_button)
        rows.addStretch(1)

    # Verbs

    def inspect(self) -> None:
        """Inspect the chosen layer."""
        if self.busy:
            return
        box, noisy_layer = self.layer_box, self.noisy_combo.value()
        try:
            noisy, denoised, strict = box.source().image, None, False
            if noisy_layer is not None and noisy_layer is not box.layer():
                denoised = noisy
                noisy = box.source_like(noisy_layer).image
                strict = _made_of(box.layer()).get("output") == "j-invariant"
        except Noise2SelfError as error:
            self.fail(error)
            return
        self._show(None)
        self._inspects = True
        self._subject = f'"{box.layer().name}"'
        if denoised is not None:
            self._subject += f', compared with "{noisy_layer.name}"'
        self.say(words.STARTING)
        self.begin(lambda: jobs.inspecting(noisy, denoised, strict=strict), name="inspect")

    def save_figure(self, path: str | Path) -> None:
        """Write the figure; the extension says in which format."""
        if not self.busy and self.found is not None:
            figure, path = self.found.figure, Path(path)
            self._inspects = False
            self.begin(lambda: jobs.saving_figure(figure, path), name="save figure")

    # Jobs

    def take(self, event: Any) -> None:
        """Use one event of a job."""
        if isinstance(event, Progress):
            self.say(_STAGES[event.stage])
        elif isinstance(event, jobs.Inspected):
            self._show(event)
            self.say(f"Found in {self._subject}. Click the figure to see it in full.")
        elif isinstance(event, jobs.FigureSaved):
            self.say(f"The figure is saved in {event.path}.")

    def job_ended(self, ended: Ended) -> None:
        """Say what came of it."""
        if self._inspects and self.found is None:
            self.say("Stopped.")

    def finished(self, ended: Ended) -> None:
        """Announce it."""
        if self._inspects and self.found is not None:
            self.inspection_finished.emit()

    # Controls

    def refresh(self) -> None:
        """Derive every control from the state."""
        resting, layer, problem = not self.busy, self.layer_box.layer(), None
        if layer is not None and resting:
            try:
                self.layer_box.source()
            except Noise2SelfError as error:
                problem = str(error)
        pieces.show_toggle(
            self.inspect_button,
            "Inspect",
            resting=resting,
            ready=layer is not None and problem is None,
            stoppable=self._inspects,
            stopping=self.stopping,
        )
        self.layer_box.setEnabled(resting)
        self.layer_box.layer_combo.setEnabled(resting)
        self.noisy_combo.setEnabled(resting)
        found = self.found is not None
        self.save_button.setVisible(found)
        self.save_button.setEnabled(resting)
        self.verdict_label.setVisible(found)
        self.details_label.setVisible(found)
        self.tell(problem, READY if layer is not None else words.NO_IMAGE)

    def connections(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return what of the viewer to listen to, and with what."""
        return [*super().connections(), *self.noisy_combo.connections()]

    def listen(self) -> None:
        """Follow the viewer."""
        self.noisy_combo.refresh()
        super().listen()

    def _show(self, found: jobs.Inspected | None) -> None:
        self.found = found
        self.figure_view.set_picture(b"" if found is None else found.picture)
        if found is not None:
            verdict = "\n".join([f"{self._subject}:", *_verdict(found)])
            self.verdict_label.setText(words.as_here(verdict))
            self.details_label.setText(_details(found))
        self.refresh()

    def _layer_changed(self) -> None:
        layer = self.layer_box.layer()
        if layer is not self._looked_at():  # and not only its axes, say
            self._looked_at = (lambda: None) if layer is None else ref(layer)
            self.noisy_combo.setValue(None if layer is None else self._source_of(layer))
        self.choice_changed()

    def _source_of(self, layer: Any) -> Any:
        """Return the layer that `layer` was made from, if it says so and it is still there."""
        name = _made_of(layer).get("source")
        found = [x for x in self.viewer.layers if isinstance(x, Image) and x.name == name]
        return next((x for x in found if array_of(x).shape == array_of(layer).shape), None)

    def _inspect_clicked(self) -> None:
        if self.busy:
            self.stop()
        else:
            self.inspect()

    def _save_clicked(self) -> None:
        assert self.found is not None  # the button is hidden until then
        path = dialogs.figure_to_save(self, f"{self.found.name} noise")
        if path is not None:
            self.save_figure(path)


def _made_of(layer: Any) -> Any:
    """Return what a layer of this package says about its making."""
    return layer.metadata.get(METADATA_KEY, {})


def _verdict(found: jobs.Inspected) -> list[str]:
    """Return the sentences to be read first."""
    if found.inspection is not None:
        remarks = found.inspection.remarks()
        return _sentences(remarks or ["what was taken away is noise: no structure, no bias"])
    diagnosis = found.diagnosis
    return _sentences([diagnosis.assumption_sentence, diagnosis.advice_sentence])


def _details(found: jobs.Inspected) -> str:
    """Return everything else, as rich text."""
    shown, parts = set(_verdict(found)), []
    if found.inspection is not None:
        summary = found.inspection.summary().replace(NO_STRICT, NO_STRICT + WHERE_STRICT)
        parts += _paragraphs(summary, shown)
        parts.append("<p><i>Of the noisy image:</i></p>")
    # the layer box has said how the image is understood
    parts += _paragraphs(found.diagnosis.summary().partition("\n")[2], shown)
    return "".join(parts)


def _paragraphs(summary: str, shown: set[str]) -> list[str]:
    """Return the lines "Name: sentence" of a summary that are not shown yet."""
    entries = [line.partition(":") for line in summary.splitlines()]
    return [
        f"<p><b>{escape(name)}</b>&nbsp; {escape(sentence.strip())}</p>"
        for name, _, sentence in entries
        if sentence.strip() not in shown
    ]


def _sentences(words: list[str]) -> list[str]:
    return [f"{word[:1].upper()}{word[1:]}." for word in words]
