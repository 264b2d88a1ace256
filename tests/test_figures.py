"""The comparison figure: its measure, its contrast, its refusal of what cannot be drawn."""

from __future__ import annotations

import math
from io import BytesIO

import numpy as np
import pytest
from matplotlib.image import imread
from skimage.metrics import peak_signal_noise_ratio

from napari_noise2self.core.errors import ImageError
from napari_noise2self.figures import comparison, psnr
from napari_noise2self.samples import cells


def test_psnr_is_the_usual_one_at_the_range_of_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(100, 160, (20, 30))
    noisy = truth + rng.normal(0, 4, truth.shape)
    expected = peak_signal_noise_ratio(truth, noisy, data_range=np.ptp(truth))
    assert psnr(truth, noisy) == pytest.approx(expected)


def test_psnr_of_integers_does_not_wrap() -> None:
    truth = np.array([[0, 200]], np.uint8)
    assert psnr(truth, np.array([[1, 199]], np.uint8)) == pytest.approx(20 * math.log10(200))


def test_psnr_of_the_truth_is_infinite() -> None:
    assert psnr(np.eye(3), np.eye(3)) == math.inf


def test_psnr_refuses_other_shapes() -> None:
    with pytest.raises(ImageError, match="crop one"):
        psnr(np.ones((4, 4)), np.ones((4, 1)))


def test_three_images_twice_at_one_contrast() -> None:
    sample = cells(size=96)
    noisy, truth = sample.noisy.data, sample.truth.data
    figure = comparison(noisy, 0.5 * (noisy + truth), truth, pixel_size=0.25)
    assert len(figure.axes) == 6
    limits = {axes.images[0].get_clim() for axes in figure.axes}
    assert len(limits) == 1
    whole, enlarged = figure.axes[4].images[0], figure.axes[5].images[0]
    np.testing.assert_array_equal(whole.get_array(), truth)
    assert np.shape(enlarged.get_array()) == (24, 24)
    words = " ".join(text.get_text() for text in figure.findobj() if hasattr(text, "get_text"))
    assert f"{psnr(truth, noisy):.1f} dB" in words
    assert "5 µm" in words


def test_an_image_pixel_is_a_whole_number_of_figure_pixels() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2, (150, 200)) * 255.0  # a checkerboard's worth of sharp pixels
    file = BytesIO()
    comparison(image, image, image).savefig(file, dpi="figure")
    file.seek(0)
    grey = imread(file)[..., 0]
    top, left = 84, 28
    panel = grey[top : top + 450, left : left + 600]
    assert set(np.unique(panel[:100, :100])) == {0.0, 1.0}
    np.testing.assert_array_equal(panel[1:100:3, 1:100:3] * 255, image[:33, :33])


def test_no_scale_bar_without_a_pixel_size() -> None:
    image = cells(size=96).truth.data
    figure = comparison(image, image, image)
    assert not any(axes.texts for axes in figure.axes)


def test_refuses_a_stack() -> None:
    stack = np.zeros((3, 40, 40))
    with pytest.raises(ImageError, match=r"image\[0\]"):
        comparison(stack, stack, stack)


def test_a_constant_truth_has_no_range() -> None:
    with pytest.raises(ImageError, match="no range"):
        psnr(np.ones((4, 4)), np.zeros((4, 4)))
