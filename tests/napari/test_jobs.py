from __future__ import annotations

from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr

from napari_noise2self import api
from napari_noise2self._napari import jobs
from napari_noise2self._napari.outputs import Tally
from napari_noise2self._napari.preview import Preview, Requests, Window
from napari_noise2self.core.axes import Image
from napari_noise2self.core.config import Progress, TrainingConfig
from napari_noise2self.core.errors import ImageError, ImageFileError, ModelMismatchError


def of_type(events: list[Any], kind: type) -> list[Any]:
    return [event for event in events if isinstance(event, kind)]


@pytest.fixture
def image(stack: np.ndarray) -> Image:
    return Image(stack, "TYX", name="stack")


@pytest.fixture
def denoiser(image: Image, tiny: TrainingConfig) -> Any:
    return of_type(list(jobs.training(image, tiny, Requests())), jobs.Made)[0].denoiser


def test_training_tells_the_device_makes_a_denoiser_and_previews(
    image: Image, tiny: TrainingConfig
) -> None:
    requests = Requests()
    window = Window(
        (slice(3, 4), slice(0, 64), slice(0, 64)), (slice(3, 4), slice(0, 9), slice(0, 9))
    )
    requests.put(window)
    events = list(jobs.training(image, tiny, requests))
    (made,) = of_type(events, jobs.Made)
    assert made.denoiser.trained
    assert "CPU" in of_type(events, jobs.Computing)[0].device
    (preview,) = of_type(events, Preview)
    assert preview.data.shape == (1, 9, 9)
    stages = [event.stage for event in of_type(events, Progress)]
    assert stages == sorted(stages), "analyse, then train"


def test_a_region_bounds_what_is_trained_on(image: Image, tiny: TrainingConfig) -> None:
    region = (slice(0, 8), slice(0, 40), slice(10, 64))
    events = list(jobs.training(image, tiny, Requests(), region=region))
    assert "40 x 54" in of_type(events, jobs.Made)[0].denoiser.record.image


def test_closed_and_continued_it_holds_the_best_weights(
    image: Image, tiny: TrainingConfig, endless: TrainingConfig
) -> None:
    events = jobs.training(image, endless, Requests())
    denoiser = None
    for event in events:
        denoiser = getattr(event, "denoiser", denoiser)
        if isinstance(event, Progress) and event.stage == "train" and event.step == 4:
            break
    events.close()
    assert denoiser.record.steps == 4
    more = list(jobs.training(image, tiny, Requests(), denoiser=denoiser))
    assert of_type(more, jobs.Made) == []
    assert denoiser.record.steps == tiny.steps


def test_denoising_fills_and_delivers(image: Image, denoiser: Any) -> None:
    events = list(jobs.denoising({7: image}, denoiser, output="best", folders={}))
    (filled,) = of_type(events, jobs.Filled)
    assert filled.key == 7
    np.testing.assert_array_equal(filled.data, denoiser.predict(image))
    last = of_type(events, Progress)[-1]
    assert last.step == last.steps


@pytest.mark.parametrize("axes", ["TYX", "ZYX"])
def test_what_is_finished_when_it_is_closed_is_known(
    stack: np.ndarray, denoiser: Any, axes: str
) -> None:
    image = Image(stack, axes)
    events = jobs.denoising({0: image}, denoiser, output="best", folders={})
    tally = None
    for event in events:
        tally = getattr(event, "tally", tally)
        if isinstance(event, Progress) and event.step > 0.6 * event.steps:
            break
    events.close()
    done = tally.finished()
    assert 0 < len(done) < tally.samples
    whole = denoiser.predict(image)
    np.testing.assert_array_equal(tally.data[done], whole[done])
    assert np.isnan(tally.data[-1]).all()


def test_several_images_make_one_progress_and_a_misfit_is_left_out(
    image: Image, denoiser: Any
) -> None:
    channels = Image(np.zeros((2, 64, 64), np.float32), "CYX", name="odd one")
    images = {0: image, 1: channels, 2: image}
    events = list(jobs.denoising(images, denoiser, output="best", folders={}))
    assert [event.key for event in of_type(events, jobs.Filled)] == [0, 2]
    (notice,) = [e.notice for e in of_type(events, Progress) if e.notice and "left out" in e.notice]
    assert "odd one" in notice
    parts = [event.step / event.steps for event in of_type(events, Progress)]
    assert parts == sorted(parts)
    assert parts[-1] == 1
    with pytest.raises(ModelMismatchError):
        list(jobs.denoising({1: channels}, denoiser, output="best", folders={}))


@pytest.mark.parametrize("stop_early", [False, True])
def test_a_large_result_goes_to_disk(
    image: Image, denoiser: Any, tmp_path: Path, stop_early: bool
) -> None:
    folder = tmp_path / "result.zarr"
    events = jobs.denoising({0: image}, denoiser, output="best", folders={0: folder})
    data = tally = None
    for event in events:
        data, tally = getattr(event, "data", data), getattr(event, "tally", tally)
        if stop_early and isinstance(event, Progress) and event.step > 0.6 * event.steps:
            break
    events.close()
    whole = denoiser.predict(image)
    done = tally.finished()
    assert len(done) < 8 if stop_early else len(done) == 8
    if not stop_early:
        np.testing.assert_array_equal(np.asarray(data), whole)
    np.testing.assert_array_equal(np.asarray(api.read_image(folder).data)[done], whole[done])


@pytest.mark.parametrize("how", ["stopped", "failed"])
def test_an_older_result_stays_where_nothing_of_the_new_one_is_finished(
    image: Image, denoiser: Any, tmp_path: Path, how: str
) -> None:
    folder = tmp_path / "result.zarr"
    api.write_image(folder, image.data, axes="TYX")
    noisy = image.data.copy()
    if how == "failed":
        noisy[0, 0, 0] = np.nan
    events = jobs.denoising({0: Image(noisy, "TYX")}, denoiser, output="best", folders={0: folder})
    (filling,) = of_type([next(events)], jobs.Filling)
    if how == "stopped":
        next(events)
        events.close()
    else:
        with pytest.raises(ImageError, match="NaN"):
            list(events)
    assert not filling.tally.kept
    assert [path.name for path in tmp_path.iterdir()] == ["result.zarr"]
    np.testing.assert_array_equal(api.read_image(folder).data, image.data)


def test_what_a_full_disk_leaves_is_kept(
    image: Image, denoiser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fills_up(tally: Tally, index: tuple[Any, ...], values: Any) -> None:
        if index[0] == 5:
            raise OSError(28, "No space left on device")
        write(tally, index, values)

    write = Tally.__setitem__
    monkeypatch.setattr(Tally, "__setitem__", fills_up)
    folder = tmp_path / "result.zarr"
    events = jobs.denoising({0: image}, denoiser, output="best", folders={0: folder})
    (filling,) = of_type([next(events)], jobs.Filling)
    with pytest.raises(ImageFileError, match=r"No space left on device.*make room"):
        list(events)
    assert filling.tally.kept
    assert filling.tally.finished() == [0, 1, 2, 3, 4]
    whole = denoiser.predict(image)
    np.testing.assert_array_equal(np.asarray(api.read_image(folder).data)[:5], whole[:5])


def test_a_saved_model_is_loaded_bit_for_bit(image: Image, denoiser: Any, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert of_type(list(jobs.saving(denoiser, path)), jobs.Saved)[0].path == path
    loaded = of_type(list(jobs.loading(path)), jobs.Made)[0].denoiser
    np.testing.assert_array_equal(loaded.predict(image), denoiser.predict(image))


def test_one_of_several_images_that_cannot_be_read_is_left_out(image: Image, denoiser: Any) -> None:
    def broken(_: Any) -> Any:
        raise OSError("the disk is gone")

    gone = da.from_array(image.data, chunks=(1, 64, 64)).map_blocks(broken, dtype=np.float32)
    images = {0: image, 1: Image(gone, "TYX", name="gone"), 2: image}
    events = list(jobs.denoising(images, denoiser, output="best", folders={}))
    assert [event.key for event in of_type(events, jobs.Filled)] == [0, 2]
    assert [event.key for event in of_type(events, jobs.LeftOut)] == [1]
    with pytest.raises(OSError, match="the disk is gone"):
        list(jobs.denoising({1: images[1]}, denoiser, output="best", folders={}))


def test_small_planes_on_disk_are_packed_once_for_each_chunk(
    image: Image, denoiser: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A chunk holds many small planes."""
    written: list[Any] = []
    write = zarr.Array.__setitem__

    def noting(array: Any, index: Any, values: Any) -> None:
        written.append(index)
        write(array, index, values)

    monkeypatch.setattr(zarr.Array, "__setitem__", noting)
    folders = {0: tmp_path / "result.zarr"}
    events = list(jobs.denoising({0: image}, denoiser, output="best", folders=folders))
    assert len(written) == 1, "all eight frames are one chunk"
    (filled,) = of_type(events, jobs.Filled)
    np.testing.assert_array_equal(np.asarray(filled.data), denoiser.predict(image))
