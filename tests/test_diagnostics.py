"""The diagnosis of a recording and the inspection of a result."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_noise2self import api, samples
from napari_noise2self.core.axes import Stack
from napari_noise2self.core.diagnostics import Diagnosis, diagnose, diagnose_iter
from napari_noise2self.core.disagreement import disagreement_iter
from napari_noise2self.core.errors import ConfigError, ImageError
from napari_noise2self.core.faults import Faults, find_faults_iter
from napari_noise2self.core.inspection import inspect_result, inspect_result_iter
from napari_noise2self.core.noise import estimate_noise
from napari_noise2self.core.residual import inspect_channel
from napari_noise2self.figures_diagnosis import draw_diagnosis


@pytest.fixture(scope="module")
def cells() -> samples.Sample:
    return samples.cells(size=192)


def blobs(shape: tuple[int, ...] = (128, 128), seed: int = 0) -> np.ndarray:
    field = gaussian_filter(np.random.default_rng(seed).normal(size=shape[-2:]), 5)
    return np.broadcast_to((100 + 40 * field / field.std()).clip(5), shape)


def faults_of(image: np.ndarray, axes: str | None = None) -> Faults:
    stack = Stack.of(image, axes)
    *_, last = find_faults_iter(stack, noise=estimate_noise(stack))
    return last.result


# Faults.


def test_saturated_and_clipped_shares():
    noisy = np.random.default_rng(1).normal(blobs(), 10)
    low, high = np.quantile(noisy, (0.1, 0.95))
    found = faults_of(noisy.clip(low, high))
    assert found.clipped[0] == pytest.approx(0.10, abs=0.005)
    assert found.saturated[0] == pytest.approx(0.05, abs=0.005)
    assert faults_of(noisy).saturated == faults_of(noisy).clipped == (0.0,)


@pytest.mark.parametrize("value", [7.0, 200_000.0, -1e9, 1e17])
def test_a_flat_channel_has_a_histogram_however_high_it_lies(value):
    flat = np.full((64, 64), value, np.float32)
    found = api.diagnose(flat).faults
    assert found.histogram[0][0] == sum(found.histogram[0]) == flat.size
    assert found.lowest == found.highest == (float(flat[0, 0]),)
    flat[0, 0] = np.nextafter(flat[0, 0], np.float32(np.inf))  # by the least step there is
    found = api.diagnose(flat).faults
    assert (found.histogram[0][0], found.histogram[0][-1]) == (flat.size - 1, 1)


def test_hot_pixels_are_told_from_spots_and_stay_in_place():
    rng = np.random.default_rng(2)
    frames = rng.poisson(blobs((4, 128, 128))).astype(float)
    frames += 400 * gaussian_filter((rng.random((128, 128)) < 0.001) * 20.0, 1.2)  # bright spots
    before = faults_of(frames, "TYX")
    assert before.hot == (0.0,)
    frames[:, 30, 40] += 3000
    frames[:, 100, 7] += 3000
    frames[2, 64, 64] += 3000
    found = faults_of(frames, "TYX")
    assert found.hot[0] == pytest.approx(9 / frames.size)
    assert found.hot_stay[0] == pytest.approx(2 / 3)
    assert found.variance[0] == pytest.approx(before.variance[0], rel=1e-3)
    assert found.hot_variance[0] == pytest.approx(1 - before.variance[0] / frames.var(), rel=0.1)


def test_drift_and_empty_planes_are_named():
    frames = np.random.default_rng(3).poisson(blobs((20, 64, 64))).astype(float)
    frames *= np.linspace(1, 0.5, 20)[:, None, None]
    frames[7] = 0
    found = faults_of(np.stack([frames, frames], axis=1), "TCYX")
    assert found.frames == tuple(range(20))
    assert found.drift() == pytest.approx(-0.5, abs=0.06)
    assert found.empty_count == 2
    assert found.empty == ("t=7 c=0", "t=7 c=1")


def test_a_large_stack_is_looked_at_in_part():
    events = list(diagnose_iter(np.broadcast_to(blobs((64, 64)), (1000, 64, 64)), "TYX"))
    assert len(events) == 256 + 1
    assert all(event.stage == "diagnose" and event.result is None for event in events[:-1])
    assert events[-1].result.faults.frames[-1] == 999


# Diagnosis.


def test_white_noise_holds_and_a_network_suits(cells: samples.Sample):
    found = diagnose(cells.noisy)
    assert (found.assumption, found.advice, found.footprint) == ("holds", "network", (1, 1))
    assert found.noise is not None
    assert found.noise.trusted
    signal, noise = np.var(cells.truth.data), np.var(cells.noisy.data - cells.truth.data)
    assert found.snr() == pytest.approx(10 * math.log10(signal / noise), abs=1)
    assert not found.remarks()


def test_correlated_noise_asks_for_a_wider_hole():
    found = diagnose(samples.correlated(size=192).noisy)
    assert found.assumption == "holds with a wider hole"
    assert min(found.footprint) >= 3
    assert "hidden together" in found.assumption_sentence
    assert found.footprint == tuple(found.to_dict()["footprint"])


def test_lines_fail_and_are_to_be_mended_first():
    rng = np.random.default_rng(4)
    image = rng.normal(blobs(), 10) + rng.normal(0, 10, (128, 1))
    found = diagnose(image)
    assert found.assumption == "fails"
    assert "subtract the offset of each line" in found.assumption_sentence
    assert "mend the noise first" in found.advice_sentence


def test_clipping_and_fixed_patterns_are_doubts():
    rng = np.random.default_rng(5)
    noisy = rng.normal(blobs(), 20)
    clipped = diagnose(noisy.clip(np.quantile(noisy, 0.03), None))
    assert clipped.assumption == "in doubt"
    assert "3.0% of the pixels are cut off" in clipped.assumption_sentence
    pattern = rng.normal(0, 10, (128, 128))
    shared = diagnose(rng.normal(blobs((6, 128, 128)), 10) + pattern, "TYX")
    assert shared.assumption == "in doubt"
    assert any("fixed pattern" in remark for remark in shared.remarks())


def test_a_clean_image_is_left_alone_and_a_small_one_is_calibrated():
    rng = np.random.default_rng(6)
    assert diagnose(rng.normal(blobs(), 0.5)).advice == "nothing"
    small = diagnose(rng.normal(blobs(), 20)[:64, :64])
    assert small.advice == "calibrated"
    assert "4096 pixels" in small.advice_sentence


def test_a_constant_channel_says_nothing_of_the_others():
    rng = np.random.default_rng(6)
    noisy = rng.normal(blobs(), 20)
    beside = diagnose(np.stack([noisy, np.full_like(noisy, 255)]), "CYX")
    assert (beside.assumption, beside.advice) == ("holds", "network")
    assert beside.snr() == pytest.approx(diagnose(noisy).snr(), abs=0.5)


def test_a_fine_texture_is_not_called_noise_for_sure():
    """Which one image cannot tell apart; with structure above it the doubt is gone."""
    rng = np.random.default_rng(7)
    texture = gaussian_filter(rng.normal(size=(256, 256)), 0.7)
    found = diagnose(100 + 40 * texture / texture.std() + rng.normal(0, 2, texture.shape))
    assert max(found.footprint) > 1
    assert found.assumption == "in doubt"
    assert "or a fine texture of the specimen" in found.assumption_sentence


def test_an_image_that_nothing_would_denoise_is_told_of_first():
    rng = np.random.default_rng(6)
    noisy = rng.normal(blobs(), 20)
    tiny = diagnose(noisy[:31])
    assert (tiny.assumption, tiny.advice) == ("in doubt", "nothing")
    assert "31 x 128 pixels are too few" in tiny.assumption_sentence
    assert "at least 32 x 32 pixels are needed" in tiny.advice_sentence
    noisy[:8, :16] = np.inf
    broken = diagnose(noisy)
    assert broken.advice == "network"
    assert broken.advice_sentence.startswith("first replace the 0.78% of the pixels that are NaN")


@pytest.mark.parametrize("image", [np.zeros((64, 64)), np.full((3, 40, 40), np.nan)])
def test_nothing_to_measure_is_said(image: np.ndarray):
    found = diagnose(image)
    assert (found.assumption, found.advice, found.noise, found.snr()) == (
        "in doubt",
        "nothing",
        None,
        None,
    )
    assert "empty" in found.summary()
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["noise"] is None


def test_the_summary_has_a_line_for_each_question(cells: samples.Sample):
    lines = diagnose(cells.noisy).summary().splitlines()
    names = [line.split(":")[0] for line in lines]
    assert names == ["Image", "Correlation", "Noise", "Noise2Self", "Advice"]
    assert all(line.endswith(".") for line in lines)


def test_the_dict_is_plain_json():
    movie = samples.timelapse(frames=4, size=96).noisy
    text = json.dumps(diagnose(movie).to_dict(), allow_nan=False)
    values = json.loads(text)
    assert values["axes"] == "TYX"
    assert values["correlation"]["samples"][0][0]["axis"] == "T"
    assert values["faults"]["hot_stay"] == [None]  # no hot pixels: not a number


# Figure.


@pytest.mark.parametrize("shape", [(96, 96), (4, 64, 80), (2, 5, 64, 64)])
def test_the_figure_shows_every_panel_and_the_words(shape: tuple[int, ...], tmp_path):
    axes = {2: "YX", 3: "TYX", 4: "CZYX"}[len(shape)]
    image = np.random.default_rng(7).poisson(blobs(shape)).astype(np.uint16)
    found = diagnose(image, axes)
    figure = draw_diagnosis(found, image)
    titles = [panel.get_title(loc="left") for panel in figure.axes]
    assert [title[0] for title in titles] == list("abcdef"[: len(titles)])
    assert len(titles) == (6 if "T" in axes else 5)
    assert "Noise2Self:" in figure.texts[0].get_text()
    assert len(draw_diagnosis(found).axes) == len(titles) - 1
    figure.savefig(tmp_path / "diagnosis.pdf")
    figure.savefig(tmp_path / "diagnosis.png", dpi=60)
    assert (tmp_path / "diagnosis.png").stat().st_size > 10_000


def test_the_figure_of_nothing():
    assert len(draw_diagnosis(diagnose(np.zeros((40, 40)))).axes) == 3


# Inspection of a result.


def test_the_truth_leaves_nothing_but_noise(cells: samples.Sample):
    found = inspect_result(cells.noisy, cells.truth.data)
    assert found.remarks() == []
    (channel,) = found.channels
    assert channel.removed == pytest.approx(1, abs=0.1)
    assert channel.structure_lost == pytest.approx(1, abs=0.1)
    for ratio in (channel.total, channel.objects, channel.background):
        assert ratio == pytest.approx(1, abs=0.005)
    assert found.psnr is None


def test_a_result_that_keeps_some_noise_is_not_blamed(cells: samples.Sample):
    mixed = 0.7 * cells.truth.data + 0.3 * cells.noisy.data
    found = inspect_result(cells.noisy, mixed)
    assert found.remarks() == []
    assert found.channels[0].removed == pytest.approx(0.49, abs=0.06)


def test_a_result_from_which_nothing_was_taken_is_no_success(cells: samples.Sample):
    found = inspect_result(cells.noisy, cells.noisy)
    assert any("hardly anything was taken away" in remark for remark in found.remarks())


def test_smoothing_loses_structure_more_and_more():
    sample = samples.cells(size=256)
    lost = []
    for sigma in (1, 2, 4):
        blurred = gaussian_filter(sample.noisy.data.astype(float), sigma)
        found = inspect_result(sample.noisy, blurred)
        lost.append(found.channels[0].structure_lost)
    assert 1.1 < lost[0] < lost[1] < lost[2]
    assert any("structure went with the noise" in remark for remark in found.remarks())
    assert any("too dark" in remark for remark in found.remarks())


@pytest.mark.parametrize("edge", [64, 128])
def test_chance_is_no_finding(edge: int):
    found = []
    for seed in range(8):
        noisy = np.random.default_rng(seed).normal(100, 5, (edge, edge))
        inspection = inspect_result(noisy, np.full((edge, edge), 100.0))
        assert inspection.remarks() == []
        found.append(inspection.channels[0])
    for name in ("structure_lost", "removed"):
        ratios = [getattr(channel, name) for channel in found]
        errors = [getattr(channel, f"{name}_error") for channel in found]
        assert 0.5 < np.std(ratios) / np.mean(errors) < 2, name


@pytest.mark.parametrize("edge", [48, 64, 128])
def test_structure_that_is_lost_is_found_in_small_images_too(edge: int):
    y, x = np.mgrid[:edge, :edge]
    for seed in range(8):
        noise = np.random.default_rng(seed).normal(0, 5, (edge, edge))
        noisy = 100 + 40 * np.sin(y / 7) * np.cos(x / 9) + noise
        remarks = inspect_result(noisy, np.full((edge, edge), 100.0)).remarks()
        assert any("structure went with the noise" in remark for remark in remarks)


@pytest.mark.parametrize("sigma", [0.5, 0.7, 1.0])
def test_shared_noise_is_no_structure(sigma: float):
    """Its level is known too roughly to say that more went than noise."""
    for seed in range(3):
        noise = gaussian_filter(np.random.default_rng(seed).normal(size=(160, 160)), sigma)
        clean = blobs((160, 160), seed)
        assert inspect_result(clean + 5 * noise / noise.std(), clean).remarks() == []


@pytest.mark.parametrize(("shared", "width"), [(0.0, 1), (1.0, 9)])
def test_the_error_of_a_bias_knows_what_pixels_share(shared: float, width: int):
    off = []
    for seed in range(20):
        noise = np.random.default_rng(seed).normal(0, 5, (160, 160))
        noisy = 100 + gaussian_filter(noise, shared)
        channel = inspect_channel([noisy], [np.full_like(noisy, 100.0)], None, 0, width)
        off.append(np.divide(channel.bias, channel.bias_error))
    assert 0.8 < np.std(off) < 1.25


def test_bias_of_bright_pixels_is_named():
    rng = np.random.default_rng(8)
    clean = blobs((256, 256))
    noisy = rng.normal(clean, 10)
    dull = np.where(clean > 150, clean - 12, clean)
    found = inspect_result(noisy, dull)
    worst = found.channels[0].worst_bias
    assert worst == len(found.channels[0].signal) - 1
    assert any("too dark" in remark for remark in found.remarks())
    assert found.channels[0].objects < found.channels[0].background


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3])
def test_leaks_between_channels_are_measured(share: float):
    rng = np.random.default_rng(9)
    clean = np.stack([samples.cells(size=256, seed=s).truth.data for s in (1, 5)]).astype(float)
    denoised = clean.copy()
    denoised[0] += share * (clean[1] - clean[1].mean())
    found = inspect_result(rng.poisson(clean), denoised, "CYX")
    assert found.leakage[0][1] == pytest.approx(share, abs=0.03)
    assert found.leakage[1][0] == pytest.approx(0, abs=0.03)
    assert any("structure of channel 1" in r for r in found.remarks()) == (share > 0.05)


def test_psnr_leaves_out_what_is_not_finite():
    """Frames that a quick look did not denoise, or pixels that were bad from the start."""
    rng = np.random.default_rng(10)
    noisy = rng.normal(blobs((2, 128, 128)), 20)
    strict = blobs() + gaussian_filter(rng.normal(0, 60, noisy.shape), (0, 2, 2))
    whole = inspect_result(noisy, strict, axes="TYX", strict=strict)
    partly = strict.copy()
    partly[1, 64:] = np.nan
    noisy[0, 3, 3] = np.inf
    found = inspect_result(noisy, strict, axes="TYX", strict=partly)
    assert found.psnr == pytest.approx(whole.psnr, abs=1)
    nothing = inspect_result(noisy, strict, axes="TYX", strict=np.full_like(strict, np.nan))
    assert (nothing.psnr, "holds no finite pixel" in nothing.psnr_sentence) == (None, True)
    flat = inspect_result(noisy, strict, axes="TYX", strict=np.full_like(strict, 100.0))
    assert (flat.psnr, "is constant" in flat.psnr_sentence) == (None, True)


def test_psnr_is_a_range_only_where_it_can_be_trusted():
    rng = np.random.default_rng(10)
    clean = blobs((256, 256))
    noisy = rng.normal(clean, 20)
    strict = clean + gaussian_filter(rng.normal(0, 60, clean.shape), 2)  # an independent error
    truth = 10 * math.log10(np.ptp(strict) ** 2 / np.mean((strict - clean) ** 2))
    found = inspect_result(noisy, strict, strict=strict)
    assert found.psnr is not None
    assert found.psnr[0] <= truth <= found.psnr[1]
    assert f"{found.psnr[0]:.1f}" in found.psnr_sentence
    smooth = clean + 20 * gaussian_filter(rng.normal(size=clean.shape), 0.8) / 0.35
    assert inspect_result(smooth, strict, strict=strict).psnr is None
    cut = noisy.clip(None, np.quantile(noisy, 0.98))
    assert "cut off" in inspect_result(cut, strict, strict=strict).psnr_sentence


def test_results_of_any_shape_and_with_nan():
    rng = np.random.default_rng(11)
    clean = blobs((3, 2, 48, 64))
    noisy = rng.normal(clean, 5)
    noisy[0, 0, :5] = np.nan
    found = inspect_result(noisy, clean, "ZCYX")
    assert len(found.channels) == 2
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["remarks"] == found.remarks()
    with pytest.raises(ImageError, match="another image"):
        inspect_result(noisy, clean[:2], "ZCYX")


# Disagreement.


def test_partitions_disagree_where_the_network_is_unsure():
    sample = samples.cells(size=64)
    config = api.TrainingConfig(steps=2, width=4, depth=1, stride=2)
    denoiser = api.Denoiser.for_image(sample.noisy, config=config)
    for _ in api.train(denoiser, sample.noisy, config):
        pass
    before = denoiser.method
    events = list(disagreement_iter(denoiser, sample.noisy, partitions=2))
    assert denoiser.method is before
    shares = [e.step / e.steps for e in events]
    assert shares == sorted(shares)
    assert (shares[-1], len({e.steps for e in events})) == (1, 1)
    spread = events[-1].result
    assert spread.shape == (64, 64)
    assert spread.dtype == np.float32
    first = denoiser.predict(sample.noisy, output="j-invariant")
    denoiser.method = replace(before, grid=replace(before.grid, stride=(3, 3)))
    second = denoiser.predict(sample.noisy, output="j-invariant")
    np.testing.assert_allclose(spread, np.std([first, second], axis=0, ddof=1), 1e-3, 1e-5)
    with pytest.raises(ConfigError, match="2 to 8"):
        next(disagreement_iter(denoiser, sample.noisy, partitions=1))


def test_a_diagnosis_is_frozen():
    found = diagnose(np.random.default_rng(12).normal(size=(40, 40)))
    assert isinstance(found, Diagnosis)
    with pytest.raises(AttributeError):
        found.advice = "nothing"  # type: ignore[misc]


def test_an_inspection_tells_how_far_it_is_and_can_be_stopped() -> None:
    noisy = np.random.default_rng(0).normal(100, 5, (2, 6, 64, 64))
    result = np.full_like(noisy, 100.0)
    events = list(inspect_result_iter(noisy, result, "CTYX"))
    assert [event.step for event in events] == list(range(1, events[0].steps + 1))
    assert events[0].steps == 1 + 6 + 2, "the noise, the planes, the channels"
    assert events[-1].result == inspect_result(noisy, result, "CTYX")
    assert all(event.result is None for event in events[:-1])
    started = inspect_result_iter(noisy, result, "CTYX")
    assert next(started).stage == "inspect"
    started.close()
    assert next(started, None) is None
    with pytest.raises(ImageError, match="expected the same"):
        inspect_result_iter(noisy, result[:1], "CTYX")


@pytest.mark.parametrize("axes", ["TYX", "CYX", "TCYX", "ZYX"])
def test_a_disagreement_is_written_sample_by_sample(
    axes: str, random_denoiser: Callable[..., api.Denoiser], noise: Callable[..., np.ndarray]
):
    sizes = {"T": 3, "C": 2, "Z": 4, "Y": 36, "X": 40}
    image = noise(*(sizes[a] for a in axes))
    denoiser = random_denoiser(axes, channels=2 if "C" in axes else 1, stride=None)
    out = np.full(image.shape, np.nan, np.float64)
    assert api.disagreement(denoiser, image, axes, partitions=2, out=out) is out
    whole = denoiser.method
    expected = []
    for more in (0, 1):
        strides = tuple(n + more for n in whole.grid.stride)
        denoiser.method = replace(whole, grid=replace(whole.grid, stride=strides))
        expected.append(denoiser.predict(image, axes=axes, output="j-invariant"))
    np.testing.assert_allclose(out, np.std(expected, axis=0, ddof=1), 1e-3, 1e-4)


def test_a_notice_of_a_disagreement_is_given_once(
    random_denoiser: Callable[..., api.Denoiser], noise: Callable[..., np.ndarray]
):
    events = list(disagreement_iter(random_denoiser("TYX"), 50 * noise(3, 32, 32), partitions=2))
    assert ["trained on" in e.notice for e in events if e.notice] == [True]
