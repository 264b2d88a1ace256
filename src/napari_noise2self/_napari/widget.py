"""The dock: it turns clicks into jobs and what they report into layers and words."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from weakref import ref

from qtpy.QtCore import Signal
from qtpy.QtGui import QDragEnterEvent, QDropEvent

from ..core.axes import Image, Stack
from ..core.config import Progress, TrainingConfig
from ..core.errors import Noise2SelfError
from ..io.on_disk import bytes_of_result, fits_in_memory
from . import dialogs, jobs, words
from .controls import Situation, State, show
from .dock import Dock
from .layers import Source, unscaled
from .live import LivePreview
from .memory import Memory
from .model_files import key_of
from .panel import Panel
from .plan import Past, Plan
from .preview import LARGEST, LARGEST_ON_GPU, Preview
from .results import Results
from .theme import colours
from .worker import Ended

NOTHING = (None, None, State.EMPTY)
"""There is no model."""


class DenoiseWidget(Dock):
    """Train on a layer, watch it get better, apply what was learnt.

    `training_finished` and `denoising_finished` are emitted when a training or
    a Denoise has ended, by itself or by Stop; `failed` when anything went
    wrong, with the message.

    Parameters
    ----------
    napari_viewer
        The viewer that the dock belongs to.
    """

    training_finished = Signal()
    denoising_finished = Signal()

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.denoiser: Any = None
        self._state = self._before = State.EMPTY  # what it is doing, and was before that
        self._past: Past | None = None  # of the denoiser, where it was trained here
        self._next: Past | None = None  # of a training that has no denoiser yet
        self._replaced: tuple[Any, Past | None, State] = NOTHING
        self._results: Results | None = None
        self._told = ""  # about the training that a Denoise follows
        self._ignores_controls = False  # whether this training was given its configuration

        self.panel = panel = Panel(self)
        self.live = LivePreview(napari_viewer, self)
        self.memory = Memory(panel, self)
        self.setAcceptDrops(True)
        panel.train_button.clicked.connect(self._train_clicked)
        panel.restart_button.clicked.connect(self._restart_clicked)
        panel.denoise_button.clicked.connect(self._denoise_clicked)
        panel.save_button.clicked.connect(self._save_clicked)
        panel.load_button.clicked.connect(self._load_clicked)
        panel.preview_check.toggled.connect(self.live.set_wanted)
        panel.layer_box.valueChanged.connect(self.choice_changed)
        panel.target_combo.currentIndexChanged.connect(self.choice_changed)
        panel.pair_combo.valueChanged.connect(self.choice_changed)
        panel.pair_kind_combo.currentIndexChanged.connect(self.choice_changed)
        self.memory.changed.connect(self.choice_changed)
        self.listen()

    @property
    def state(self) -> State:
        """What the dock is doing."""
        return self._state

    # Verbs

    def train(self, *, start_over: bool = False, config: TrainingConfig | None = None) -> None:
        """Train on the chosen layer, or go on where a training of it was stopped.

        Parameters
        ----------
        start_over
            Train a new network even if the one there is could go on.
        config
            Train the layer alone with this, and denoise it at the end, whatever the controls
            say; None for what they say.
        """
        if not self._state.at_rest:
            return
        try:
            plan = self._make_plan(config)
        except Noise2SelfError as error:
            self.fail(error)
            return
        self._ignores_controls = config is not None
        denoiser = self.denoiser if self._goes_on(plan) and not start_over else None
        if denoiser is None:
            self._next = plan.past()
            self.panel.loss_plot.start_again()
        else:
            self._past = plan.past()
        wanted = self.panel.preview_check.isChecked()
        requests = self.live.begin(plan.layer(), plan.source, wanted=wanted)
        image, config, region, target = plan.source.image, plan.config, plan.region, plan.target
        self._start(
            State.TRAINING,
            lambda: jobs.training(
                image, config, requests, target=target, region=region, denoiser=denoiser
            ),
        )

    def denoise(self) -> None:
        """Apply the model to the layers that are chosen under "Apply to".

        One of several that cannot be denoised is left out, and said to be.
        """
        self._told = ""
        self._denoise(self._targets(), self.panel.output_combo.currentData())

    def save_model(self, path: str | Path) -> None:
        """Write the model to a ``.safetensors`` file, or for other programs to a ``.zip``."""
        if self._state.at_rest and self.denoiser is not None:
            denoiser, path = self.denoiser, Path(path)
            self._start(State.SAVING, lambda: jobs.saving(denoiser, path))

    def load_model(self, path: str | Path) -> None:
        """Take the model of a file in place of the present one."""
        if not self._state.at_rest:
            self.turn_away(path)
            return
        path = Path(path)
        self._start(State.LOADING, lambda: jobs.loading(path))

    # Jobs

    def _start(self, state: State, make: Callable[[], Generator[Any, None, None]]) -> None:
        self._before, self._state = self._state, state
        self.say(words.STARTING)
        self.begin(make, name=state.name.lower())

    def _denoise(self, layers: list[Any], output: str) -> None:
        if not self._state.at_rest or self.denoiser is None or not layers:
            return
        denoiser = self.denoiser
        if denoiser.method.takes_target:
            output = "best"  # what was trained on a pair has no strict output
        sources, left_out = self._sources(layers)
        if not sources:
            self.fail(left_out[0][1])
            return
        images = {key: source.image for key, source in sources.items()}
        try:
            folders = self._folders(images)
        except Noise2SelfError as error:
            self.fail(error)
            return
        if folders is None:
            return
        record = {
            "model": denoiser.record.to_dict(),
            "output": output,
            "key": key_of(denoiser),
        }
        suffix = "denoised"
        if output == "disagreement":
            suffix = output
            sources = {key: unscaled(source) for key, source in sources.items()}
        self._results = Results(self.viewer, sources, record, suffix)
        for layer, error in left_out:
            self._results.leave_out(layer.name, str(error))
        self._start(
            State.PREDICTING,
            lambda: jobs.denoising(images, denoiser, output=output, folders=folders),
        )

    def _sources(
        self, layers: list[Any]
    ) -> tuple[dict[int, Source], list[tuple[Any, Noise2SelfError]]]:
        """Return what is to be denoised, by a key, and the layers that cannot be, with the why."""
        sources, left_out = {}, []
        for key, layer in enumerate(layers):
            try:
                sources[key] = self.panel.layer_box.source_for(layer)
            except Noise2SelfError as error:
                left_out.append((layer, error))
        return sources, left_out

    def _folders(self, images: Mapping[int, Image]) -> dict[int, Path] | None:
        """Return where to put results that are too large for memory; None to do nothing.

        Raises
        ------
        ImageError
            If a folder is chosen that is read from, or chosen for another result.
        """
        folders: dict[int, Path] = {}
        promised = 0
        for key, image in images.items():
            if fits_in_memory(image, beside=promised):
                promised += bytes_of_result(image)
                continue
            start = self.memory.remembered.folder
            folder = self.ask_folder(image.name, start, taken=folders.values())
            if folder is None:
                return None
            folders[key] = folder
        return folders

    def take(self, event: Any) -> None:
        """Use one event of a job."""
        if isinstance(event, Preview):
            if not self.live.show(event):
                self.panel.preview_check.setChecked(False)
        elif isinstance(event, jobs.Made):
            self._replaced = (self.denoiser, self._past, self._before)
            self.denoiser = event.denoiser
            self._past, self._next = self._next, None
        elif isinstance(event, jobs.Computing):
            assert self._past is not None
            self.memory.keep_device(self._past.config, event.device)
            self.live.largest = LARGEST_ON_GPU if event.device.startswith("GPU") else LARGEST
        elif isinstance(event, jobs.Saved):
            self.say(f"The model is saved in {event.path}.")
        elif isinstance(event, jobs.Filling | jobs.Filled | jobs.LeftOut):
            assert self._results is not None
            self._results.take(event)

    def progressed(self, events: list[Progress]) -> None:
        """Show how far a job is, in numbers, words and curves."""
        super().progressed(events)
        keeps = self._results.keeps if self._results is not None else ""
        self.say(words.running(events[-1], keeps))
        self.panel.loss_plot.add(event for event in events if event.stage == "train")

    def job_ended(self, ended: Ended) -> None:
        """Come to rest."""
        state, self._state = self._state, self._before
        self._before = state
        replaced, self._replaced = self._replaced, NOTHING
        if state is State.TRAINING:
            self._training_ended(ended, replaced)
        elif state is State.PREDICTING:
            self._denoising_ended(ended)
        elif state is State.SAVING and ended.stopped:
            self.say("Stopped: the model is not saved.")
        elif state is State.LOADING and replaced is not NOTHING:
            self._state = State.READY
            self.say("The model is loaded.")

    def finished(self, ended: Ended) -> None:
        """Announce it, and go on to Denoise where that was asked for."""
        if self._before is State.TRAINING:
            self.training_finished.emit()
            goes_on = self._ignores_controls or self.panel.denoise_after_check.isChecked()
            closed = not self._ties.connected  # in the moment that the thread ended by itself
            if goes_on and not (ended.stopped or closed):
                self._told = self._message
                layer = self._past.layer() if self._past else None
                output = "best" if self._ignores_controls else self.memory.remembered.output
                self._denoise([layer] if layer in self.viewer.layers else [], output)
        elif self._before is State.PREDICTING:
            self.denoising_finished.emit()

    def _training_ended(self, ended: Ended, replaced: tuple[Any, Past | None, State]) -> None:
        self.live.end()
        if self._next is None and not self.denoiser.trained:
            self.denoiser, self._past, self._state = replaced
        elif self._next is None:
            self._state = State.STOPPED if ended.stopped or ended.error else State.READY
            self._tell_training(ended)
            return
        self.say(f"{self._why_stopped()}Stopped before the first step.")
        self._next = None

    def _tell_training(self, ended: Ended) -> None:
        assert self._past is not None
        how = words.trained(self.denoiser, stopped=ended.stopped)
        self.say(f"{self._why_stopped()}{how}")
        self.memory.keep_pace(self._past.config, self.denoiser)
        if self._past.layer() not in self.viewer.layers:
            self.live.remove()

    def _why_stopped(self) -> str:
        past = self._next or self._past
        gone = past is not None and past.layer() not in self.viewer.layers
        return "The layer was removed. " if gone else ""

    def _denoising_ended(self, ended: Ended) -> None:
        assert self._results is not None
        results, self._results = self._results, None
        self.say(f"{self._told} {results.summary(ended)}".strip())
        if results.layers:
            self.live.remove()  # the result shows more

    # Controls

    def _make_plan(self, config: TrainingConfig | None = None) -> Plan:
        """Return what Train would do now; raises where it could do nothing."""
        box = self.panel.layer_box
        if config is not None:
            source = box.source()
            return Plan(source.layer, source, None, config)
        config, target, pair = self.panel.form.value(), None, self.panel.pair_combo.value()
        if pair is not None:
            config = replace(config, method=self.panel.pair_kind_combo.currentData())
            target = box.source_like(pair).image
        source = box.source()
        return Plan(
            layer=source.layer,
            source=source,
            region=box.region(),
            config=config,
            pair=None if pair is None else ref(pair),
            target=target,
        )

    def _goes_on(self, plan: Plan) -> bool:
        stopped = self._state is State.STOPPED
        return self.denoiser is not None and plan.goes_on_from(self._past, stopped=stopped)

    def _targets(self) -> list[Any]:
        return self.panel.layer_box.targets(self.panel.target_combo.currentData())

    def _fits(self, layer: Any) -> bool:
        """Whether a click on Denoise could denoise this layer."""
        try:
            stack = Stack.of(self.panel.layer_box.source_for(layer).image)
        except Noise2SelfError:
            return False
        return self.denoiser is not None and words.misfit(self.denoiser, stack) is None

    def refresh(self) -> None:
        """Derive every control from the state."""
        plan = problem = misfit = None
        box = self.panel.layer_box
        if self._state.at_rest and box.layer() is not None:
            try:
                source = box.source()
                if self.denoiser is not None:
                    misfit = words.misfit(self.denoiser, Stack.of(source.image))
                plan = self._make_plan()
            except Noise2SelfError as error:
                problem = str(error)
        goes_on = plan is not None and self._goes_on(plan)
        if plan is not None:
            done = self.denoiser.record.steps if goes_on else 0
            self.panel.expected_label.setText(self.memory.expectation(plan, steps_done=done))
        show(
            self.panel,
            Situation(
                state=self._state,
                stopping=self.stopping,
                plan=plan,
                goes_on=goes_on,
                denoiser=self.denoiser,
                targets=sum(map(self._fits, self._targets())),
                misfit=misfit,
            ),
        )
        self.tell(problem, words.READY if box.layer() is not None else words.NO_IMAGE)

    def _train_clicked(self) -> None:
        if self._state.at_rest:
            self.train()
        else:
            self.stop()

    def _denoise_clicked(self) -> None:
        if self._state.at_rest:
            self.denoise()
        else:
            self.stop()

    def _restart_clicked(self) -> None:
        self.train(start_over=True)

    def _save_clicked(self) -> None:
        name = self._past.name if self._past else "model"
        path = dialogs.model_to_save(self, self.memory.remembered.folder, name, packaged=True)
        if path is not None:
            self.memory.keep(folder=str(path.parent))
            self.save_model(path)

    def _load_clicked(self) -> None:
        path = dialogs.model_to_load(self, self.memory.remembered.folder)
        if path is not None:
            self.memory.keep(folder=str(path.parent))
            self.load_model(path)

    # Viewer

    def connections(self) -> list[tuple[Any, Callable[..., None]]]:
        """Return what of the viewer to listen to, and with what."""
        layers = self.viewer.layers
        return [
            *super().connections(),
            *self.panel.pair_combo.connections(),
            (layers.events.removed, self._layer_removed),
            (layers.selection.events.changed, self.choice_changed),
        ]

    def listen(self) -> None:
        """Follow the viewer."""
        self.panel.pair_combo.refresh()
        super().listen()

    def recolour(self, _: Any = None) -> None:
        """Take on the colours of the viewer's theme."""
        super().recolour()
        self.panel.loss_plot.set_colours(colours(self.viewer))
        self.refresh()

    def leave(self) -> None:
        """Take the preview out of the viewer."""
        self.live.end()
        self.live.remove()

    def _layer_removed(self, _: Any = None) -> None:
        past = self._next or self._past
        if self._state is State.TRAINING and past and past.layer() not in self.viewer.layers:
            self.stop()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Take model files."""
        if _models(event):
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Load a model file."""
        self.load_model(_models(event)[0])


def _models(event: QDropEvent) -> list[str]:
    """Return the model files among what is dragged."""
    paths = (url.toLocalFile() for url in event.mimeData().urls())
    return [path for path in paths if path.lower().endswith(".safetensors")]
