"""What one Denoise leaves in the viewer, and what is said about it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_noise2self._napari.jobs import Filled, Filling, LeftOut
from napari_noise2self._napari.layers import source_of, unscaled
from napari_noise2self._napari.outputs import Tally, in_memory
from napari_noise2self._napari.results import Results
from napari_noise2self._napari.worker import Ended
from napari_noise2self.core.axes import Stack

STOPPED = Ended(stopped=True)


@pytest.fixture
def viewer(stack: np.ndarray) -> ViewerModel:
    viewer = ViewerModel()
    viewer.add_image(stack, name="cells", axis_labels=("z", "y", "x"))
    viewer.add_image(stack, name="movie", axis_labels=("t", "y", "x"))
    viewer.add_image(stack[0], name="plane")
    return viewer


def results(viewer: ViewerModel, *names: str) -> Results:
    """Return the results of a Denoise of these layers."""
    sources = {key: source_of(viewer.layers[name]) for key, name in enumerate(names)}
    return Results(viewer, sources, {"output": "best"})


def begun(results: Results, key: int = 0, *, done: int = 0, planes: bool = True) -> Filling:
    """Return the event of an output of which `done` samples are finished."""
    image = results.sources[key].image
    stack = Stack.of(image, planes=planes)
    tally = Tally(in_memory(image), stack)
    target = replace(stack, data=tally)
    whole = tuple(slice(0, n) for n in stack.spatial)
    for sample in range(done):
        target.write(sample, whole, stack.read(sample))
    tally.kept = True
    return Filling(key, tally)


@pytest.mark.parametrize(("name", "what"), [("cells", "planes"), ("movie", "frames")])
def test_a_stop_keeps_what_is_finished(viewer: ViewerModel, name: str, what: str) -> None:
    found = results(viewer, name)
    found.take(begun(found, done=3))
    assert found.keeps == what
    words = found.summary(STOPPED)
    assert f'"{name} denoised" holds {what} 1 to 3 of 8' in words
    data = viewer.layers[f"{name} denoised"].data
    np.testing.assert_array_equal(data[:3], viewer.layers[name].data[:3])
    assert np.isnan(data[3:]).all()


def test_a_stop_that_comes_with_the_last_frame_misses_nothing(viewer: ViewerModel) -> None:
    found = results(viewer, "movie", "plane")
    found.take(begun(found, done=8))
    found.take(begun(found, 1, done=1))
    assert found.summary(STOPPED) == '"movie denoised" is ready. "plane denoised" is ready.'


def test_what_an_error_leaves_is_told_beside_it(viewer: ViewerModel, messages: list[str]) -> None:
    found = results(viewer, "cells", "movie")
    found.take(begun(found, done=2))
    found.take(LeftOut(0, "no space"))
    found.take(begun(found, 1))
    words = found.summary(Ended(stopped=False, error=OSError("disk")))
    assert words == (
        '"cells denoised" holds planes 1 to 2 of 8; the others are empty. '
        'The rest of "cells" was left out: no space.'
    )
    assert messages == [words]
    assert "movie denoised" not in viewer.layers


def test_nothing_is_promised_where_nothing_would_be_kept(viewer: ViewerModel) -> None:
    whole = results(viewer, "cells")
    whole.take(begun(whole, planes=False))
    assert whole.keeps == "", "a volume is finished as a whole"
    assert whole.summary(STOPPED) == "Stopped before cells was finished."
    assert results(viewer, "cells").keeps == ""
    assert len(viewer.layers) == 3


@pytest.mark.parametrize("selected", [(), ("plane",), ("cells", "plane")])
def test_the_selection_stays(viewer: ViewerModel, selected: tuple[str, ...]) -> None:
    viewer.layers.selection = [viewer.layers[name] for name in selected]
    active = viewer.layers.selection.active
    found = results(viewer, "plane")
    found.take(Filled(0, viewer.layers["plane"].data))
    assert {layer.name for layer in viewer.layers.selection} == set(selected)
    assert viewer.layers.selection.active is active


def test_of_several_layers_those_that_are_finished_are_kept(viewer: ViewerModel) -> None:
    both = results(viewer, "plane", "cells")
    both.take(begun(both))
    assert both.keeps == "layers"
    both.take(Filled(0, viewer.layers["plane"].data))
    both.take(begun(both, 1))
    assert both.keeps == "planes"
    assert both.summary(STOPPED) == (
        '"plane denoised" is ready. Stopped before a plane of cells was finished.'
    )


@pytest.fixture
def composite(stack: np.ndarray) -> ViewerModel:
    """Three channels as napari opens them: translucent, then additive."""
    viewer = ViewerModel()
    viewer.add_image(stack[:3], channel_axis=0, name=["red", "green", "blue"])
    return viewer


def shown(viewer: ViewerModel) -> list[str]:
    return [layer.name for layer in viewer.layers if layer.visible]


def test_a_denoised_channel_takes_the_place_of_its_source(composite: ViewerModel) -> None:
    found = results(composite, "green")
    found.take(Filled(0, composite.layers["green"].data))
    assert composite.layers["green denoised"].blending == "additive"
    assert shown(composite) == ["red", "green denoised", "blue"]
    words = found.summary(Ended(stopped=False))
    assert words.startswith('"green denoised" is ready. "green" is hidden')

    again = results(composite, "green")
    again.take(Filled(0, composite.layers["green"].data))
    assert shown(composite) == ["red", "green denoised 2", "blue"]


def test_the_lowest_channel_denoised_covers_none_of_the_others(composite: ViewerModel) -> None:
    for name in ("red denoised", "red denoised 2"):
        found = results(composite, "red")
        found.take(Filled(0, composite.layers["red"].data))
        assert name in shown(composite)
    assert shown(composite) == ["red", "red denoised", "red denoised 2", "green", "blue"]
    assert found.summary(Ended(stopped=False)) == '"red denoised 2" is ready.'


def test_a_disagreement_is_no_channel(composite: ViewerModel) -> None:
    sources = {0: unscaled(source_of(composite.layers["blue"]))}
    found = Results(composite, sources, {}, "disagreement")
    found.take(Filled(0, composite.layers["blue"].data))
    assert shown(composite) == ["red", "green", "blue", "blue disagreement"]
    assert composite.layers["blue disagreement"].blending != "additive"
