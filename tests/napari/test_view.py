from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel

from napari_noise2self._napari.preview import Window
from napari_noise2self._napari.view import LEAST_EDGE, moved_translate, window_shown


def shown(viewer: ViewerModel, axes: str, limit: int = 2**18) -> Window:
    window = window_shown(viewer.layers[0], viewer.dims, axes, limit)
    assert window is not None
    return window


def test_the_current_plane_is_shown() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((10, 100, 80)), scale=(2, 1, 1))
    viewer.dims.set_point(0, 8.0)
    assert shown(viewer, "TYX").show == (slice(4, 5), slice(0, 100), slice(0, 80))


def test_all_channels_are_read() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((3, 2, 100, 80)))
    viewer.dims.set_point(1, 1)
    assert shown(viewer, "TCYX").show[1] == slice(0, 2)


def test_zooming_in_shows_less() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((500, 400)))
    layer.corner_pixels = np.array([[100, 50], [299, 149]])
    assert shown(viewer, "YX").show == (slice(100, 300), slice(50, 150))


def test_a_pyramid_is_read_at_full_resolution() -> None:
    viewer = ViewerModel()
    pyramid = [np.zeros((512, 512)), np.zeros((256, 256)), np.zeros((128, 128))]
    layer = viewer.add_image(pyramid, multiscale=True, contrast_limits=(0, 1))
    layer._data_level = 2
    layer.corner_pixels = np.array([[0, 0], [63, 127]])
    assert shown(viewer, "YX").show == (slice(0, 256), slice(0, 512))


def test_three_dimensional_display_shows_the_middle_plane() -> None:
    viewer = ViewerModel(ndisplay=3)
    viewer.add_image(np.zeros((20, 100, 80)))
    assert shown(viewer, "ZYX").show[0] == slice(10, 11)


def test_beside_the_layer_there_is_nothing() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros((5, 100, 80)))
    viewer.add_image(np.zeros((50, 100, 80)))
    viewer.dims.set_point(0, 30)
    assert window_shown(layer, viewer.dims, "TYX", 2**18) is None


@settings(max_examples=25, deadline=None)
@given(
    size=st.tuples(st.integers(32, 3000), st.integers(32, 3000)),
    limit=st.integers(2**14, 2**18),
    z=st.booleans(),
)
def test_windows_are_small_enough_and_inside(size: tuple[int, int], limit: int, z: bool) -> None:
    viewer = ViewerModel()
    shape = (12, *size) if z else size
    viewer.add_image(np.broadcast_to(np.float32(0), shape), contrast_limits=(0, 1))
    window = shown(viewer, "ZYX" if z else "YX", limit)
    read = [part.stop - part.start for part in window.read]
    assert np.prod(read) <= max(limit, np.prod(read[:-2]) * LEAST_EDGE**2)
    for inner, part, n in zip(window.inner, window.read, shape, strict=True):
        assert 0 <= part.start < part.stop <= n
        assert 0 <= inner.start < inner.stop <= part.stop - part.start


@pytest.mark.parametrize("affine", [None, np.array([[0, -1, 5], [1, 0, 0], [0, 0, 1]])])
def test_a_window_lies_where_its_pixels_are(affine: np.ndarray | None) -> None:
    viewer = ViewerModel()
    options = {"scale": (0.5, 2), "rotate": 30, "shear": (0.2,), "translate": (3, 4)}
    if affine is not None:
        options["affine"] = affine
    layer = viewer.add_image(np.zeros((100, 80)), **options)
    part = (slice(20, 60), slice(10, 40))
    moved = moved_translate(layer, Window(part, part))
    piece = viewer.add_image(np.zeros((40, 30)), **{**options, "translate": moved})
    for y, x in ((0, 0), (7, 21)):
        np.testing.assert_allclose(
            piece.data_to_world((y, x)), layer.data_to_world((20 + y, 10 + x)), atol=1e-6
        )
