"""The commands of the layer menu on a viewer without a window."""

from __future__ import annotations

import dask.array as da
import numpy as np
from napari.components import ViewerModel

from napari_noise2self._napari.filling import fill_selected_layer


def test_gaps_are_filled_in_a_new_layer_that_lies_and_looks_the_same(
    viewer: ViewerModel, noisy: np.ndarray
) -> None:
    movie = np.stack([noisy, noisy + 1])
    movie[1, 3, 3] = np.nan
    source = viewer.add_image(movie, name="ratio", scale=(1, 0.5, 0.5), colormap="magma")
    fill_selected_layer(viewer)
    filled = viewer.layers["ratio filled"]
    assert isinstance(filled.data, da.Array), "a long stack makes nobody wait"
    kept = np.isfinite(movie)
    assert np.array_equal(np.asarray(filled.data)[kept], movie[kept])
    assert np.isfinite(np.asarray(filled.data)).all()
    assert np.isnan(movie[1, 3, 3]), "the source stays as it is"
    assert tuple(filled.scale) == tuple(source.scale)
    assert filled.colormap.name == "magma"


def test_a_second_filling_gets_a_number(viewer: ViewerModel, noisy: np.ndarray) -> None:
    layer = viewer.add_image(noisy, name="ratio")
    for _ in range(2):
        viewer.layers.selection.active = layer
        fill_selected_layer(viewer)
    assert "ratio filled 2" in viewer.layers


def test_colour_is_filled_within_each_colour(viewer: ViewerModel) -> None:
    colour = np.zeros((40, 40, 3), np.float32)
    colour[:] = 0.1, 0.2, 0.3
    colour[5, 5, 1] = np.inf
    viewer.add_image(colour, name="slide", rgb=True)
    fill_selected_layer(viewer)
    filled = viewer.layers["slide filled"]
    assert filled.rgb
    assert np.allclose(filled.data, [0.1, 0.2, 0.3])
