"""Classical denoisers: strictly J-invariant, tuned by the noisy image, in bounded memory."""

from __future__ import annotations

import importlib.util
import math
from functools import partial
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.restoration import calibrate_denoiser, denoise_tv_chambolle

from napari_noise2self.core import blocks
from napari_noise2self.core.axes import Image
from napari_noise2self.core.calibrated import Trial
from napari_noise2self.core.calibration import calibrate, calibrate_iter
from napari_noise2self.core.classical import FAMILIES, neighbourhood
from napari_noise2self.core.config import Output
from napari_noise2self.core.errors import ConfigError, ImageError, ModelMismatchError
from napari_noise2self.core.invariance import hide, offsets, targets

with_bm3d = pytest.mark.skipif(importlib.util.find_spec("bm3d") is None, reason="needs bm3d")
QUICK = ["median", "gaussian", "nlm", "wavelet", "tv"]


def scene(shape: tuple[int, ...], seed: int = 0, blur: float = 3.0) -> np.ndarray:
    """Smooth random structure of unit variance."""
    clean = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), blur)
    return clean / clean.std()


def noisy_scene(shape: tuple[int, ...], sigma: float = 1.0, seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed + 1).normal(size=shape)
    return (scene(shape, seed) + sigma * noise).astype(np.float32)


# --- J-invariance -------------------------------------------------------------


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("footprint", [(1, 1), (3, 5), (1, 9), (1, 3, 1)])
def test_strict_output_ignores_the_hole_around_each_pixel(name, footprint) -> None:
    shape = (20, 22) if len(footprint) == 2 else (4, 9, 10)
    x = noisy_scene(shape)
    family = FAMILIES[name]
    value = family.values[len(shape)][2]
    before = family.strict(x, value, footprint)
    rng = np.random.default_rng(3)
    corners = [(0,) * len(shape), tuple(n - 1 for n in shape), tuple(n // 2 for n in shape)]
    for pixel in [*corners, (1,) * len(shape), (0, *(n - 2 for n in shape[1:]))]:
        changed = x.copy()
        hole = tuple(
            slice(max(0, p - w // 2), p + w // 2 + 1) for p, w in zip(pixel, footprint, strict=True)
        )
        changed[hole] = rng.normal(scale=50, size=changed[hole].shape)
        assert family.strict(changed, value, footprint)[pixel] == before[pixel]


@given(
    st.lists(st.sampled_from([1, 3, 5]), min_size=2, max_size=3).map(tuple),
    st.integers(0, 10**6),
)
@settings(max_examples=30, deadline=None)
def test_fill_sees_no_hidden_pixel_and_keeps_the_visible_ones(footprint, pick) -> None:
    shape = (13, 11, 12)[: len(footprint)]
    every = list(offsets(footprint))
    offset = every[pick % len(every)]
    x = np.random.default_rng(0).normal(size=shape)
    probe = np.zeros(shape, dtype=bool)
    probe[targets(footprint, offset)] = True
    hidden = ndimage.binary_dilation(probe, np.ones(footprint))
    for rng in (None, 5):
        generator = [None if rng is None else np.random.default_rng(rng) for _ in range(2)]
        first = hide(x, footprint, offset, generator[0])
        second = hide(np.where(hidden, 1e6, x), footprint, offset, generator[1])
        np.testing.assert_array_equal(first, second)
        visible = ~hidden
        # Pixels of holes whose target lies outside the image may be hidden, too.
        assert (first[visible] == x[visible]).mean() > 0.5
        assert np.isin(first, x).all() or rng is None


def test_every_pixel_is_a_target_once() -> None:
    count = np.zeros((11, 17), dtype=int)
    for offset in offsets((3, 1)):
        count[targets((3, 1), offset)] += 1
    assert (count == 1).all()


def test_neighbourhood_is_the_disk_without_its_centre() -> None:
    disk = neighbourhood(3, (1, 1))
    y, x = np.mgrid[-3:4, -3:4]
    expected = y**2 + x**2 <= 9
    expected[3, 3] = False
    np.testing.assert_array_equal(disk, expected)


def test_neighbourhood_surrounds_a_wide_hole() -> None:
    ring = neighbourhood(1, (1, 5))
    assert ring.shape == (3, 7)
    assert not ring[1, 1:6].any()
    assert ring.sum() == 5 + 5 + 2


def test_donut_median_counts_only_pixels_inside_the_image() -> None:
    x = np.arange(9.0).reshape(3, 3)
    found = FAMILIES["median"].filter(x, 1, (1, 1))
    assert found[0, 0] == np.median([1, 3])
    assert found[1, 1] == np.median([1, 3, 5, 7])
    assert found[2, 1] == np.median([4, 6, 8])


# --- calibration --------------------------------------------------------------


@pytest.mark.parametrize("name", QUICK)
@pytest.mark.parametrize("shape", [(96, 96), (5, 33, 34)])
def test_calibrated_denoiser_removes_noise(name, shape) -> None:
    clean = scene(shape)
    noisy = noisy_scene(shape)
    axes = "YX" if len(shape) == 2 else "ZYX"
    found = calibrate(noisy, name, axes=axes, footprint=(1,) * len(shape))
    assert found.loss == min(trial.loss for trial in found.trials)
    denoised = found.predict(noisy)
    assert denoised.dtype == np.float32
    assert denoised.shape == shape
    assert np.mean((denoised - clean) ** 2) < 0.2  # the noise has variance 1


@with_bm3d
def test_bm3d_parameter_holds_for_the_ordinary_filter() -> None:
    """Its hidden pixels are filled with noisy ones, so the strength is that of the noise."""
    clean, noisy = scene((40, 40)), noisy_scene((40, 40))
    found = calibrate(noisy, "bm3d", footprint=(1, 1), values=(0.3, 0.6, 1.2))
    assert found.parameters == {"strength": 1.2}
    assert np.mean((found.predict(noisy) - clean) ** 2) < 0.15


def test_events_carry_trials_and_the_best_of_them_so_far() -> None:
    first, *events = calibrate_iter(noisy_scene((64, 64)), "gaussian", footprint=(1, 1))
    assert first.stage == "analyse"
    assert [e.step for e in events] == list(range(1, len(events) + 1))
    assert all(e.stage == "calibrate" and e.baseline_loss == 1.0 for e in events)
    assert all((e.result is None) == (e.trial is None) for e in events)
    for number, event in enumerate((e for e in events if e.trial), 1):
        assert len(event.result.trials) == number
        assert event.result.loss == min(t.loss for t in event.result.trials)
    assert events[-1].step == events[-1].steps
    result = events[-1].result
    trials = [e.trial for e in events if e.trial]
    assert sorted(trials, key=lambda t: t.parameters["sigma"]) == list(result.trials)
    assert min(trials, key=lambda t: t.loss).parameters == result.parameters


def test_calibration_can_be_stopped_between_windows() -> None:
    events = calibrate_iter(noisy_scene((256, 256)), "tv", footprint=(1, 1))
    analysed, first = next(events), next(events)
    assert analysed.stage == "analyse"
    assert first.trial is None
    assert first.step == 1
    assert first.steps >= 4 * len(FAMILIES["tv"].values[2])
    events.close()


def test_refinement_looks_on_both_sides_of_the_minimum() -> None:
    found = calibrate(noisy_scene((96, 96)), "gaussian", footprint=(1, 1))
    tried = [trial.parameters["sigma"] for trial in found.trials]
    assert tried == sorted(tried)
    assert len(tried) == len(FAMILIES["gaussian"].values[2]) + 4
    best = tried.index(found.parameters["sigma"])
    assert tried[best + 1] / tried[best] < 1.3


@pytest.mark.parametrize("name", ["median", "nlm", "wavelet"])
def test_units_do_not_matter(name) -> None:
    x = noisy_scene((48, 48))
    # Powers of two: the same numbers but for their exponents.
    one, other = (calibrate(i, name, footprint=(1, 1)) for i in (x, 64 * x))
    assert one.parameters == other.parameters
    assert other.loss == pytest.approx(one.loss, rel=1e-5)
    np.testing.assert_allclose(other.predict(64 * x), 64 * one.predict(x), rtol=1e-4, atol=1e-3)


def test_footprint_comes_from_the_noise() -> None:
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.normal(size=(256, 256)), 1.0)
    clean = scene((256, 256), blur=8)
    noisy = clean + noise / noise.std()
    events = list(calibrate_iter(noisy, "gaussian"))
    found = events[-1].result
    assert events[0].stage == "analyse"
    assert "correlated" in events[0].notice
    assert min(found.footprint) >= 3
    assert found.keep == (0.0,)  # the level of such noise is uncertain: nothing is mixed in
    blind = calibrate(noisy, "gaussian", footprint=(1, 1))
    errors = [np.mean((c.predict(noisy) - clean) ** 2) for c in (found, blind)]
    assert errors[0] < 0.5 * errors[1]


def test_total_variation_agrees_with_scikit_image() -> None:
    """The same optimum as scikit-image's own calibration, where that applies."""
    x = noisy_scene((96, 96), sigma=0.7)
    ours = calibrate(x, "tv", footprint=(1, 1), values=np.geomspace(0.2, 3, 8).tolist())
    weights = [t.parameters["strength"] * ours.scale[0] for t in ours.trials]
    _, (_, losses) = calibrate_denoiser(
        x.astype(float),
        partial(denoise_tv_chambolle, eps=1e-6),
        {"weight": weights},
        extra_output=True,
    )
    best = [t.parameters for t in ours.trials].index(ours.parameters)
    assert abs(int(np.argmin(losses)) - best) <= 1


def test_losses_of_families_compare() -> None:
    """Scored on different pixels, they still tell the true errors apart."""
    clean, noisy = scene((160, 160)), noisy_scene((160, 160))
    for name in QUICK:
        found = calibrate(noisy, name, footprint=(1, 1))
        true = np.mean((found.predict(noisy, output="j-invariant") - clean) ** 2)
        estimated = found.loss * found.scale[0] ** 2 - np.var(noisy - clean)
        assert estimated == pytest.approx(true, abs=0.015), name


def test_minimum_at_an_end_is_named() -> None:
    flat = np.random.default_rng(0).normal(size=(64, 64))
    *_, last = calibrate_iter(flat, "median", footprint=(1, 1), values=(1, 2, 3))
    assert "largest radius tried, 3" in last.notice


@pytest.mark.parametrize("name", QUICK)
def test_the_pixel_itself_is_mixed_back_in(name) -> None:
    """Little noise, much structure: leaving the pixel's own value out costs more than its noise."""
    clean = scene((96, 96), blur=1.5)
    noisy = (clean + 0.2 * np.random.default_rng(9).normal(size=clean.shape)).astype(np.float32)
    found = calibrate(noisy, name, footprint=(1, 1))
    assert found.noise == pytest.approx((0.04,), rel=0.3)
    errors = {o: np.mean((found.predict(noisy, output=o) - clean) ** 2) for o in get_args(Output)}
    assert errors["best"] < 0.8 * errors["j-invariant"]
    assert errors["best"] < 0.04


def test_preview_at_any_point_of_the_curve() -> None:
    x = noisy_scene((48, 48))
    found = calibrate(x, "median", footprint=(1, 1), values=(1, 4))
    other = found.at(found.trials[0])
    assert other.parameters == {"radius": 1}
    assert other.losses == found.trials[0].losses
    assert other.predict(x).std() > found.at(found.trials[1]).predict(x).std()


# --- many axes, large images --------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "shape"),
    [
        ("TYX", (2, 40, 36)),
        ("CYX", (2, 40, 36)),
        ("YXC", (40, 36, 3)),
        ("TZCYX", (2, 4, 2, 33, 34)),
    ],
)
def test_samples_and_channels_are_filtered_one_by_one(axes, shape) -> None:
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = calibrate(Image(x, axes=axes), "gaussian", values=(1.0,), footprint=None)
    denoised = found.predict(x, output="j-invariant")
    assert denoised.shape == shape
    lead = [i for i, a in enumerate(axes) if a in "TC"]
    first = tuple(0 if i in lead else slice(None) for i in range(len(axes)))
    spatial = "ZYX" if "Z" in axes else "YX"
    alone = calibrate(x[first], "gaussian", axes=spatial, values=(1.0,), footprint=found.footprint)
    expected = alone.predict(x[first], output="j-invariant")
    np.testing.assert_allclose(denoised[first], expected, rtol=1e-5, atol=1e-5)


def test_a_constant_channel_passes_through() -> None:
    x = np.stack([noisy_scene((40, 40)), np.full((40, 40), 7, dtype=np.float32)])
    found = calibrate(x, "median", axes="CYX")
    np.testing.assert_array_equal(found.predict(x)[1], 7)
    alone = calibrate(x[:1], "median", axes="CYX")
    assert found.noise is not None
    assert alone.noise is not None
    assert found.noise[0] == pytest.approx(alone.noise[0], rel=0.05), "it hinders no other"


@pytest.mark.parametrize("name", ["median", "gaussian", "nlm"])
@pytest.mark.parametrize("output", ["best", "j-invariant"])
def test_blocks_equal_the_whole(name, output, monkeypatch) -> None:
    x = noisy_scene((70, 66))
    found = calibrate(x, name, footprint=(1, 3), values=FAMILIES[name].values[2][1:2])
    whole = found.predict(x, output=output)
    monkeypatch.setitem(blocks._BLOCK, 2, (24, 33))
    events = list(found.predict_iter(x, output=output))
    assert [e.step for e in events] == list(range(1, len(events) + 1))
    assert len(events) == 6 * FAMILIES[name].passes((1, 3), strict=output == "j-invariant")
    assert events[-1].step == events[-1].steps
    np.testing.assert_allclose(events[-1].result, whole, rtol=1e-5, atol=1e-5)


class Lazy:
    """A large array that is computed where it is read, and keeps count."""

    shape, dtype, read = (50, 2000, 2000), np.dtype("uint16"), 0

    def __getitem__(self, index) -> np.ndarray:
        t, y, x = index
        rng = np.random.default_rng(t)
        part = rng.poisson(20, size=(y.stop - y.start, x.stop - x.start)).astype(self.dtype)
        self.read += part.size
        return part


def test_a_large_stack_is_looked_at_in_part() -> None:
    stack = Lazy()
    calibrate(stack, "median", values=(1,), footprint=(1, 1))
    assert stack.read < 0.05 * math.prod(stack.shape)


def test_same_seed_same_windows() -> None:
    losses = [
        calibrate(Lazy(), "median", values=(1,), footprint=(1, 1), seed=s).loss for s in (4, 4, 5)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_result_is_written_where_it_is_asked_to() -> None:
    x = noisy_scene((40, 40))
    out = np.zeros((40, 40), dtype=np.float64)
    found = calibrate(x, "median", footprint=(1, 1))
    assert found.predict(x, out=out) is out
    np.testing.assert_allclose(out, found.predict(x))


# --- errors -------------------------------------------------------------------


def test_unknown_family_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'box': expected one of median, gaussian, nlm"):
        calibrate_iter(noisy_scene((40, 40)), "box")


def test_missing_package_is_named(monkeypatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="pip install bm3d"):
        calibrate_iter(noisy_scene((40, 40)), "bm3d")


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((20, 64)), "20 x 64 pixels; at least 32 x 32"),
        (np.full((40, 40), 3.0), "constant, every value about 3"),
        (np.where(np.eye(40) > 0, np.nan, 1.0), "40 NaN or infinite values"),
    ],
)
def test_unusable_images_are_refused(image, message) -> None:
    with pytest.raises(ImageError, match=message):
        calibrate(image, "median", footprint=(1, 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"footprint": (2, 1)}, "one odd width for each of the axes YX"),
        ({"footprint": (1, 1, 1)}, "one odd width for each of the axes YX"),
        ({"footprint": (21, 1)}, "too wide"),
        ({"values": (0,)}, "above 0 for the radius"),
        ({"values": ()}, "above 0 for the radius"),
        ({"values": (1.5,)}, "whole number"),
    ],
)
def test_bad_parameters_are_refused_at_once(options, message) -> None:
    with pytest.raises(ConfigError, match=message):
        calibrate_iter(noisy_scene((40, 40)), "median", **options)


def test_another_kind_of_image_is_refused() -> None:
    found = calibrate(noisy_scene((40, 40)), "median", footprint=(1, 1))
    with pytest.raises(ModelMismatchError, match=r"1 channel\(s\) in 2-D, but the image has 3"):
        found.predict(np.zeros((40, 40, 3)))
    with pytest.raises(ConfigError, match="expected one of best, j-invariant"):
        found.predict(np.zeros((40, 40)), output="raw")
    with pytest.raises(ImageError, match="NaN"):
        found.predict(np.full((40, 40), math.nan))
    with pytest.raises(ImageError, match=r"out has shape \(40,\); expected the image's"):
        found.predict(np.zeros((40, 40)), out=np.zeros(40))
    with pytest.raises(ImageError, match=r"out has dtype uint8, in which .* wrap"):
        found.predict(np.zeros((40, 40)), out=np.zeros((40, 40), np.uint8))
    image = np.zeros((40, 40))
    with pytest.raises(ImageError, match="shares its memory with the image"):
        found.predict(image, out=image[::-1])


@pytest.mark.parametrize("output", get_args(Output))
@pytest.mark.parametrize("family", ["median", "gaussian", "tv"])
def test_an_image_inside_the_hole_is_refused(family: str, output: Output) -> None:
    """There is nothing to see around a pixel, which became NaN."""
    found = calibrate(noisy_scene((40, 40)), family, values=(1,), footprint=(7, 7))
    for shape in ((7, 7), (3, 6)):
        with pytest.raises(ImageError, match=rf"{shape[0]} x {shape[1]} pixels.*hole, 7 x 7"):
            found.predict(noisy_scene(shape), output=output)
    assert np.isfinite(found.predict(noisy_scene((3, 20)), output=output)).all()


@with_bm3d
def test_an_image_smaller_than_a_block_of_bm3d_is_refused() -> None:
    found = calibrate(noisy_scene((40, 40)), "bm3d", values=(1,), footprint=(1, 1))
    with pytest.raises(ImageError, match="bm3d needs at least 8 x 8 pixels"):
        found.predict(noisy_scene((7, 20)))


def test_trial_is_frozen() -> None:
    with pytest.raises(AttributeError):
        Trial({"radius": 1}, (0.5,)).losses = ()  # type: ignore[misc]


@pytest.mark.parametrize("family", ["nlm", "wavelet", "tv"])
@pytest.mark.parametrize("planes", [1, 2, 3])
def test_a_volume_of_few_planes_has_targets_in_them(family: str, planes: int) -> None:
    noisy = np.random.default_rng(0).poisson(50, (planes, 40, 40)).astype(np.float32)
    for seed in range(3):
        found = calibrate(noisy, family, axes="ZYX", values=(0.5, 1.0), seed=seed)
        assert all(np.isfinite(trial.loss) for trial in found.trials)
    assert np.isfinite(found.predict(noisy)).all()
