"""The training loop: a plain iterator that steps a model and yields `Progress`."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from .axes import Image, Stack
from .config import Progress, TrainingConfig
from .devices import (
    autocast,
    compute_dtype,
    explained,
    keep_freed_memory,
    resolve_device,
    with_gradients,
)
from .errors import DeviceMemoryError
from .graphs import Recorded, can_record
from .looks import Look
from .methods import Noise2Self, with_recorruption
from .model import Model
from .pairs import check_pair, check_target
from .patches import Crops, HeldOut, patch_shape, validation_windows
from .state import begin, restore, snapshot
from .validation import Validation

WARM_UP = 20  # steps in which the learning rate rises
HALF_PACE = 150  # steps in which it falls to a half, whatever the steps in all
AVERAGE = 0.99  # of the weights; shorter at first, so that they forget the start
LARGEST_GRADIENT = 0.1  # norm; loss spikes on rare bright structures are clipped
READ_PATIENCE = 1.0
"""Seconds of reading after which it is told how far it is, and between two times."""
REPORT_EVERY = 10  # steps between two readings of the loss, each of which waits for the device
LONG_BEHIND_A_HOLE = 500  # steps; on camera frames with a hole of 5 x 5 more of them did harm
POOLED_STEPS = TrainingConfig().steps
"""Steps whose crops lie side by side in the pool of a large stack; longer trainings live on its
renewal. Not the steps that are asked for: who goes on to more of them must find the same pool."""
SMALLER = "use a smaller patch or width, or device='cpu'"  # where memory does not suffice
DOUBTFUL = 0.03  # share of the noise that may be missing by chance
IMPROVEMENT = 1e-4  # relative; less does not count against the plateau


def train(
    model: Model, image: Any, config: TrainingConfig | None = None, *, target: Any = None
) -> Iterator[Progress]:
    """Train `model` on `image`, one optimiser step an event.

    A plain generator: break out of the loop to stop, call it again to go on.
    At every event the model is at rest and predicts with the weights averaged
    so far; when the iterator ends or is closed, it holds the best of them: the
    latest that no earlier ones beat on the held-out pixels by more than chance.

    Parameters
    ----------
    model
        From ``Denoiser.for_image``, or one that was trained before.
    image
        `Image` or array-like; its axes are its own, else the model's.
    config
        None for the model's own. Training goes on to `config.steps` in all.
    target
        For ``method="noise2noise"`` a second noisy image of the same scene, for
        ``"noise2clean"`` a clean one; of the image's shape and axes.

    Yields
    ------
    Progress
        ``stage="train"``; the first, at step 0, tells the loss to beat. Before it, where
        reading the image takes longer than a second, ``stage="read"``.

    Raises
    ------
    ImageError
        If the image is smaller than 32 pixels along Y or X, what is read of image or
        target holds NaN or infinite values, or the target is of another shape or shifted.
    ConfigError
        If the method wants a target and there is none, or the reverse.
    ModelMismatchError
        If the image, or an architecture in `config`, is not the model's.
    DeviceError
        If the device is not there; `DeviceMemoryError` if it runs out of memory.

    Examples
    --------
    >>> import numpy as np
    >>> from napari_noise2self import api
    >>> image = np.random.default_rng(0).normal(100, 10, (64, 64)).astype("float32")
    >>> denoiser = api.Denoiser.for_image(image, axes="YX")
    >>> for progress in api.train(denoiser, image, api.TrainingConfig(steps=2, width=4)):
    ...     pass
    >>> progress.step
    2
    """
    return with_gradients(_train(model, image, config or model.config, target))


def _train(
    model: Model, image: Any, config: TrainingConfig, target: Any
) -> Generator[Progress, None, None]:
    device = resolve_device(config.device)
    stacks = _stacks(model, image, target, config)
    model.adopt(config, stacks[0])
    # a stack was made by somebody who reads it further: denoise, which predicts it next
    loop = Loop(model, stacks, config, device, read_again=isinstance(image, Stack))
    try:
        with explained(device, SMALLER):
            yield from loop.run()
    except GeneratorExit:
        if not sys.is_finalizing():  # torch no longer works then, and nobody is left to see it
            with explained(device, SMALLER):
                loop.rest(look=True)
        raise
    except BaseException:
        loop.rest()
        raise
    with explained(device, SMALLER):
        loop.rest(look=True)


def _stacks(model: Model, image: Any, target: Any, config: TrainingConfig) -> list[Stack]:
    """See the image and the target, if the method takes one; refuse what cannot be trained on."""
    stacks = [model.see(image)]
    check_target(config.method, target)
    if target is not None:
        own = target.axes if isinstance(target, Image) else None
        stacks.append(model.see(target, own or stacks[0].axes))
        check_pair(*stacks)
    return stacks


class Loop:
    """One call of `train`: the data on the device, and the step."""

    def __init__(
        self,
        model: Model,
        stacks: list[Stack],
        config: TrainingConfig,
        device: torch.device,
        *,
        read_again: bool = False,
    ) -> None:
        self.read_again = read_again
        self.model, self.stacks, self.config, self.device = model, stacks, config, device
        self.dtype = compute_dtype(device, config.precision)
        self.grid = model.method.grid
        self.started = time.perf_counter()
        keep_freed_memory(device)
        before, self.record_before = model.device, model.record
        try:
            with explained(device, SMALLER):
                model.network.to(device)
                self.state = model.training or begin(model, device)
                self.state.to(device)
                self.weights_before = snapshot(model.network)
                restore(model.network, self.state.average)
        except DeviceMemoryError:
            model.network.to(before)
            model.record = self.record_before
            raise
        if self.state.stale >= config.patience:
            self.state.stale = 0  # who asks for more after the plateau gets it
        self.validation = Validation(model, device, self.dtype)
        self.recorded: Recorded | None = None
        self.told = False  # that there is no recording
        self.first_step, self.seconds_before = self.state.step, self.state.seconds
        model.training, self.state.loop = self.state, self

    def run(self) -> Iterator[Progress]:
        """Load the data, then step until the end, the time limit or the plateau."""
        yield from self._load()
        baseline = self.validation.baseline()
        if not math.isclose(baseline, self.state.baseline_loss, rel_tol=1e-4):
            # The first call, or other held-out pixels, which make an earlier best meaningless.
            self.state.baseline_loss, self.state.best_loss = baseline, math.inf
            self.state.lowest = None
            yield self._progress(validation_loss=self._look(), notice=self._too_long())
        elif (notice := self._too_long()) is not None:
            yield self._progress(notice=notice)
        total = torch.zeros((), dtype=torch.float32, device=self.device)
        pending = 0
        while self.state.step < self.config.steps and not self._finished():
            total += self._step()
            pending += 1
            step = self.state.step
            last = step == self.config.steps
            loss = validation_loss = None
            if last or step % REPORT_EVERY == 0:
                loss = float(total) / pending
                total.zero_()
                pending = 0
            notice = self._unrecorded()
            if last or step % self.config.validate_every == 0:
                validation_loss = self._look()
                notice = self._unfounded() or notice
            if loss is not None and not math.isfinite(loss):
                yield self._progress(notice=self._diverged())
                return
            yield self._progress(loss=loss, validation_loss=validation_loss, notice=notice)

    def _unfounded(self) -> str | None:
        """Give the noise level up where one half of a split tells of the other's noise."""
        method = self.model.method
        if not isinstance(method, Noise2Self) or method.recorruption is None:
            return None
        error = self.validation.error_of_a_split(method, self.state.seed)
        if error >= 1 - DOUBTFUL:
            return None
        self.model.method = with_recorruption(method, None)
        self._forget()  # a step is another now
        return (
            "the noise is not as it was estimated: too weak, or of another kind "
            f"(one half of a split tells of the other's: {error:.0%} of the least error that is "
            "possible). From here on the estimate is not used, and each pixel is predicted from "
            "the others alone"
        )

    def _too_long(self) -> str | None:
        """Warn of what no loss can show: that correlated noise is learnt in the end."""
        if max(self.grid.footprint) == 1 or self.config.steps <= LONG_BEHIND_A_HOLE:
            return None
        return (
            f"the noise is correlated, and {self.config.steps} steps are many: what the hole does "
            "not hide of it is gradually learnt too, and the loss cannot show it; "
            f"{TrainingConfig().steps} steps (balanced) may give a better result"
        )

    def _diverged(self) -> str:
        self.rest()  # at once: whoever sees the event may begin anew
        self.model.training = None  # nothing to go on from
        return (
            f"the loss became infinite at step {self.state.step}; the weights of step "
            f"{self.state.best_step} are kept; train again with a lower learning rate"
        )

    def _finished(self) -> bool:
        """Whether the time is over or the held-out loss has reached its plateau."""
        limit, patience = self.config.time_limit, self.config.patience
        over = limit is not None and time.perf_counter() - self.started > limit
        taken_over = self.state.loop is not self  # by another call of `train`
        return taken_over or over or (patience > 0 and self.state.stale >= patience)

    def _load(self) -> Iterator[Progress]:
        """Lay the data on the device, and the windows of the held-out pixels beside them.

        Yields how far that is where it takes long, as it may where much is read from a disk.
        """
        last = math.inf  # what the first piece takes is not for reading alone
        for done, total in self._read():
            now = time.perf_counter()
            last = min(last, now)
            if now - last > READ_PATIENCE:
                last = now
                seconds = now - self.started
                left = seconds / done * (total - done)
                yield Progress(
                    stage="read", step=done, steps=total, seconds=seconds, seconds_left=left
                )

    def _read(self) -> Iterator[tuple[int, int]]:
        """Read piece by piece, and yield how many of how many are read."""
        seed = self.state.seed
        first = self.stacks[0]
        patch = patch_shape(first.spatial, self.config)
        held_out = HeldOut.seeded(self.grid, patch, seed)
        self.count = max(1, self.config.pixels_per_step // math.prod(patch))
        self.crops = Crops(
            self.stacks,
            self.model.normalization,
            patch,
            held_out,
            seed=seed,
            device=self.device,
            context=self.model.context,
            enough=POOLED_STEPS * self.count,
        )
        places = validation_windows(first, patch, self.grid, seed)
        blocks = 0
        for blocks, count in self.crops.renew_iter(self.state.step):
            yield blocks, count + len(places)
        for windows in self.validation.read_iter(self.crops, places, self.count):
            yield blocks + windows, blocks + len(places)
        if self.crops.whole and not self.read_again:
            for stack in self.stacks:
                stack.forget()

    def _step(self) -> Tensor:
        """Draw, descend, average."""
        state, config = self.state, self.config
        self.crops.renew(state.step)
        same = self.grid.footprint[-1] == self.grid.footprint[-2]
        method = self.model.method
        generator = state.generator
        places = self.crops.draw(self.count, generator, turns=same, swaps=method.both_ways)
        draws = method.draws(self.crops.shape(self.count), generator, self.device)
        pace = min(1.0, (state.step + 1) / WARM_UP) / (1 + state.step / HALF_PACE)
        loss = self._descend(places, draws, config.learning_rate * pace)
        state.step += 1
        decay = min(AVERAGE, (1 + state.step) / (10 + state.step))
        with torch.no_grad():
            averaged: list[Tensor] = list(self.model.network.parameters())
            torch._foreach_lerp_(averaged, list(state.network.parameters()), 1 - decay)
        state.seconds = self.seconds_before + time.perf_counter() - self.started
        self._record(state.best_step, state.best_loss)
        return loss

    def _descend(self, places: Tensor, draws: tuple[Tensor, ...], rate: float) -> Tensor:
        """Take a step, or have the device repeat the one it has recorded."""
        if not can_record(self.device):
            return self._gradient_step(places, draws, rate)
        if self.recorded is None:

            def step(places: Tensor, rate: Tensor, *draws: Tensor) -> Tensor:
                return self._gradient_step(places, draws, rate)

            self.recorded = Recorded(step, self.device)
        return self.recorded(
            places, torch.full((), rate, dtype=torch.float32, device=self.device), *draws
        )

    def _forget(self) -> None:
        """Give up the recording and its memory."""
        if self.recorded is not None:
            self.recorded.close()
        self.recorded = None

    def _unrecorded(self) -> str | None:
        """Say, once, that a step could not be recorded."""
        if self.told or self.recorded is None or self.recorded.failure is None:
            return None
        self.told = True
        return (
            f"the GPU could not record a training step ({self.recorded.failure}); the training "
            "goes on, step by step, and takes longer"
        )

    def _gradient_step(
        self, places: Tensor, draws: tuple[Tensor, ...], rate: float | Tensor
    ) -> Tensor:
        """Cut, mask, forward, loss, backward, step; the loss stays on the device."""
        network, method = self.state.network, self.model.method
        batch = self.crops.cut(places)
        with autocast(self.device, self.dtype):
            objective, loss = method.objective(network, batch, draws)
        network.zero_grad(set_to_none=True)
        objective.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(list(network.parameters()), LARGEST_GRADIENT)
        self.state.optimizer.step(rate)
        return loss.detach()

    def _look(self) -> float:
        """Validate, and keep the averaged weights if none before them are better."""
        state = self.state
        look = self.validation.look()
        lowest = math.inf if state.lowest is None else state.lowest.loss
        state.stale = 0 if look.loss < lowest * (1 - IMPROVEMENT) else state.stale + 1
        if not self._worse(look):
            state.best_loss, state.best_step = look.loss, state.step
            state.best = snapshot(self.model.network)
        if look.loss < lowest:
            state.lowest = look
        if math.isfinite(look.loss):
            state.curve = (*state.curve, (state.step, look.loss))
        self._record(state.best_step, state.best_loss)
        return look.loss

    def _worse(self, look: Look) -> bool:
        """Whether the lowest look so far is better by more than chance; a broken one is worse."""
        lowest = self.state.lowest
        return not math.isfinite(look.loss) or (lowest is not None and look.worse_than(lowest))

    def rest(self, *, look: bool = False) -> None:
        """Give the model the best weights; the averaged ones wait for the training to go on.

        Where the training stopped between two looks at the held-out pixels, its
        last weights may be the best. With `look` they are then given to the
        model, but the training state stays as it is: going on must equal a run
        that was never stopped.
        """
        state, network = self.state, self.model.network
        self._forget()
        if state.loop is not self:
            return  # another call took over and saw to it
        state.loop = None
        if math.isnan(state.baseline_loss) or not self.validation.batches:  # nothing has begun
            restore(network, self.weights_before)
            self.model.record = self.record_before
            if math.isnan(state.baseline_loss):
                self.model.training = None
            return
        state.average = snapshot(network)
        looked = state.curve and state.curve[-1][0] == state.step
        if look and not looked:
            last = self.validation.look()
            if not self._worse(last):
                self._record(state.step, last.loss)
                return
        restore(network, state.best)

    def _record(self, best_step: int, loss: float) -> None:
        state = self.state
        self.model.record = replace(
            self.model.record,
            steps=state.step,
            seconds=state.seconds,
            best_step=best_step,
            validation_loss=loss,
            baseline_loss=state.baseline_loss,
            curve=state.curve,
        )

    def _progress(
        self,
        *,
        loss: float | None = None,
        validation_loss: float | None = None,
        notice: str | None = None,
    ) -> Progress:
        state, config = self.state, self.config
        seconds = time.perf_counter() - self.started
        done = state.step - self.first_step
        left = seconds / done * (config.steps - state.step) if done else None
        if left is not None and config.time_limit is not None:
            left = min(left, max(0.0, config.time_limit - seconds))
        return Progress(
            stage="train",
            step=state.step,
            steps=config.steps,
            seconds=seconds,
            seconds_left=left,
            best_step=state.best_step if state.best_loss < math.inf else None,
            baseline_loss=state.baseline_loss,
            loss=loss,
            validation_loss=validation_loss,
            notice=notice,
        )
