"""The dock Calibrate: a classical denoiser whose parameter the noisy image chooses itself."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from enum import Enum
from pathlib import Path
from typing import Any
from weakref import ref

from qtpy.QtCore import Signal

from ..core.axes import Image, Stack, check_size
from ..core.config import FAMILY, Progress
from ..core.errors import Noise2SelfError
from ..io.on_disk import fits_in_memory
from . import calibration_jobs as jobs
from . import dialogs, pieces, words
from .calibration_plot import CalibrationPlot
from .calibration_preview import CalibrationPreview
from .dock import Dock
from .jobs import Filled, Filling
from .layers import Source
from .results import Results
from .theme import colours
from .worker import Ended

FAMILY_LABELS = {
    "median": "Median",
    "gaussian": "Gaussian",
    "nlm": "Non-local means",
    "wavelet": "Wavelet",
    "tv": "Total variation",
    "bm3d": "BM3D",
}
"""What `core.classical.FAMILIES` are called; that module takes long to import."""

READY = "Ready. Start tries one value of the parameter after the other on the layer above."


class State(Enum):
    """What the dock is doing."""

    AT_REST = "waiting for a click"
    CALIBRATING = "trying values"
    APPLYING = "making the result layer"
    LOADING = "reading a file"


class CalibrateWidget(Dock):
    """Tune a classical denoiser by the self-supervised loss, look at it, accept it.

    `calibration_finished` is emitted when a calibration has ended, by itself or
    by Stop, `accepted` when a result layer was made, `loaded` when a file was read;
    `failed` when anything went wrong, with the message.
    """

    calibration_finished = Signal()
    accepted = Signal()
    loaded = Signal()

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.calibration: Any = None
        """The `core.calibrated.Calibration` in hand, at the value that was chosen last."""
        self._state = self._before = State.AT_REST  # what it is doing, and did before that
        self._origin = ""  # the layer that it was calibrated on, or the file that it is from
        self._layer: Callable[[], Any] = lambda: None  # that the preview follows
        self._axes = ""  # as which it is read
        self._results: Results | None = None
        self._follows = True  # whether the preview follows the lowest loss
        self._has_loaded = False  # what it last set out to load
        self._build()
        self.preview = CalibrationPreview(napari_viewer, self)
        self.start_button.clicked.connect(self._start_clicked)
        self.accept_button.clicked.connect(self.accept)
        self.save_button.clicked.connect(self._save_clicked)
        self.load_button.clicked.connect(self._load_clicked)
        self.plot.chosen.connect(self.choose)
        self.preview.failed.connect(self._not_previewed)
        self.layer_box.valueChanged.connect(self._layer_changed)
        self.family_combo.currentIndexChanged.connect(self.choice_changed)
        self.listen()

    def _build(self) -> None:
        self.layer_box.layer_combo.setToolTip("The noisy image. Every image layer is offered.")
        self.layer_box.region_combo.setToolTip(
            "Try the values only on the part inside the shapes of a Shapes layer.\n"
            "Accept still works on the whole image."
        )
        self.family_combo = pieces.combo(
            "family_combo",
            FAMILY_LABELS,
            "The kind of denoiser. Median and Gaussian are quick and never invent anything;\n"
            "non-local means keeps textures that repeat, total variation keeps edges,\n"
            "wavelet lies between them, BM3D is the strongest and the slowest.",
        )
        self.family_combo.setCurrentIndex(self.family_combo.findData(FAMILY))
        self.start_button = pieces.button(
            "start_button",
            "Start",
            "Try one value of the parameter after the other and measure, on the noisy image "
            "itself,\nhow well hidden pixels are predicted. Stop keeps the best value so far.",
            bold=True,
        )
        self.plot = CalibrationPlot()
        self.chosen_label = pieces.text("chosen_label")
        self.accept_button = pieces.button(
            "accept_button",
            "Accept",
            "Denoise the whole of the layer above with the value that is marked by the ring.\n"
            "The result is a new layer; no other layer is changed.",
        )
        self.save_button = pieces.button(
            "save_button", "Save...", "Keep the filter with the value that is marked by the ring."
        )
        self.load_button = pieces.button(
            "load_button", "Load...", "Take a filter that was saved, for other images of the kind."
        )
        rows = self.column.rows
        rows.addWidget(self.layer_box)
        rows.addLayout(pieces.form(("Family", self.family_combo)))
        rows.addWidget(self.start_button)
        rows.addWidget(self.progress_bar)
        rows.addWidget(self.state_label)
        rows.addWidget(self.plot)
        rows.addWidget(self.chosen_label)
        rows.addWidget(self.accept_button)
        rows.addLayout(pieces.row((self.save_button, 1), (self.load_button, 1)))
        rows.addStretch(1)

    @property
    def state(self) -> State:
        """What the dock is doing."""
        return self._state

    # Verbs

    def start(self) -> None:
        """Calibrate the chosen family on the chosen layer."""
        if self.busy:
            return
        try:
            source, region = self.layer_box.source(), self.layer_box.region()
        except Noise2SelfError as error:
            self.fail(error)
            return
        self._forget()
        self._origin = source.image.name
        self._state, self._follows = State.CALIBRATING, True
        self._preview(source)
        image, family = source.image, self.family_combo.currentData()
        self.say(words.STARTING)
        self.begin(lambda: jobs.calibrating(image, family, region=region), name="calibrate")

    def choose(self, value: float) -> None:
        """Take one of the values that were tried, and preview it.

        Parameters
        ----------
        value
            Value of the parameter; one that was not tried changes nothing.
        """
        if self.calibration is None or self._state is State.APPLYING:
            return
        trial = next((t for t in self.calibration.trials if value in t.parameters.values()), None)
        if trial is not None:
            self._follows = False
            self._show(self.calibration.at(trial))
            self.refresh()

    def accept(self) -> None:
        """Denoise the whole layer with the chosen value."""
        if self.busy or self.calibration is None or self.layer_box.layer() is None:
            return
        calibration, folder = self.calibration, None
        try:
            source = self.layer_box.source()
            if not fits_in_memory(source.image):
                folder = self.ask_folder(source.image.name, "")
                if folder is None:
                    return
        except Noise2SelfError as error:
            self.fail(error)
            return
        record = {
            "family": calibration.family,
            "parameters": dict(calibration.parameters),
            "loss": calibration.loss,
            "footprint": calibration.footprint,
        }
        suffix = f"calibrated {calibration.family}"
        self._results = Results(self.viewer, {0: source}, record, suffix)
        self._state = State.APPLYING
        self.say(words.denoising(""))
        self.begin(lambda: jobs.applying(source.image, calibration, folder), name="apply")

    def save(self, path: str | Path) -> None:
        """Write the calibration, at the chosen value, to a ``.safetensors`` file."""
        if self.calibration is None:
            return
        from ..io.calibrations import write_calibration

        try:
            write_calibration(path, self.calibration)
        except Noise2SelfError as error:
            self.fail(error)
        else:
            self.say(f"Saved in {path}.")

    def load(self, path: str | Path) -> None:
        """Take the calibration of a file in place of the present one."""
        if self.busy:
            self.turn_away(path)
            return
        self._state, path = State.LOADING, Path(path)
        self._has_loaded = False
        self.say("Loading the calibration.")
        self.begin(lambda: jobs.loading(path), name="load")

    # Jobs

    def take(self, event: Any) -> None:
        """Use one event of a job."""
        if isinstance(event, jobs.Begun):
            self.plot.start_again(event.label, whole=event.whole)
        elif isinstance(event, jobs.Loaded):
            self._take_loaded(event)
        elif isinstance(event, Filling | Filled) and self._results is not None:
            self._results.take(event)
            self.say(words.denoising(self._results.keeps))
        elif isinstance(event, Progress) and self._state is State.CALIBRATING:
            self._take_trial(event)

    def _take_trial(self, event: Progress) -> None:
        if event.stage == "analyse":
            self.say("Looking at the image and its noise.")
            return
        self.say("Trying values. Click on the curve to see the image with one of them.")
        if event.trial is None:
            return
        self.plot.add(_value(event.trial), event.trial.loss)
        if self._follows:
            self._show(event.result)
        else:  # keep the value that was clicked on
            before = self.calibration.parameters
            same = next(t for t in event.result.trials if t.parameters == before)
            self.calibration = event.result.at(same)
        self.refresh()

    def _take_loaded(self, event: jobs.Loaded) -> None:
        self._has_loaded = True
        self.calibration, self._origin = None, event.path.name
        self.plot.start_again(event.label, whole=event.whole)
        for trial in event.calibration.trials:
            self.plot.add(_value(trial), trial.loss)
        self.family_combo.setCurrentIndex(self.family_combo.findData(event.calibration.family))
        self._preview_anew()
        self._show(event.calibration)
        self.say("Loaded. Accept denoises the layer above.")

    def job_ended(self, ended: Ended) -> None:
        """Say what came of it."""
        state, self._state = self._state, State.AT_REST
        if state is State.APPLYING and self._results is not None:
            results, self._results = self._results, None
            self.say(results.summary(ended))
            if results.layers:
                self.preview.remove()  # the result shows more
        elif state is State.CALIBRATING:
            self.say(self._found(stopped=ended.stopped))
        elif state is State.LOADING and not self._has_loaded:
            self.say("")
        self._before = state

    def finished(self, ended: Ended) -> None:
        """Announce it."""
        if self._before is State.CALIBRATING:
            self.calibration_finished.emit()
        elif self._before is State.APPLYING:
            self.accepted.emit()
        elif self._has_loaded:
            self.loaded.emit()

    def _found(self, *, stopped: bool) -> str:
        best = self.plot.best
        if best is None:
            return "Stopped before a value was tried."
        parameter = next(iter(self.calibration.parameters))
        how = "Stopped: the best so far is" if stopped else "The loss is lowest at"
        text = f"{how} {parameter} {best[0]:g}."
        if best[1] >= 1:
            text += " It is no better than an average of the neighbours: try another family."
        return text

    # Controls

    def refresh(self) -> None:
        """Derive every control from the state."""
        resting, has_one = not self.busy, self.calibration is not None
        layer, problem, fits = self.layer_box.layer(), None, False
        if layer is not None and resting:
            try:
                image = self.layer_box.source().image
                check_size(Stack.of(image).spatial)
            except Noise2SelfError as error:
                problem = str(error)
            else:
                fits = self._fits(image)
        pieces.show_toggle(
            self.start_button,
            "Start",
            resting=resting,
            ready=layer is not None and problem is None,
            stoppable=self._state is not State.LOADING,
            stopping=self.stopping,
        )
        self.accept_button.setEnabled(fits)
        family = f" {FAMILY_LABELS[self.calibration.family]}" if has_one else ""
        self.accept_button.setText(f"Accept{family}")
        self.save_button.setEnabled(resting and has_one)
        self.load_button.setEnabled(resting)
        self.layer_box.setEnabled(resting)
        self.layer_box.layer_combo.setEnabled(resting)
        self.family_combo.setEnabled(resting)
        self.chosen_label.setVisible(has_one)
        if has_one:
            self.chosen_label.setText(self._about_chosen(self._origin))
        self.tell(problem, READY if layer is not None else words.NO_IMAGE)

    def _fits(self, image: Image) -> bool:
        """Whether Accept could denoise the image; where not, its preview has said why."""
        with suppress(Noise2SelfError):
            return self.calibration is not None and bool(self.calibration.see(image))
        return False

    def recolour(self, _: Any = None) -> None:
        """Take on the colours of the viewer's theme."""
        super().recolour()
        self.plot.set_colours(colours(self.viewer))

    def connections(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return what of the viewer to listen to, and with what."""
        return [
            *super().connections(),
            (self.viewer.layers.events.removed, self._layer_removed),
        ]

    def leave(self) -> None:
        """Take the preview out of the viewer."""
        self.preview.end()
        self.preview.remove()

    def _about_chosen(self, name: str) -> str:
        ((parameter, value),) = self.calibration.parameters.items()
        family, loss = FAMILY_LABELS[self.calibration.family], self.calibration.loss
        text = f"{family} from {name}: {parameter} {value:g}. "
        if loss >= 1:
            return f"{text}Its loss is {loss - 1:.1%} above that of an average of the neighbours."
        return (
            f"{text}Its loss is {1 - loss:.1%} below that of an average of the neighbours. Most of "
            "the loss is noise that nothing can predict: a small difference may be a visible gain."
        )

    def _show(self, calibration: Any) -> None:
        """Take a calibration in hand and preview it."""
        changed = self.calibration is None or calibration.parameters != self.calibration.parameters
        self.calibration = calibration
        self.plot.ring(_value(calibration))
        if changed or not self._follows:
            self.preview.show(calibration)

    def _preview(self, source: Source) -> None:
        """Follow the viewer's view of the chosen layer."""
        layer = self.layer_box.layer()
        self._layer, self._axes = ref(layer), self.layer_box.axes()
        self.preview.begin(layer, source)

    def _preview_anew(self) -> None:
        """Follow the layer that is chosen now; none where it cannot be denoised."""
        self.preview.end()
        self._layer = lambda: None
        if self.layer_box.layer() is not None:
            with suppress(Noise2SelfError):  # `refresh` tells what is wrong with the layer
                self._preview(self.layer_box.source())

    def _not_previewed(self, error: Exception) -> None:
        """Say why; a layer that was only clicked on is no reason for a notification."""
        if isinstance(error, Noise2SelfError):
            self.say(words.as_here(str(error)), error=True)
        else:
            self.fail(error)

    def _forget(self) -> None:
        self.calibration = None
        self.plot.start_again()
        self.preview.end()
        self.preview.remove()

    def _save_clicked(self) -> None:
        name = f"{self._origin.removesuffix('.safetensors')} {self.calibration.family}"
        path = dialogs.model_to_save(self, "", name)
        if path is not None:
            self.save(path)

    def _load_clicked(self) -> None:
        path = dialogs.model_to_load(self, "")
        if path is not None:
            self.load(path)

    def _start_clicked(self) -> None:
        if self.busy:
            self.stop()
        else:
            self.start()

    def _layer_changed(self) -> None:
        box = self.layer_box
        another = (box.layer(), box.axes()) != (self._layer(), self._axes)
        if another and box.layer() is not None and self.calibration is not None and not self.busy:
            self._preview_anew()
            self.preview.show(self.calibration)
        self.choice_changed()

    def _layer_removed(self, _: Any = None) -> None:
        layer = self._layer()
        if layer is None or layer in self.viewer.layers:
            return
        if self._state is State.CALIBRATING:
            self.stop()
        self.preview.end()
        self.preview.remove()


def _value(of: Any) -> float:
    """Return the value of the one parameter of a trial or a calibration."""
    (value,) = of.parameters.values()
    return float(value)
