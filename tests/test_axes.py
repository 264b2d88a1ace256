"""Images seen as (N, C, *spatial): every order of axes, lazily, and errors that help."""

from __future__ import annotations

import logging
from typing import Any

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noise2self.core.axes import (
    SAMPLES,
    Image,
    Stack,
    check_axes,
    describe,
    guess_axes,
)
from napari_noise2self.core.errors import AxesError, ImageError, Noise2SelfError

DTYPES = ["uint8", "uint16", ">u2", "int16", ">i4", "float32", ">f4", "float64"]


@st.composite
def named_arrays(draw: st.DrawFn) -> tuple[NDArray[Any], str]:
    """An array of any dtype with its axes in any order."""
    extra = draw(st.sets(st.sampled_from("TSCZ"), max_size=3))
    axes = "".join(draw(st.permutations([*sorted(extra), "Y", "X"])))
    shape = [draw(st.integers(1, 4)) for _ in axes]
    values = np.arange(np.prod(shape)).reshape(shape)
    return values.astype(draw(st.sampled_from(DTYPES))), axes


def reference(array: NDArray[Any], axes: str) -> NDArray[np.float32]:
    """(N, C, *spatial), by moving whole axes."""
    order = [a for a in axes if a in SAMPLES] + [a for a in "CZYX" if a in axes]
    moved = array.transpose([axes.index(a) for a in order])
    samples = int(np.prod([n for n, a in zip(moved.shape, order, strict=True) if a in SAMPLES]))
    rest = [n for n, a in zip(moved.shape, order, strict=True) if a not in SAMPLES]
    channels = [] if "C" in axes else [1]
    return moved.reshape([samples, *channels, *rest]).astype(np.float32)


@settings(deadline=None)
@given(named_arrays())
def test_read_gives_channels_then_space(case: tuple[NDArray[Any], str]) -> None:
    array, axes = case
    stack = Stack.of(array, axes)
    expected = reference(array, axes)
    assert stack.shape == expected.shape
    assert stack.spatial_axes == ("ZYX" if "Z" in axes else "YX")
    for sample in range(stack.samples):
        read = stack.read(sample)
        assert read.dtype == np.float32  # and native, whatever the file's order of bytes
        assert read.flags.c_contiguous
        np.testing.assert_array_equal(read, expected[sample])


@settings(deadline=None)
@given(named_arrays(), st.data())
def test_a_window_is_a_part_of_the_sample(
    case: tuple[NDArray[Any], str], data: st.DataObject
) -> None:
    stack = Stack.of(*case)
    window = []
    for n in stack.spatial:
        start = data.draw(st.integers(0, n - 1))
        window.append(slice(start, data.draw(st.integers(start + 1, n))))
    sample = data.draw(st.integers(0, stack.samples - 1))
    np.testing.assert_array_equal(
        stack.read(sample, tuple(window)), stack.read(sample)[(slice(None), *window)]
    )


@settings(deadline=None)
@given(named_arrays(), st.integers(1, 40))
def test_what_is_read_by_windows_can_be_written_back(
    case: tuple[NDArray[Any], str], limit: int
) -> None:
    array, axes = case
    source = Stack.of(array, axes)
    copy = Stack.of(np.full(array.shape, -1, np.float32), axes)
    for sample, window in source.windows(limit):
        copy.write(sample, window, source.read(sample, window))
    np.testing.assert_array_equal(copy.data, array.astype(np.float32))


@settings(deadline=None)
@given(named_arrays(), st.integers(1, 40))
def test_windows_cover_each_pixel_once(case: tuple[NDArray[Any], str], limit: int) -> None:
    stack = Stack.of(*case)
    seen = np.zeros((stack.samples, *stack.spatial), int)
    for sample, window in stack.windows(limit):
        seen[sample][window] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("axes", ["TCYX", "CTYX", "TYXC"])
def test_a_dask_array_is_computed_where_it_is_read(axes: str) -> None:
    computed = []

    def plane(block_info: Any = None) -> NDArray[np.uint16]:
        place = block_info[None]["chunk-location"]
        computed.append(place)
        return np.full(block_info[None]["chunk-shape"], place[axes.index("T")], np.uint16)

    sizes = {"T": 5, "C": 2, "Y": 8, "X": 6}
    chunks = tuple((1,) * sizes[a] if a == "T" else (sizes[a],) for a in axes)
    lazy = da.map_blocks(plane, chunks=chunks, dtype=np.uint16, meta=np.empty(0, np.uint16))
    stack = Stack.of(lazy, axes)
    assert stack.shape == (5, 2, 8, 6)
    assert not computed
    assert (stack.read(3) == 3).all()
    assert {place[axes.index("T")] for place in computed} == {3}


def test_zarr_is_read_and_written_in_place(tmp_path: Any) -> None:
    values = np.arange(2 * 3 * 8 * 6, dtype=np.float32).reshape(2, 3, 8, 6)
    array = zarr.create_array(tmp_path / "z", shape=values.shape, chunks=(1, 1, 4, 6), dtype="f4")
    target = Stack.of(array, "CTYX")
    assert target.data is array
    for sample, window in target.windows(limit=24):
        part = values[(slice(None), sample, *window)]
        target.write(sample, window, part)
    np.testing.assert_array_equal(array[:], values)
    np.testing.assert_array_equal(target.read(1), values[:, 1])


def test_an_array_in_memory_is_not_copied() -> None:
    array = np.zeros((3, 8, 8), np.float32)
    assert np.shares_memory(Stack.of(array, "TYX").data, array)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((64, 64), "YX"),
        ((10, 64, 64), "TYX"),
        ((64, 64, 3), "YXC"),
        ((64, 64, 4), "YXC"),
        ((3, 64, 64), "TYX"),
        ((4, 4, 4), "TYX"),
        ((10, 2, 64, 64), "TCYX"),
        ((10, 64, 64, 3), "TYXC"),
        ((10, 2, 7, 64, 64), "TCZYX"),
        ((10, 7, 64, 64, 3), "TZYXC"),
    ],
)
def test_a_bare_shape_is_guessed(shape: tuple[int, ...], axes: str) -> None:
    assert guess_axes(shape) == axes


def test_colour_of_two_channels_must_be_known() -> None:
    assert guess_axes((64, 64, 2)) == "TYX"
    assert guess_axes((64, 64, 2), rgb=True) == "YXC"


@settings(deadline=None)
@given(st.lists(st.integers(1, 70), min_size=2, max_size=5), st.booleans())
def test_a_guess_always_fits(shape: list[int], rgb: bool) -> None:
    if rgb and len(shape) == 2:
        with pytest.raises(AxesError, match="expected 3 to 5"):
            guess_axes(tuple(shape), rgb=rgb)
        return
    axes = guess_axes(tuple(shape), rgb=rgb)
    assert check_axes(tuple(shape), axes) == axes


def test_axes_come_from_the_caller_then_the_image_then_the_shape(
    caplog: pytest.LogCaptureFixture,
) -> None:
    image = Image(np.zeros((3, 8, 8), np.uint8), "ZYX")
    assert Stack.of(image, "tyx").axes == "TYX"
    assert Stack.of(image).axes == "ZYX"
    assert Stack.of(Stack.of(image)).axes == "ZYX"
    with caplog.at_level(logging.INFO):
        guessed = Stack.of(image.data)
    assert guessed.axes == "TYX"
    assert 'axes "TYX" taken from the shape' in guessed.understood
    assert guessed.understood in caplog.text


def test_a_sequence_of_numbers_is_an_image() -> None:
    assert Stack.of([[1, 2], [3, 4]]).read(0).tolist() == [[[1.0, 2.0], [3.0, 4.0]]]


@pytest.mark.parametrize(
    ("shape", "axes", "message"),
    [
        (
            (5, 1, 64, 64),
            "ZYX",
            "names 3 dimensions but the image has 4.* add a letter, .*TCYX",
        ),
        ((64, 64), "ZYX", 'names 3 dimensions but the image has 2.* drop a letter, .*"YX"'),
        ((64, 64), "Q", 'has the letter "Q"; expected letters from T .*"YX"'),
        ((64, 64), "YW", 'has the letter "W"; expected letters from T .*"YX"'),
        ((9, 64, 64), "YYX", 'names Y more than once; .*"TYX"'),
        ((9, 64, 64), "TZX", 'lacks Y or X; .*"TYX"'),
        ((2, 2, 2, 2, 2, 2), "TYX", "names 3 dimensions but the image has 6, .*add a letter$"),
    ],
)
def test_wrong_axes_are_answered_with_a_suggestion(
    shape: tuple[int, ...], axes: str, message: str
) -> None:
    with pytest.raises(AxesError, match=message):
        Stack.of(np.zeros(shape, np.uint8), axes)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((64,), "has 1 dimensions; expected 2 to 5; arrange it in rows and columns"),
        ((1,) * 6, "has 6 dimensions; expected 2 to 5; take a part of it"),
    ],
)
def test_a_shape_without_axes_is_refused(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(AxesError, match=message):
        guess_axes(shape)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((8, 8), complex), r"dtype complex128: .* abs\(image\)"),
        (np.zeros((8, 8), bool), r"dtype bool: .* image.astype\('uint8'\)"),
        (np.full((8, 8), "a"), r"expected integers .* image.astype\('float32'\)"),
        (np.zeros((0, 8, 8)), r"the image is empty: its shape is \(0, 8, 8\)"),
    ],
)
def test_pixels_that_are_no_intensities_are_refused(array: NDArray[Any], message: str) -> None:
    with pytest.raises(ImageError, match=message) as caught:
        Stack.of(array)
    assert isinstance(caught.value, Noise2SelfError)
    assert not isinstance(caught.value, RuntimeError)


def test_the_description_reads_as_a_sentence() -> None:
    assert (
        describe((1, 2, 40, 512, 256), "TCZYX", np.dtype(">f4"))
        == "512 x 256, 40 planes in z, 1 time point, 2 channels, 32-bit float"
    )
    assert describe((4, 8, 8), "SYX", np.dtype("int16")) == "8 x 8, 4 samples, 16-bit signed"
