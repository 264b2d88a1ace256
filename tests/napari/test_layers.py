from __future__ import annotations

import dask.array as da
import numpy as np
import pytest
from napari.layers import Image, Shapes

from napari_noise2self._napari.layers import (
    APPEARANCE,
    array_of,
    detected_axes,
    pixels_for_display,
    region_of,
    result_name,
    source_of,
    understood,
)
from napari_noise2self.core.errors import AxesError, ImageError


@pytest.mark.parametrize(
    ("shape", "labels", "axes"),
    [
        ((64, 48), None, "YX"),
        ((5, 64, 48), None, "TYX"),
        ((5, 64, 48), ("z", "y", "x"), "ZYX"),
        ((5, 64, 48), ("Time", "Row", "Column"), "TYX"),
        ((5, 3, 64, 48), ("z", "channel", "y", "x"), "ZCYX"),
        ((5, 64, 48), ("z", "what", "x"), "TYX"),
    ],
)
def test_axes_come_from_the_labels_else_from_the_shape(
    shape: tuple[int, ...], labels: tuple[str, ...] | None, axes: str
) -> None:
    layer = Image(np.zeros(shape, np.uint16), axis_labels=labels, rgb=False)
    assert detected_axes(layer) == axes


def test_colour_is_a_channel() -> None:
    layer = Image(np.zeros((64, 48, 3), np.uint8))
    assert layer.rgb
    assert detected_axes(layer) == "YXC"
    assert understood(layer, "YXC") == "64 x 48, colour, 8-bit"


def test_the_sentence_tells_the_pixel_size() -> None:
    layer = Image(
        np.zeros((30, 2, 512, 512), np.uint16),
        scale=(1, 1, 0.65, 0.65),
        units=("s", "pixel", "um", "um"),
    )
    words = understood(layer, "TCYX")
    assert words == "512 x 512, 30 time points, 2 channels, 16-bit; 0.65 µm pixels"


def test_lazy_and_multiscale_layers_are_not_copied() -> None:
    lazy = da.zeros((4, 128, 128), chunks=(1, 64, 64))
    assert source_of(Image(lazy, contrast_limits=(0, 1))).image.data is lazy
    pyramid = [np.zeros((256, 256), np.float32), np.zeros((128, 128), np.float32)]
    layer = Image(pyramid, multiscale=True, contrast_limits=(0, 1))
    assert array_of(layer) is pyramid[0]
    assert "full resolution" in understood(layer, "YX")


def test_a_result_looks_and_lies_like_its_source() -> None:
    source_layer = Image(
        np.random.default_rng(0).random((3, 64, 48)),
        scale=(2, 0.5, 0.5),
        translate=(1, 2, 3),
        rotate=20,
        shear=(0.1, 0, 0),
        affine=np.diag([1, 2, 2, 1]),
        units=("s", "um", "um"),
        axis_labels=("t", "y", "x"),
        colormap="magma",
        contrast_limits=(0.2, 0.7),
        gamma=0.8,
        blending="additive",
    )
    source = source_of(source_layer)
    result = Image(source.image.data, **source.appearance)
    for name in APPEARANCE:
        mine, its = getattr(result, name), getattr(source_layer, name)
        if name == "affine":
            mine, its = mine.affine_matrix, its.affine_matrix
        if name in ("units", "axis_labels", "colormap", "blending"):
            assert mine == its, name
        else:
            np.testing.assert_allclose(mine, its, err_msg=name)


def test_wrong_axes_and_odd_pixels_are_refused() -> None:
    with pytest.raises(AxesError, match="add a letter"):
        source_of(Image(np.zeros((5, 64, 64))), "YX")
    with pytest.raises(ImageError, match="a mask cannot be denoised"):
        source_of(Image(np.zeros((64, 64), bool)))


def test_a_region_is_the_box_around_the_shapes_in_the_image() -> None:
    layer = Image(np.zeros((5, 100, 80)), scale=(1, 0.5, 0.5), translate=(0, 10, 0))
    shapes = Shapes([[[15, 5], [15, 20], [30, 20], [30, 5]]])
    region = region_of(shapes, layer, "TYX")
    assert region == (slice(0, 5), slice(10, 41), slice(10, 41))


def test_a_region_stays_within_the_image() -> None:
    layer = Image(np.zeros((100, 80)))
    shapes = Shapes([[[-50, 40], [-50, 200], [50, 200], [50, 40]]])
    assert region_of(shapes, layer, "YX") == (slice(0, 51), slice(40, 80))


@pytest.mark.parametrize(
    ("data", "mend"),
    [([], "draw a rectangle"), ([[[200, 200], [200, 210], [210, 210], [210, 200]]], "move them")],
)
def test_a_region_without_pixels_is_refused(data: list[object], mend: str) -> None:
    with pytest.raises(ImageError, match=mend):
        region_of(Shapes(data, ndim=2), Image(np.zeros((100, 80))), "YX")


def test_no_result_takes_the_name_of_another() -> None:
    taken: set[str] = set()
    for expected in ("a denoised", "a denoised 2", "a denoised 3"):
        taken.add(result_name("a", taken))
        assert expected in taken


@pytest.mark.parametrize("channels", [3, 4])
def test_colour_comes_back_in_its_own_type(channels: int) -> None:
    data = np.full((64, 64, channels), 200, np.uint8)
    source = source_of(Image(data))
    assert source.image.data.shape == (64, 64, 3)
    shown = pixels_for_display(np.full((64, 64, 3), 300.4, np.float32), source)
    assert shown.dtype == np.uint8
    assert shown.shape == data.shape
    assert (shown[..., :3] == 255).all()
    assert (shown[..., 3:] == 200).all()


def test_colour_in_floats_is_clipped_to_what_can_be_shown() -> None:
    source = source_of(Image(np.full((64, 64, 3), 0.5, np.float32)))
    shown = pixels_for_display(np.full((64, 64, 3), 1.5, np.float32), source)
    assert shown.max() == 1.0
