"""Prediction: in pieces as in one, pass by pass, in the memory that there is."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray
from torch import Tensor

from napari_noise2self import api
from napari_noise2self.core import prediction
from napari_noise2self.core.methods import PASSES_3D, Noise2Self
from napari_noise2self.core.normalization import Normalization

Random = Callable[..., api.Denoiser]
Noise = Callable[..., NDArray[np.float32]]

# Some images are unlike what the denoisers' statistics say.
pytestmark = pytest.mark.filterwarnings("ignore:channel . has mean")


def assert_same(first: NDArray[np.float32], second: NDArray[np.float32]) -> None:
    """Up to rounding, compared with how much the values spread."""
    assert first.shape == second.shape
    assert float(np.abs(first - second).max()) < 2e-6 * float(np.abs(first).max())


# Tiles


@pytest.mark.parametrize("output", ["best", "j-invariant"])
@pytest.mark.parametrize(
    ("shape", "tile", "changes"),
    [
        ((70, 83), (16, 16), {}),
        ((70, 83), (24, 83), {"depth": 2}),
        ((67, 65), (32, 8), {"network": "dncnn"}),
        ((64, 90), (16, 30), {"footprint": (1, 9), "stride": (2, 10)}),
        ((61, 59), (16, 16), {"footprint": (3, 3)}),
        ((5, 45, 33), (5, 16, 33), {"stride": (2, 2, 2)}),
        ((23, 33, 32), (7, 33, 32), {"stride": (2, 2, 2), "footprint": (1, 1, 1)}),
    ],
)
def test_in_pieces_it_equals_the_whole(
    random_denoiser: Random,
    noise: Noise,
    shape: tuple[int, ...],
    tile: tuple[int, ...],
    changes: dict[str, Any],
    output: Any,
) -> None:
    """With random weights, at odd sizes, through mirrored passes and wide holes."""
    denoiser = random_denoiser("ZYX"[-len(shape) :], **changes)
    image = noise(*shape)
    whole = denoiser.predict(image, output=output, tile=shape)
    assert np.ptp(whole) > 1
    assert_same(whole, denoiser.predict(image, output=output, tile=tile))


def test_a_halo_that_is_too_short_would_be_found(random_denoiser: Random, noise: Noise) -> None:
    denoiser = random_denoiser()
    image = noise(64, 64)
    whole = denoiser.predict(image, output="j-invariant")
    denoiser.network.halo = (4, 4)
    pieces = denoiser.predict(image, output="j-invariant", tile=(16, 16))
    with pytest.raises(AssertionError):
        assert_same(whole, pieces)


def test_the_tile_follows_the_free_memory(
    random_denoiser: Random, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = random_denoiser(stride=(2, 2))
    image = noise(128, 128)
    plenty = list(denoiser.predict_iter(image))
    assert plenty[-1].steps == 4  # one tile, four passes
    assert plenty[-1].tile == (128, 128)
    monkeypatch.setattr(prediction, "free_memory", lambda device: 2**20)
    little = list(denoiser.predict_iter(image))
    assert little[-1].steps > 4 * 8
    assert max(little[-1].tile) < 64
    assert_same(plenty[-1].result, little[-1].result)


@pytest.mark.parametrize("device", ["cuda", "mps", "cpu"])
def test_no_tile_has_more_values_than_a_kernel_counts(
    random_denoiser: Random, monkeypatch: pytest.MonkeyPatch, device: str
) -> None:
    """As in an image of 8192 x 8192 on a GPU that has the memory for it."""
    denoiser = random_denoiser()
    stack = denoiser.see(da.zeros((60_000, 60_000), dtype="f4"))
    monkeypatch.setattr(prediction, "free_memory", lambda device: 2**50)
    work = prediction._Work(denoiser, stack, "best", torch.device("cpu"))
    work.device = torch.device(device)
    values = work.tiling.reached(work.tile_size()) * denoiser.network.values_per_pixel
    assert 2**31 / 16 < values < 2**31 if device != "cpu" else values < 2**28


def test_a_tile_reads_its_reach_and_nothing_more(random_denoiser: Random, noise: Noise) -> None:
    """So that an image larger than memory can be denoised from disk to disk."""

    class Counting:
        shape, dtype, reads = (3, 100, 96), np.dtype("f4"), list[int]()
        array = noise(3, 100, 96)

        def __getitem__(self, index: Any) -> NDArray[np.float32]:
            part: NDArray[np.float32] = self.array[index]
            self.reads.append(part.size)
            return part

    image = Counting()
    denoiser = random_denoiser("TYX", stride=(2, 2))
    *_, last = denoiser.predict_iter(image, output="j-invariant", tile=(16, 16))
    first, *tiles = image.reads
    assert first == 100 * 96  # a frame, once, to compare its statistics
    assert len(tiles) == 3 * 7 * 6
    margin = -(-(denoiser.network.halo[0] + 1) // 2) * 2
    assert max(tiles) == (16 + 2 * margin) ** 2
    assert_same(last.result, denoiser.predict(image.array, output="j-invariant"))


# Passes


@pytest.mark.parametrize("output", ["best", "j-invariant"])
def test_the_output_is_the_mean_over_the_passes(
    random_denoiser: Random, noise: Noise, output: Any
) -> None:
    denoiser = random_denoiser()
    image = noise(34, 33)
    x = denoiser.normalization.apply(torch.from_numpy(image)[None, None])
    total, weight = torch.zeros_like(x), torch.zeros_like(x)
    with torch.no_grad():
        for which in denoiser.method.passes(output):
            values, mask = denoiser.method.run_pass(denoiser.network, x, which, output)
            total += values * mask
            weight += mask
    expected = denoiser.normalization.invert(total / weight)[0, 0].numpy()
    assert_same(expected, denoiser.predict(image, output=output))


def test_one_event_a_pass_and_the_result_at_the_end(random_denoiser: Random, noise: Noise) -> None:
    image = noise(2, 40, 32)
    *events, last = random_denoiser("TYX").predict_iter(image, tile=(20, 32))
    assert [e.step for e in events] == list(range(1, 2 * 2 * 16 + 1))
    assert {(e.stage, e.steps) for e in (*events, last)} == {("predict", 64)}
    assert all(e.result is None for e in events)
    assert last.result.shape == image.shape
    assert last.result.dtype == np.float32
    assert last.seconds_left == 0


@pytest.mark.parametrize("passes", [1, 3, 5, 16, 100])
def test_a_quick_look_takes_so_many_passes_and_no_more(
    random_denoiser: Random, noise: Noise, passes: int
) -> None:
    image = noise(32, 32)
    denoiser = random_denoiser()
    *events, last = denoiser.predict_iter(image, passes=passes)
    assert 1 <= len(events) <= min(passes, 16)
    assert np.isfinite(last.result).all()
    if passes >= 16:
        assert np.array_equal(last.result, denoiser.predict(image))


@pytest.mark.parametrize("planes", [1, 2, 3])
def test_a_thin_stack_spends_no_pass_on_planes_that_are_not_there(
    random_denoiser: Random, noise: Noise, planes: int
) -> None:
    """And in "best" no pass is left that hides nothing."""
    image = noise(planes, 32, 32)
    denoiser = random_denoiser("ZYX", stride=(4, 2, 2))
    for output in ("best", "j-invariant"):
        *events, last = denoiser.predict_iter(image, output=output)
        assert len(events) == 4 * planes
        assert np.isfinite(last.result).all()


@pytest.mark.parametrize("width", [5, 9])
def test_a_plane_as_a_volume_takes_as_many_passes_as_any(
    random_denoiser: Random, noise: Noise, width: int
) -> None:
    """Behind a hole so wide that most J-sets begin beyond it."""
    denoiser, image = random_denoiser("ZYX", footprint=(width,) * 3), noise(1, 32, 32)
    *events, last = denoiser.predict_iter(image)
    assert len(events) == PASSES_3D
    assert np.isfinite(last.result).all()


def test_each_frame_is_denoised_by_itself(random_denoiser: Random, noise: Noise) -> None:
    frames = noise(3, 33, 40)
    together = random_denoiser("TYX").predict(frames)
    for frame, clean in zip(frames, together, strict=True):
        assert np.array_equal(random_denoiser("YX").predict(frame), clean)


@pytest.mark.parametrize("axes", ["TCZYX", "CTZYX", "ZCTYX", "XYZTC"])
def test_the_order_of_axes_does_not_matter(
    random_denoiser: Random, noise: Noise, axes: str
) -> None:
    image = noise(2, 2, 3, 32, 34)
    denoiser = random_denoiser("TCZYX", channels=2, stride=(2, 2, 2))
    order = ["TCZYX".index(a) for a in axes]
    expected = denoiser.predict(image).transpose(order)
    assert np.array_equal(denoiser.predict(image.transpose(order), axes), expected)


def test_a_constant_image_stays_constant_where_no_border_is_near(random_denoiser: Random) -> None:
    """No grid of J-sets, no checkerboard, no seams."""
    denoiser = random_denoiser()
    image = np.full((80, 80), 123, np.float32)
    inside = denoiser.predict(image, output="j-invariant", tile=(24, 24))[24:-24, 24:-24]
    assert np.ptp(inside) < 1e-3


# Empty margins


@pytest.mark.parametrize("shape", [(64, 100), (3, 64, 100)])
def test_an_empty_margin_stays_as_it_is(
    random_denoiser: Random, noise: Noise, shape: tuple[int, ...]
) -> None:
    """What stitching and deskewing leave around an image; elsewhere nothing changes."""
    denoiser = random_denoiser("ZYX"[-len(shape) :], stride=(2,) * len(shape))
    image = noise(*shape)
    image[..., :50] = 7.1
    clean = denoiser.predict(image)
    assert (clean[..., : 50 - 15] == np.float32(7.1)).all()
    assert (clean[..., 50 - 15 :] != np.float32(7.1)).mean() > 0.999
    strict = denoiser.predict(image, output="j-invariant")
    assert (strict[..., :20] != np.float32(7.1)).all()


def test_an_empty_margin_is_the_same_in_pieces(random_denoiser: Random, noise: Noise) -> None:
    denoiser = random_denoiser(network="dncnn", depth=1)  # looks less far than the empty window
    image = noise(64, 100)
    image[:, :50] = 0
    assert_same(denoiser.predict(image, tile=(64, 100)), denoiser.predict(image, tile=(16, 16)))


def test_a_dark_image_of_few_photons_is_not_taken_for_empty(random_denoiser: Random) -> None:
    image = np.random.default_rng(0).poisson(0.01, (256, 256)).astype(np.float32)
    assert (random_denoiser().predict(image) == 0).mean() < 0.01


def test_what_was_learnt_from_a_target_keeps_no_margin(noise: Noise) -> None:
    """Its intensities are those of the target, which may be others."""
    first = noise(64, 64)
    second = first[::-1].copy()  # any will do
    config = api.TrainingConfig(method="noise2noise", width=4, depth=1, steps=1)
    denoiser = api.Denoiser.for_image(first, config=config)
    for _ in api.train(denoiser, first, config, target=second):
        pass
    image = noise(64, 100)
    image[:, :50] = 0
    assert (denoiser.predict(image)[:, :20] != 0).all()


# Where it goes, and what it leaves alone


def test_it_can_be_written_into_an_array(random_denoiser: Random, noise: Noise) -> None:
    denoiser = random_denoiser()
    image = noise(40, 36)
    expected = denoiser.predict(image)
    out = np.zeros((40, 36), np.float64)
    assert denoiser.predict(image, out=out) is out
    assert np.array_equal(out, expected)
    on_disk = zarr.zeros((40, 36), chunks=(16, 16), dtype="f4")
    assert denoiser.predict(image, out=on_disk) is on_disk
    assert np.array_equal(on_disk[:], expected)


@pytest.mark.parametrize("dtype", ["uint16", "int32", "bool"])
def test_no_array_of_integers_is_written_into(
    random_denoiser: Random, noise: Noise, dtype: str
) -> None:
    """They would cut the result, and wrap what lies beyond their range."""
    for out in (np.zeros((40, 36), dtype), zarr.zeros((40, 36), dtype=dtype)):
        with pytest.raises(api.ImageError, match=rf"{dtype}, .*wrap; give an .*float32"):
            random_denoiser().predict(noise(40, 36), out=out)
        assert not np.asarray(out).any()


def test_the_image_is_not_written_into(random_denoiser: Random, noise: Noise) -> None:
    """Nor any part of it, which would be read again as what lies beside the next tile."""
    denoiser, both = random_denoiser(), noise(50, 36)
    on_disk = zarr.array(both)
    for image, out in ((both, both), (both[:40], both[10:]), (on_disk, on_disk)):
        with pytest.raises(api.ImageError, match="shares its memory with the image"):
            denoiser.predict(image, out=out)
    assert np.array_equal(both, noise(50, 36))
    apart = noise(80, 36)
    expected = denoiser.predict(apart[::2])
    assert np.array_equal(denoiser.predict(apart[::2], out=apart[1::2]), expected)


def test_what_an_array_held_stays_where_no_sample_is_asked_for(
    random_denoiser: Random, noise: Noise
) -> None:
    denoiser, image, out = random_denoiser("TYX"), noise(3, 40, 36), np.ones((3, 40, 36))
    denoiser.predict(image, out=out, samples=[1])
    assert (out[[0, 2]] == 1).all()
    assert np.array_equal(out[1], denoiser.predict(image)[1])


def test_tiles_that_are_done_stay_when_it_is_stopped(random_denoiser: Random, noise: Noise) -> None:
    denoiser = random_denoiser(stride=(2, 2))
    image, out = noise(64, 64), np.full((64, 64), np.nan, np.float32)
    events = denoiser.predict_iter(image, out=out, tile=(32, 64))
    for _ in range(5):
        next(events)
    events.close()
    assert np.isfinite(out[:32]).all()
    assert np.isnan(out[32:]).all()


def test_nothing_of_the_denoiser_changes(random_denoiser: Random, noise: Noise) -> None:
    denoiser = random_denoiser()
    image = noise(36, 36)
    given, before = image.copy(), copy.deepcopy(denoiser.network.state_dict())
    first = denoiser.predict(image)
    assert np.array_equal(first, denoiser.predict(image))
    assert np.array_equal(image, given)
    after = denoiser.network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_another_device_computes_on_a_copy(random_denoiser: Random, noise: Noise) -> None:
    """As `torch` counts, "cpu:0" is another device than "cpu"."""
    denoiser = random_denoiser()
    image = noise(36, 36)
    network, device = denoiser.network, denoiser.device
    assert np.array_equal(denoiser.predict(image, device="cpu:0"), denoiser.predict(image))
    assert denoiser.network is network
    assert denoiser.device == device


def test_no_mode_of_torch_leaks_into_the_consumer(random_denoiser: Random, noise: Noise) -> None:
    denoiser = random_denoiser(precision="bfloat16")
    for _ in denoiser.predict_iter(noise(32, 32)):
        assert torch.is_grad_enabled()
        assert not torch.is_autocast_enabled("cpu")


def test_bfloat16_stays_close_to_float32(random_denoiser: Random, noise: Noise) -> None:
    image = noise(40, 40)
    exact = random_denoiser().predict(image)
    rough = random_denoiser(precision="bfloat16").predict(image)
    assert rough.dtype == np.float32
    assert 0 < np.abs(rough - exact).max() < 0.03 * np.ptp(exact)


def test_intensities_come_back_in_the_units_of_the_image(
    random_denoiser: Random, noise: Noise
) -> None:
    """What is normalized is undone: a shifted and stretched image gives the same, so moved."""
    image = noise(36, 40)
    clean = random_denoiser().predict(image)
    other = random_denoiser()
    other.normalization = type(other.normalization)((100.0 * 7 + 3,), (10.0 * 7,))
    np.testing.assert_allclose(other.predict(image * 7 + 3), clean * 7 + 3, rtol=1e-4)


def test_an_unlike_image_is_denoised_with_a_notice(random_denoiser: Random, noise: Noise) -> None:
    denoiser = random_denoiser()
    events = list(denoiser.predict_iter(noise(32, 32) + 1000))
    notices = [e.notice for e in events if e.notice]
    assert len(notices) == 1
    assert "train on this image" in notices[0]
    assert not any(e.notice for e in denoiser.predict_iter(noise(32, 32)))


# Memory that runs out


@pytest.fixture
def scarce(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let any pass over more than so many pixels run out of memory."""

    def limit(pixels: int) -> None:
        run_pass = Noise2Self.run_pass

        def failing(self: Any, network: Any, noisy: Tensor, *rest: Any) -> Any:
            if noisy[0, 0].numel() > pixels:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
            return run_pass(self, network, noisy, *rest)

        monkeypatch.setattr(Noise2Self, "run_pass", failing)

    return limit


@pytest.mark.parametrize("output", ["best", "j-invariant"])
def test_tiles_are_halved_until_they_fit(
    random_denoiser: Random, noise: Noise, scarce: Callable[[int], None], output: Any
) -> None:
    denoiser = random_denoiser("TYX", stride=(2, 2))
    image = noise(2, 90, 70)
    expected = denoiser.predict(image, output=output)
    scarce(3000)
    events = list(denoiser.predict_iter(image, output=output))
    notices = [e.notice for e in events if e.notice]
    assert notices
    assert all("cpu ran out of memory: going on with tiles of half the size" in n for n in notices)
    assert_same(expected, events[-1].result)
    assert events[-1].step == events[-1].steps > 8


def test_running_out_on_the_way_repeats_only_the_tile_that_failed(
    random_denoiser: Random, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser = random_denoiser("TYX", stride=(2, 2))
    image = noise(3, 64, 64)
    expected = denoiser.predict(image)
    run_pass, calls = Noise2Self.run_pass, itertools.count(1)

    def failing_once(self: Any, *args: Any) -> Any:
        if next(calls) == 7:  # the third pass of the second frame
            raise RuntimeError("MPS backend out of memory")
        return run_pass(self, *args)

    monkeypatch.setattr(Noise2Self, "run_pass", failing_once)
    events = list(denoiser.predict_iter(image))
    assert_same(expected, events[-1].result)
    # 4 passes of the first frame, 2 in vain, then two halves of each of the other frames
    assert [e.step for e in events[:-1]] == [1, 2, 3, 4, 5, 6, *range(5, 21)]
    assert events[-1].steps == 20


def test_running_out_when_a_tile_is_finished_halves_it_as_well(
    random_denoiser: Random, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    denoiser, image = random_denoiser(stride=(2, 2)), noise(64, 64)
    expected = denoiser.predict(image)
    invert, calls = Normalization.invert, itertools.count(1)

    def failing_once(self: Normalization, x: Tensor) -> Tensor:
        if next(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return invert(self, x)

    monkeypatch.setattr(Normalization, "invert", failing_once)
    events = list(denoiser.predict_iter(image))
    assert any(e.notice and "half the size" in e.notice for e in events)
    assert_same(expected, events[-1].result)


def test_no_room_for_the_weights_is_an_error_that_names_the_mend(
    random_denoiser: Random, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(network: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(prediction, "same_device", lambda *devices: False)
    monkeypatch.setattr(prediction, "copy", SimpleNamespace(deepcopy=failing))
    with pytest.raises(api.DeviceMemoryError, match="cpu ran out of memory; close other programs"):
        random_denoiser().predict(noise(32, 32))


def test_the_smallest_tile_that_does_not_fit_is_an_error(
    random_denoiser: Random, noise: Noise, scarce: Callable[[int], None]
) -> None:
    scarce(0)
    with pytest.raises(api.DeviceMemoryError, match="even with the smallest tiles; close other"):
        random_denoiser().predict(noise(40, 40))


def test_other_failures_are_not_taken_for_a_lack_of_memory(
    random_denoiser: Random, noise: Noise, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(self: Any, *args: Any) -> Any:
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(Noise2Self, "run_pass", failing)
    with pytest.raises(RuntimeError, match="shapes do not match"):
        random_denoiser().predict(noise(40, 40))
