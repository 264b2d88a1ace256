"""The loop: what it reports, what it trains on, and that stopping costs nothing."""

from __future__ import annotations

import gc
import itertools
import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2self import api
from napari_noise2self.core import methods, state, training, validation
from napari_noise2self.core.looks import Look
from napari_noise2self.core.normalization import Normalization
from napari_noise2self.core.optimizer import AdamW, Muon
from napari_noise2self.core.patches import Crops, HeldOut

Build = Callable[..., api.TrainingConfig]
Noise = Callable[..., NDArray[np.float32]]
Train = Callable[..., list[api.Progress]]


@pytest.fixture
def image(noise: Noise) -> NDArray[np.float32]:
    """Noise on a slope: something to learn, so that a later look is better."""
    return noise(40, 44) + np.linspace(0, 60, 44, dtype=np.float32)


def weights(denoiser: api.Denoiser) -> list[Tensor]:
    return [p.detach().clone() for p in denoiser.network.parameters()]


def equal(first: list[Tensor], second: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def made(image: Any, config: api.TrainingConfig, axes: str | None = None) -> api.Denoiser:
    return api.Denoiser.for_image(image, axes, config)


# What is reported


def test_one_event_a_step_with_the_line_to_beat_first(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=14, validate_every=4))
    events = train(denoiser, image)
    assert [e.step for e in events] == list(range(15))
    assert {(e.stage, e.steps) for e in events} == {("train", 14)}
    assert [e.step for e in events if e.validation_loss is not None] == [0, 4, 8, 12, 14]
    assert [e.step for e in events if e.loss is not None] == [10, 14]
    assert len({e.baseline_loss for e in events}) == 1
    assert events[0].baseline_loss is not None
    assert 0 < events[0].baseline_loss < math.inf
    assert all(math.isfinite(e.loss) for e in events if e.loss is not None)
    assert events[0].seconds_left is None
    assert all(e.seconds_left is not None and e.seconds_left >= 0 for e in events[1:])
    assert events[-1].seconds_left == 0
    seconds = [e.seconds for e in events]
    assert seconds == sorted(seconds)
    looks = [(e.step, e.validation_loss) for e in events if e.validation_loss is not None]
    for event in events:
        seen = [look for look in looks if look[0] <= event.step]
        lowest = min(seen, key=lambda look: look[1])[0]
        assert event.best_step in [step for step, _ in seen if step >= lowest]


def test_the_reported_loss_is_the_mean_since_the_last_report(
    image: NDArray[np.float32], tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    losses = []
    loss_of = methods.Noise2Self.loss

    def noting(self: Any, *args: Any) -> Tensor:
        loss = loss_of(self, *args)
        if torch.is_grad_enabled():
            losses.append(float(loss.detach()))
        return loss

    monkeypatch.setattr(methods.Noise2Self, "loss", noting)
    events = train(made(image, tiny(steps=14)), image)
    reported = [e.loss for e in events if e.loss is not None]
    np.testing.assert_allclose(reported, [np.mean(losses[:10]), np.mean(losses[10:])], rtol=1e-5)


def test_the_record_tells_how_the_model_came_to_be(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(api.Image(image, name="slope"), tiny(steps=9))
    assert not denoiser.trained
    events = train(denoiser, image)
    record = denoiser.record
    assert denoiser.trained
    assert record.image.startswith("slope: 40 x 44")
    assert record.device.startswith("CPU")
    assert (record.steps, record.best_step) == (9, events[-1].best_step)
    assert record.curve == tuple(
        (e.step, e.validation_loss) for e in events if e.validation_loss is not None
    )
    assert record.validation_loss == dict(record.curve)[record.best_step]
    assert record.baseline_loss == events[0].baseline_loss
    assert 0 < record.seconds <= events[-1].seconds + 1


# What it is trained on


def test_the_held_out_pixels_are_never_a_target_and_validation_sees_them_alone(
    tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the numbers that the pixels carry, through the whole loop."""
    image = np.arange(2 * 40 * 36, dtype=np.float32).reshape(2, 40, 36)
    config = tiny(steps=20, footprint=(1, 1), pixels_per_step=4096)
    denoiser = made(image, config)
    learned: set[int] = set()
    looked_at: set[int] = set()

    def noting(prediction: Tensor, target: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        numbers = denoiser.normalization.invert(target)[mask].round().int().tolist()
        (learned if torch.is_grad_enabled() else looked_at).update(numbers)
        return masked_errors(prediction, target, mask)

    masked_errors = methods.masked_errors
    for module in (methods, validation):  # the steps', and the looks'
        monkeypatch.setattr(module, "masked_errors", noting)
    train(denoiser, image)
    grid = denoiser.method.grid
    y, x = HeldOut.seeded(grid, (32, 32), config.seed).offset
    held = set(image[:, y :: grid.stride[0], x :: grid.stride[1]].ravel().astype(int).tolist())
    assert looked_at
    assert looked_at <= held
    assert learned
    assert not learned & held
    assert len(learned) > 0.7 * (image.size - len(held))


def test_the_validation_loss_is_that_of_the_gather_on_the_held_out_pixels(
    noise: Noise, tiny: Build, train: Train
) -> None:
    """Of the weights that were restored; computed here by other means."""
    image = noise(3, 32, 32)
    denoiser = made(image, tiny(steps=12, footprint=(1, 1)))
    train(denoiser, image)
    gather = denoiser.predict(image, output="j-invariant")
    grid = denoiser.method.grid
    y, x = HeldOut.seeded(grid, (32, 32), 0).offset
    held = (slice(None), slice(y, None, grid.stride[0]), slice(x, None, grid.stride[1]))
    residual = (gather - image)[held] / denoiser.normalization.std[0]
    np.testing.assert_allclose(denoiser.record.validation_loss, (residual**2).mean(), rtol=1e-3)


def test_every_step_of_a_thin_stack_has_targets(
    noise: Noise, tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = []
    masked_mse = methods.masked_mse

    def noting(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        counts.append(mask.flatten(1).sum(dim=1))
        return masked_mse(prediction, target, mask)

    monkeypatch.setattr(methods, "masked_mse", noting)
    image = noise(2, 32, 32)
    for seed in range(3):
        denoiser = made(image, tiny(steps=3, seed=seed, footprint=(1, 1, 1)), "ZYX")
        train(denoiser, image)
        assert denoiser.record.validation_loss > 0
    held_out = 8 * 8  # of a crop's pixels in one J-set, the most that a crop may lack
    assert min(int(c.min()) for c in counts) >= 64 - held_out
    assert np.mean([float(c.float().mean()) for c in counts]) > 50


@pytest.mark.parametrize("footprint", [(1, 1), (1, 9), (5, 1), (3, 3)])
def test_crops_are_turned_only_under_a_hole_without_direction(
    image: NDArray[np.float32],
    tiny: Build,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    footprint: tuple[int, int],
) -> None:
    turns = []
    draw = Crops.draw

    def noting(self: Crops, *args: Any, **more: Any) -> Any:
        turns.append(more["turns"])
        return draw(self, *args, **more)

    monkeypatch.setattr(Crops, "draw", noting)
    train(made(image, tiny(steps=1, footprint=footprint)), image)
    assert turns == [footprint[0] == footprint[1]]


def test_memory_is_a_pool_of_blocks_where_the_stack_is_too_large(
    tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch, noise: Noise
) -> None:
    """Nothing reads a stack whole: not the pool, not validation."""

    class Counting:
        shape, dtype, reads = (5, 200, 210), np.dtype("f4"), list[int]()
        array = noise(5, 200, 210)

        def __getitem__(self, index: Any) -> NDArray[np.float32]:
            part: NDArray[np.float32] = self.array[index]
            self.reads.append(part.size)
            return part

    image = Counting()
    denoiser = made(image.array, tiny(steps=6, footprint=(1, 1)))
    monkeypatch.setattr(training, "Crops", partial(Crops, resident_bytes=4 * 4 * 64 * 64))
    train(denoiser, image)
    assert max(image.reads) == 64 * 64


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_a_step_asks_nothing_of_a_device_that_only_some_have(
    noise: Noise, tiny: Build, axes: str
) -> None:
    """The meta device is no CPU and no CUDA either: lists of tensors in one call are not for it."""
    image = noise(4, 40, 44)
    denoiser = made(image, tiny(width=16, dimensions=3 if axes == "ZYX" else 2), axes)
    assert denoiser.recorruption is not None
    loop = training.Loop(denoiser, [denoiser.see(image)], denoiser.config, torch.device("meta"))
    assert not list(loop._load())
    loop._step()
    assert loop.state.step == 1


def test_a_large_stack_is_not_read_further_than_the_steps_can_use(
    tiny: Build, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does the pool depend on the steps, since more of them may be asked for later."""
    monkeypatch.setattr(training, "POOLED_STEPS", 10)
    monkeypatch.setattr(training, "Crops", partial(Crops, resident_bytes=4 * 50 * 64 * 64))
    image = noise(55, 64, 64)
    counts = set()
    for steps in (2, 40):
        denoiser = made(image, tiny(steps=steps, footprint=(1, 1), context=0))
        with closing(api.train(denoiser, image)) as events:
            next(events)
            assert denoiser.training is not None
            assert denoiser.training.loop is not None
            counts.add(len(denoiser.training.loop.crops.origins))
    assert counts == {10 * 2 // 4}  # of 2 crops a step, 4 to a block


def test_reading_that_takes_long_tells_how_far_it_is(
    tiny: Build, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "READ_PATIENCE", 0.0)
    image = noise(6, 48, 48)
    events = list(api.train(made(image, tiny(steps=2, context=0)), image))
    read = [event for event in events if event.stage == "read"]
    assert events[: len(read)] == read
    steps = [event.step for event in read]
    assert steps[:5] == [2, 3, 4, 5, 6]
    assert steps == sorted(set(steps))
    assert steps[-1] == read[0].steps
    assert len(read) > 6  # frames, and held-out pixels
    assert read[-1].seconds_left == 0
    assert [event.step for event in events[len(read) :]] == [0, 1, 2]


@pytest.mark.parametrize("before", [0, 3])
def test_a_stop_while_it_reads_leaves_the_model_as_it_was(
    before: int, tiny: Build, noise: Noise, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = noise(6, 48, 48)
    denoiser = made(image, tiny(context=0))
    if before:
        train(denoiser, image, steps=before)
    had = [values.clone() for values in denoiser.network.parameters()]
    monkeypatch.setattr(training, "READ_PATIENCE", 0.0)
    with closing(api.train(denoiser, image, replace(denoiser.config, steps=6))) as events:
        assert next(events).stage == "read"
    assert denoiser.record.steps == before
    assert all(map(torch.equal, denoiser.network.parameters(), had))
    assert train(denoiser, image, steps=6)[-1].step == 6


def test_a_stop_in_the_middle_of_the_held_out_pixels_is_no_look_at_them(
    tiny: Build, noise: Noise, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a stop between two looks, where the last weights are looked at once more."""
    image = noise(6, 48, 48)
    denoiser = made(image, tiny(context=0))
    with closing(api.train(denoiser, image)) as events:
        for event in events:
            if event.step == 3:
                break
    had = weights(denoiser)
    monkeypatch.setattr(training, "READ_PATIENCE", 0.0)
    with closing(api.train(denoiser, image, replace(denoiser.config, steps=6))) as events:
        for event in events:
            assert event.stage == "read"
            if event.step > 10:  # the six frames, and some windows
                break
    assert event.step < event.steps
    assert equal(weights(denoiser), had)


def test_what_does_not_fit_the_image_is_refused_here_as_well(
    image: NDArray[np.float32], tiny: Build
) -> None:
    """And not only by the analysis: a training may have another configuration."""
    denoiser = made(image, tiny())
    for change, message in (({"footprint": (31, 31)}, "more than half"), ({"context": 2}, "frame")):
        with pytest.raises(api.ConfigError, match=message):
            next(api.train(denoiser, image, tiny(**change)))


def test_a_hole_that_is_given_later_is_said_to_be_given(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(noise_model=True))
    assert "single pixels" in denoiser.record.noise
    assert denoiser.guard is not None
    before = denoiser.guard.window
    train(denoiser, image, steps=2, footprint=(5, 5))
    assert denoiser.record.noise == "the hole of 5 x 5 pixels was given"
    assert denoiser.guard.window > before
    expected = made(image, tiny(noise_model=True, footprint=(5, 5))).guard
    assert denoiser.guard == expected


def test_what_is_said_of_neighbours_outlives_a_hole_that_is_given_later(
    noise: Noise, tiny: Build, train: Train
) -> None:
    movie = noise(5, 64, 64)
    denoiser = made(movie, tiny(context=1))
    train(denoiser, movie, steps=1, footprint=(3, 3))
    hole, neighbours = denoiser.record.noise.split("; ")
    assert hole == "the hole of 3 x 3 pixels was given"
    assert neighbours == "each frame is denoised with the one before and the one after it in view"


# One seed, one result


def test_a_seed_gives_one_result(image: NDArray[np.float32], tiny: Build, train: Train) -> None:
    first, second, other = (made(image, tiny(seed=seed)) for seed in (0, 0, 1))
    before = torch.get_rng_state()
    for denoiser in (first, second, other):
        train(denoiser, image)
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is the user's
    assert equal(weights(first), weights(second))
    assert not equal(weights(first), weights(other))
    assert first.record.curve == second.record.curve


@pytest.mark.parametrize("pooled", [False, True])
@pytest.mark.parametrize("stops", [[4], [3], [1, 2, 7], [10], [9, 11], [0, 5]])
def test_stopping_and_going_on_equals_a_run_that_was_never_stopped(
    noise: Noise,
    tiny: Build,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    stops: list[int],
    pooled: bool,
) -> None:
    """Bit for bit, wherever it stops: at a look at the held-out pixels, or between two."""
    image = noise(3, 70, 66) + 40 * np.sin(np.arange(66, dtype=np.float32))
    if pooled:
        monkeypatch.setattr(training, "Crops", partial(Crops, resident_bytes=4 * 2 * 64 * 64))
    config = tiny(steps=12, footprint=(1, 1), learning_rate=0.01)
    straight, broken = made(image, config), made(image, config)
    straight_events = train(straight, image)
    assert straight.record.best_step > 0
    steps = []
    for stop in [*stops, 99]:
        for event in api.train(broken, image, config):
            steps.append(event.step)
            if event.step == stop:
                break
        assert broken.record.steps == min(stop, 12)
    assert steps[-12:] == list(range(1, 13)) or steps == [e.step for e in straight_events]
    assert straight.training is not None
    assert broken.training is not None
    raw = [list(d.training.network.parameters()) for d in (straight, broken) if d.training]
    assert equal(*raw)
    assert equal(straight.training.average, broken.training.average)
    assert equal(weights(straight), weights(broken))
    assert replace(broken.record, seconds=0) == replace(straight.record, seconds=0)
    assert np.array_equal(straight.predict(image), broken.predict(image))


def test_it_goes_on_to_the_number_of_steps_in_all(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=5))
    train(denoiser, image)
    assert [e.step for e in train(denoiser, image, steps=8)] == [6, 7, 8]
    assert train(denoiser, image, steps=8) == []
    assert denoiser.record.steps == 8


def test_another_seed_on_the_way_does_not_change_what_is_held_out(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=4))
    train(denoiser, image)
    baseline = denoiser.record.baseline_loss
    train(denoiser, image, steps=8, seed=5)
    assert denoiser.record.baseline_loss == baseline


def test_all_that_goes_on_moves_to_another_device(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    """The meta device is one that every machine has; the optimiser counts its steps on the host."""
    denoiser = made(image, tiny(steps=5, width=8))
    train(denoiser, image)
    state = denoiser.training
    assert state is not None
    state.to(torch.device("meta"))
    adam, muon = state.optimizer.parts
    assert isinstance(adam, AdamW)
    assert isinstance(muon, Muon)
    moments = [*adam.means, *adam.squares, *muon.momenta]
    kept = [*state.network.parameters(), *state.average, *state.best, *moments]
    assert len(muon.momenta) + len(adam.means) == len(state.average)
    assert {tensor.device.type for tensor in kept} == {"meta"}
    assert {count.device.type for count in adam.steps} == {"cpu"}
    assert denoiser.device.type == "cpu"


def test_the_line_to_beat_is_measured_against_what_is_learned(
    image: NDArray[np.float32], noise: Noise, tiny: Build
) -> None:
    """A clean target leaves far less to the average than the noise of a pixel."""
    clean = 100 + np.linspace(0, 60, 44, dtype=np.float32) * np.ones((40, 1), np.float32)
    config = tiny(method="noise2clean", steps=1)
    denoiser = made(image, config)
    event = next(api.train(denoiser, image, config, target=clean))
    noise_variance = (10 / denoiser.normalization.std[0]) ** 2
    assert event.baseline_loss is not None
    assert 0.02 * noise_variance < event.baseline_loss < 0.3 * noise_variance


def test_predicting_on_the_way_does_not_disturb_it(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    config = tiny(steps=8)
    alone, watched = made(image, config), made(image, config)
    train(alone, image)
    for event in api.train(watched, image, config):
        assert torch.is_grad_enabled()
        preview = watched.predict(image, passes=1)
        assert np.isfinite(preview).all(), event
    assert equal(weights(alone), weights(watched))


def test_each_event_shows_the_averaged_weights(image: NDArray[np.float32], tiny: Build) -> None:
    """Between the first weights and the raw ones, and closer to the raw ones than a long mean."""
    denoiser = made(image, tiny(steps=6))
    before: list[Tensor] = []
    for event in api.train(denoiser, image):
        state = denoiser.training
        assert state is not None
        raw = [p.detach().clone() for p in state.network.parameters()]
        if event.step == 0:
            assert equal(raw, weights(denoiser))
        else:
            decay = (1 + event.step) / (10 + event.step)
            expected = [decay * a + (1 - decay) * r for a, r in zip(before, raw, strict=True)]
            for value, here in zip(expected, weights(denoiser), strict=True):
                torch.testing.assert_close(here, value)
        before = weights(denoiser)


# The best weights


def test_a_look_is_worse_by_more_than_one_standard_error() -> None:
    """Of paired differences of crops, each by the pixels that count in it."""
    rng = np.random.default_rng(0)
    counts = tuple(rng.integers(500, 1500, 12).tolist())
    before = Look(tuple((2.0 * np.array(counts)).tolist()), counts)
    scatter = rng.normal(0, 20, 12)
    scatter -= scatter.mean()
    error = math.sqrt(12 / 11 * (scatter**2).sum())  # of the sum; nothing to weigh: the mean is 0
    for errors, worse in ((0.9, False), (1.1, True), (-3.0, False)):
        more = errors * error * np.array(counts) / sum(counts)
        after = Look(tuple((np.array(before.errors) + scatter + more).tolist()), counts)
        assert after.loss == pytest.approx(2 + errors * error / sum(counts))
        assert after.worse_than(before) == worse
    assert not before.worse_than(before)


def test_weights_that_are_worse_by_chance_only_are_kept(
    image: NDArray[np.float32], tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    crops = iter([(4.0, 4.0, 4.0), (2.0, 2.0, 2.0), (1.0, 2.0, 3.3), (2.2, 2.3, 2.4)])
    monkeypatch.setattr(training.Validation, "look", lambda self: Look(next(crops), (1, 1, 1)))
    denoiser = made(image, tiny(steps=12))
    train(denoiser, image)
    assert denoiser.record.best_step == 8, "the loss at 4 is lower by chance, that at 12 is higher"
    assert denoiser.record.validation_loss == pytest.approx(2.1)


def test_what_is_worse_by_chance_only_does_not_add_up(
    image: NDArray[np.float32], tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is compared with the lowest of all, not with the one before."""
    crops = iter([(2.0, 2.0), (1.9, 2.3), (2.1, 2.2), (2.2, 2.1)])
    monkeypatch.setattr(training.Validation, "look", lambda self: Look(next(crops), (1, 1)))
    denoiser = made(image, tiny(steps=12))
    train(denoiser, image)
    assert denoiser.record.best_step == 4


def looks(monkeypatch: pytest.MonkeyPatch, values: Iterator[float]) -> None:
    """Let the looks at the held-out pixels, all in one crop, find these losses."""
    monkeypatch.setattr(training.Validation, "look", lambda self: Look((next(values),), (1,)))


def test_the_best_weights_are_restored(
    image: NDArray[np.float32], tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, iter([1.0, 0.5, 0.7, 0.6]))
    denoiser = made(image, tiny(steps=12))
    seen = {e.step: weights(denoiser) for e in api.train(denoiser, image)}
    assert denoiser.record.best_step == 4
    assert denoiser.record.validation_loss == 0.5
    assert equal(weights(denoiser), seen[4])
    assert not equal(weights(denoiser), seen[12])


@pytest.mark.parametrize(("last", "kept"), [(0.4, 6), (0.8, 4)])
def test_stopping_between_two_looks_keeps_the_last_weights_if_they_are_better(
    image: NDArray[np.float32],
    tiny: Build,
    monkeypatch: pytest.MonkeyPatch,
    last: float,
    kept: int,
) -> None:
    looks(monkeypatch, iter([1.0, 0.5, last]))
    denoiser = made(image, tiny(steps=12))
    seen = {}
    for event in api.train(denoiser, image):
        seen[event.step] = weights(denoiser)
        if event.step == 6:
            break
    assert denoiser.record.steps == 6
    assert denoiser.record.best_step == kept
    assert denoiser.record.validation_loss == min(0.5, last)
    assert equal(weights(denoiser), seen[kept])


def test_a_plateau_ends_it_and_asking_again_goes_on(
    image: NDArray[np.float32], tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, itertools.chain([1.0, 0.5], itertools.repeat(0.5)))
    denoiser = made(image, tiny(steps=100, validate_every=2, patience=3))
    assert train(denoiser, image)[-1].step == 8  # the lowest at 2, and three looks after it
    assert denoiser.record.best_step == 8  # no worse
    assert train(denoiser, image)[-1].step == 14


def test_a_gain_that_is_none_counts_as_a_plateau(
    image: NDArray[np.float32], tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, (1 - 1e-6 * n for n in itertools.count()))
    denoiser = made(image, tiny(steps=100, validate_every=2, patience=3))
    assert train(denoiser, image)[-1].step == 6
    assert denoiser.record.best_step == 6  # the best all the same


def test_without_patience_it_goes_on_to_the_end(
    image: NDArray[np.float32], tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks(monkeypatch, itertools.repeat(1.0))
    denoiser = made(image, tiny(steps=12, validate_every=1, patience=0))
    assert train(denoiser, image)[-1].step == 12


def test_the_time_limit_ends_it_and_the_last_weights_are_looked_at(
    image: NDArray[np.float32], tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even before the first look: else a slow machine's time would be for nothing."""
    clock = itertools.count()
    monkeypatch.setattr(training, "time", SimpleNamespace(perf_counter=lambda: float(next(clock))))
    looks(monkeypatch, iter([1.0, 0.5]))
    denoiser = made(image, tiny(steps=1000, validate_every=500, time_limit=30))
    seen = {}
    for event in api.train(denoiser, image):
        seen[event.step] = weights(denoiser)
        assert event.seconds_left is None or event.seconds_left <= 30
    assert 1 < event.step < 30
    assert denoiser.record.best_step == event.step
    assert equal(weights(denoiser), seen[event.step])


def explode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the training loss become infinite after step 13."""
    loss_of = methods.Noise2Self.loss
    calls = itertools.count()

    def exploding(self: Any, *args: Any) -> Tensor:
        loss = loss_of(self, *args)
        return loss * math.inf if torch.is_grad_enabled() and next(calls) > 12 else loss

    monkeypatch.setattr(methods.Noise2Self, "loss", exploding)


def test_a_loss_that_becomes_infinite_ends_it_with_a_notice_and_the_best_weights(
    image: NDArray[np.float32], tiny: Build, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    explode(monkeypatch)
    denoiser = made(image, tiny(steps=100, seed=1))  # its held-out loss falls from the start
    *events, last = train(denoiser, image)
    assert last.step == 20
    assert last.notice is not None
    assert "step 12 are kept" in last.notice
    assert "lower learning rate" in last.notice
    assert all(e.notice is None for e in events)
    assert denoiser.record.best_step == 12
    assert np.isfinite(denoiser.predict(image)).all()
    monkeypatch.undo()
    kept = weights(denoiser)
    first = next(api.train(denoiser, image, replace(denoiser.config, learning_rate=1e-4)))
    assert first.step == 0  # begins anew, from the weights that were kept
    assert equal(weights(denoiser), kept)


@pytest.mark.parametrize("values", [[1.0, 0.5, math.inf], [math.nan, math.inf, math.nan]])
def test_a_denoiser_whose_looks_were_infinite_is_saved(
    image: NDArray[np.float32],
    tiny: Build,
    train: Train,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
    values: list[float],
) -> None:
    """They are no points of the curve, and no weights are kept for them."""
    looks(monkeypatch, itertools.chain(values, itertools.repeat(math.inf)))
    denoiser = made(image, tiny(steps=12))
    train(denoiser, image)
    finite = [v for v in values if math.isfinite(v)]
    assert [loss for _, loss in denoiser.record.curve] == finite
    denoiser.save(tmp_path / "m.safetensors")
    again = api.Denoiser.load(tmp_path / "m.safetensors")
    assert again.record.curve == denoiser.record.curve
    assert np.array_equal(again.predict(image, device="cpu"), denoiser.predict(image))


def test_training_brings_the_held_out_loss_down(noise: Noise, tiny: Build, train: Train) -> None:
    """On stripes that the smoothing, which it starts from, wipes out."""
    image = noise(48, 48) + 40 * np.sin(np.arange(48, dtype=np.float32))
    denoiser = made(image, tiny(steps=60, width=8, validate_every=20, stride=4, footprint=(1, 1)))
    train(denoiser, image)
    losses = [loss for _, loss in denoiser.record.curve]
    assert losses[-1] < 0.5 * losses[0]
    assert losses[-1] < denoiser.record.baseline_loss


# Iterators that are closed, dropped, or left lying


def test_a_script_may_end_with_an_open_iterator() -> None:
    """Python closes it when torch no longer works: the process was aborted."""
    script = """
import numpy as np
from napari_noise2self import api
image = np.random.default_rng(0).normal(100, 10, (64, 64)).astype("f4")
denoiser = api.Denoiser.for_image(image, axes="YX")
events = api.train(denoiser, image, api.TrainingConfig(steps=20, width=4, depth=1))
for progress in events:
    if progress.step == 3:
        break
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_closing_leaves_a_usable_denoiser(image: NDArray[np.float32], tiny: Build) -> None:
    denoiser = made(image, tiny(steps=1000))
    events = api.train(denoiser, image)
    for _ in range(6):
        next(events)
    events.close()
    assert denoiser.record.steps == 5
    assert np.isfinite(denoiser.predict(image)).all()
    assert not any(p.grad is not None for p in denoiser.network.parameters())


def test_a_call_that_was_never_started_changes_nothing(
    image: NDArray[np.float32], tiny: Build
) -> None:
    denoiser = made(image, tiny())
    before = weights(denoiser)
    events = api.train(denoiser, image, tiny(width=8))
    del events
    assert equal(weights(denoiser), before)
    assert not denoiser.trained


def test_an_iterator_left_lying_does_not_disturb_the_next_call(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    config = tiny(steps=10)
    straight, denoiser = made(image, config), made(image, config)
    train(straight, image)
    left_lying = api.train(denoiser, image, config)
    for event in left_lying:
        if event.step == 5:
            break
    events = api.train(denoiser, image, config)
    assert next(events).step == 6
    assert list(left_lying) == []  # it has been taken over
    left_lying.close()
    gc.collect()
    assert [e.step for e in events] == [7, 8, 9, 10]
    assert equal(weights(denoiser), weights(straight))


def test_an_iterator_left_lying_before_its_first_step_does_not_either(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    """The next call builds another network, which it must leave alone."""
    straight, denoiser = made(image, tiny(steps=6)), made(image, tiny(steps=6))
    train(straight, image)
    left_lying = api.train(denoiser, image, tiny(steps=6, seed=1, width=8))
    assert next(left_lying).step == 0
    for event in api.train(denoiser, image, tiny(steps=6)):
        if event.step == 2:
            assert list(left_lying) == []
        if event.step == 4:
            left_lying.close()
    assert equal(weights(denoiser), weights(straight))


def test_an_iterator_left_lying_where_it_diverged_does_not_either(
    image: NDArray[np.float32], tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    explode(monkeypatch)
    denoiser = made(image, tiny(steps=100, seed=1))
    left_lying = api.train(denoiser, image)
    while next(left_lying).notice is None:
        pass
    kept = weights(denoiser)
    monkeypatch.undo()
    events = api.train(denoiser, image)
    while next(events).step < 3:
        pass
    now = weights(denoiser)
    left_lying.close()
    assert equal(weights(denoiser), now)
    assert not equal(now, kept)


def test_an_error_on_the_way_leaves_the_best_weights(
    image: NDArray[np.float32], tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = made(image, tiny())
    events = api.train(denoiser, image)
    seen = {event.step: weights(denoiser) for event in itertools.islice(events, 7)}

    def failing(self: Any, *args: Any) -> Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(methods.Noise2Self, "loss", failing)
    with pytest.raises(api.DeviceMemoryError, match="ran out of memory; use a smaller patch"):
        next(events)
    monkeypatch.undo()
    assert equal(weights(denoiser), seen[denoiser.record.best_step])
    assert np.isfinite(denoiser.predict(image)).all()


def test_no_room_for_the_optimiser_is_an_error_that_leaves_all_as_it_was(
    image: NDArray[np.float32], tiny: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(network: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    denoiser = made(image, tiny())
    record = denoiser.record
    monkeypatch.setattr(state, "Optimizer", failing)
    with pytest.raises(api.DeviceMemoryError, match="ran out of memory; use a smaller patch"):
        next(api.train(denoiser, image))
    assert (denoiser.record, denoiser.training) == (record, None)
    with pytest.raises(api.NotTrainedError):
        denoiser.predict(image)


# Going on with a model from elsewhere


def test_a_loaded_model_is_trained_further_from_its_weights(
    image: NDArray[np.float32], tiny: Build, train: Train, tmp_path: Any
) -> None:
    denoiser = made(image, tiny(steps=6))
    train(denoiser, image)
    denoiser.save(tmp_path / "m.safetensors")
    loaded = api.Denoiser.load(tmp_path / "m.safetensors")
    saved = weights(loaded)
    for event in api.train(loaded, image, denoiser.config):
        assert event.step == 0
        assert equal(weights(loaded), saved)
        assert loaded.trained
        break
    # Stopped before the first step, it is what it was: its weights are not drawn anew.
    assert loaded.trained
    assert equal(weights(loaded), saved)
    events = train(loaded, image, steps=3)
    assert [e.step for e in events][-3:] == [1, 2, 3]
    assert (loaded.record.steps, loaded.record.earlier_steps) == (3, 6)
    loaded.save(tmp_path / "n.safetensors")
    assert api.Denoiser.load(tmp_path / "n.safetensors").record == loaded.record


def test_going_on_with_another_image_judges_by_that_image(
    image: NDArray[np.float32], noise: Noise, tiny: Build, train: Train
) -> None:
    """Losses on the first image's held-out pixels say nothing about the second's."""
    denoiser = made(image, tiny(steps=8))
    train(denoiser, image)
    other = image + 20 * (noise(40, 44, seed=3) - 100)  # a loss far above the first image's
    events = train(denoiser, other, steps=16)
    assert [e.step for e in events] == list(range(8, 17))
    assert events[0].validation_loss is not None
    assert events[0].baseline_loss == denoiser.record.baseline_loss
    assert denoiser.record.best_step >= 8
    assert denoiser.record.validation_loss > 10 * denoiser.record.curve[0][1]


# What is refused


@pytest.mark.parametrize("pooled", [False, True])
def test_another_image_that_is_not_finite_is_refused_and_nothing_is_kept(
    noise: Noise, tiny: Build, monkeypatch: pytest.MonkeyPatch, pooled: bool
) -> None:
    """Whether it lies on the device as a whole or in blocks, with a frame's neighbours."""
    if pooled:
        monkeypatch.setattr(training, "Crops", partial(Crops, resident_bytes=4 * 9 * 64 * 64))
    image = noise(3, 40, 44)
    broken = image.copy()
    broken[1, 20, 20] = np.inf
    denoiser = made(image, tiny(context=1))
    record = denoiser.record
    with pytest.raises(api.ImageError, match=r"the image has 1 NaN or infinite .*fill_nan\(image"):
        next(api.train(denoiser, broken))
    assert (denoiser.record, denoiser.training) == (record, None)
    with pytest.raises(api.NotTrainedError):
        denoiser.predict(image)


def test_another_architecture_is_refused_once_it_is_trained(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=2))
    assert weights(denoiser)[0].shape[0] == 4
    train(denoiser, image, width=8)  # before that, it is taken over
    assert weights(denoiser)[0].shape[0] == 8
    for changes in ({"width": 4}, {"depth": 2}, {"network": "dncnn"}, {"stride": 5}):
        config = replace(denoiser.config, steps=9, **changes)
        with pytest.raises(api.ModelMismatchError, match=r"dataclasses.replace.*new Denoiser"):
            next(api.train(denoiser, image, config))
        assert denoiser.config.steps == 2  # and nothing has changed
        assert np.isfinite(denoiser.predict(image)).all()


def test_a_refused_call_leaves_the_denoiser_as_it_was(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=2))
    train(denoiser, image)
    with pytest.raises(api.DeviceError, match="is not there"):
        next(api.train(denoiser, image, tiny(steps=9, device="cuda:77")))
    two = api.Image(np.stack([image, image]), "CYX")
    with pytest.raises(api.ModelMismatchError, match="the image has 2"):
        next(api.train(denoiser, two, tiny(steps=9, learning_rate=0.5)))
    assert denoiser.config == tiny(steps=2)
    assert np.isfinite(denoiser.predict(image)).all()


def test_a_hole_of_the_wrong_dimensionality_is_refused(
    image: NDArray[np.float32], tiny: Build
) -> None:
    with pytest.raises(api.ConfigError, match=r'footprint=\(1, 1, 1\) has 3 widths .* \("YX"\)'):
        next(api.train(made(image, tiny()), image, tiny(footprint=(1, 1, 1))))


# Kinds of images


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((32, 32), "YX"),
        ((35, 101), "YX"),
        ((33, 40, 3), "YXC"),
        ((40, 3, 33), "XCY"),
        ((3, 34, 32), "TYX"),
        ((2, 33, 40), "ZYX"),
        ((7, 40, 36), "ZYX"),
        ((2, 2, 3, 32, 34), "TCZYX"),
    ],
)
def test_images_of_every_kind_are_trained_on(
    noise: Noise, tiny: Build, train: Train, shape: tuple[int, ...], axes: str
) -> None:
    image = noise(*shape)
    denoiser = made(image, tiny(steps=3, stride=2), axes)
    train(denoiser, image)
    clean = denoiser.predict(image)
    assert clean.shape == shape
    assert clean.dtype == np.float32
    assert clean.std() < image.std()
    np.testing.assert_allclose(clean.mean(), image.mean(), rtol=0.02)


def test_an_image_with_an_empty_channel_trains_the_others(
    noise: Noise, tiny: Build, train: Train
) -> None:
    image = np.stack([noise(32, 32), np.full((32, 32), 7, np.float32)])
    denoiser = made(image, tiny(steps=3), "CYX")
    train(denoiser, image)
    clean = denoiser.predict(image)
    assert (clean[1] == 7).all()
    assert clean[0].std() < image[0].std()
    # In another image it may hold something, which the network has never seen.
    other = np.stack([image[0], 1000 * noise(32, 32, seed=1)])
    with pytest.warns(UserWarning, match="channel 1 has mean"):
        same = denoiser.predict(other)
    np.testing.assert_array_equal(same[0], clean[0])
    np.testing.assert_array_equal(same[1], other[1])


def test_training_in_bfloat16_works_where_the_hardware_does_not_ask_for_it(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=5, precision="bfloat16"))
    train(denoiser, image)
    assert {p.dtype for p in denoiser.network.parameters()} == {torch.float32}
    assert np.isfinite(denoiser.predict(image)).all()


def test_statistics_stay_those_of_the_image_it_was_made_for(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=2))
    stats = denoiser.normalization
    train(denoiser, image * 2)
    assert denoiser.normalization is stats
    assert isinstance(stats, Normalization)


@pytest.mark.parametrize(
    ("steps", "footprint", "warned"),
    [(501, (3, 3), True), (501, (1, 9), True), (500, (3, 3), False), (501, (1, 1), False)],
)
def test_a_long_training_on_correlated_noise_is_warned_of(
    image: NDArray[np.float32], tiny: Build, steps: int, footprint: tuple[int, int], warned: bool
) -> None:
    denoiser = made(image, tiny(steps=steps, footprint=footprint))
    with closing(api.train(denoiser, image)) as events:
        first = next(events)
        second = next(events)
    assert (first.notice is not None and "the noise is correlated" in first.notice) is warned
    assert second.notice is None


def test_who_goes_on_for_long_on_correlated_noise_is_warned_as_well(
    image: NDArray[np.float32], tiny: Build, train: Train
) -> None:
    denoiser = made(image, tiny(steps=2, footprint=(3, 3)))
    assert not any(event.notice for event in train(denoiser, image))
    with closing(api.train(denoiser, image, replace(denoiser.config, steps=2500))) as events:
        first = next(events)
    assert first.step == 2
    assert first.notice is not None
    assert "2500 steps are many" in first.notice
