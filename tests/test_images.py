"""Images in and out of files: nothing is lost, and what cannot work says why."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import dask.array as da
import imagecodecs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noise2self.api import (
    AxesError,
    Image,
    ImageError,
    ImageFileError,
    read_image,
    write_image,
)
from napari_noise2self.io import arrays, images
from napari_noise2self.io.images import READABLE, WRITABLE, check_writable
from napari_noise2self.io.tiff import DTYPES
from napari_noise2self.io.units import SYMBOLS, canonical, pixel_sizes

LENGTHS = [unit for unit in SYMBOLS if unit.endswith(("meter", "inch", "angstrom"))]
TIMES = ["microsecond", "millisecond", "second", "minute", "hour", "day"]
ORDERS = {".tif": "TZCYX", ".ome.tif": "TZCYX", ".zarr": "TSCZYX"}


@st.composite
def images_of(draw: st.DrawFn, suffix: str) -> Image:
    """An image that the format can hold, with axes in any order."""
    letters = draw(st.sets(st.sampled_from("TCZ" if suffix != ".zarr" else "TSCZ"), max_size=3))
    axes = "".join(draw(st.permutations([*sorted(letters), "Y", "X"])))
    shape = [draw(st.integers(2, 6)) for _ in axes]
    dtype = draw(st.sampled_from(DTYPES + ((">u2", ">f4") if suffix != ".npy" else ())))
    seed = draw(st.integers(0, 9))
    pixels = np.random.default_rng(seed).uniform(0, 120, shape).astype(dtype)
    size = st.floats(1e-4, 1e4)
    known = {a: (draw(size), draw(st.sampled_from(LENGTHS))) for a in "ZYX"}
    known["T"] = (draw(size), draw(st.sampled_from(TIMES)))
    scale, units = zip(*(known.get(a, (1.0, "pixel")) for a in axes), strict=True)
    return Image(pixels, axes, scale, units)


@pytest.mark.parametrize("suffix", ORDERS)
@settings(deadline=None, max_examples=40)
@given(data=st.data())
def test_what_is_written_is_read(suffix: str, data: st.DataObject) -> None:
    image = data.draw(images_of(suffix))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"cells{suffix}"
        write_image(path, image)
        back = read_image(path)
        pixels = np.asarray(back.data)
    assert image.axes is not None
    assert back.axes is not None
    # 8-bit colour has its own place, behind the pixels
    assert back.axes in (
        "".join(a for a in ORDERS[suffix] if a in image.axes),
        "".join(a for a in "TZYXC" if a in image.axes),
    )
    order = [image.axes.index(a) for a in back.axes]
    assert pixels.dtype == image.data.dtype.newbyteorder("=")
    np.testing.assert_array_equal(pixels, image.data.transpose(order))
    assert back.units == tuple((image.units or ())[i] for i in order)
    assert back.scale == pytest.approx([(image.scale or ())[i] for i in order], rel=1e-6)
    assert back.name == "cells"


def test_bare_arrays_have_no_axes(tmp_path: Path) -> None:
    pixels = np.arange(24, dtype=">i8").reshape(2, 3, 4)
    write_image(tmp_path / "a.npy", pixels, axes="CYX", scale=(1, 2, 2))
    image = read_image(tmp_path / "a.npy")
    np.testing.assert_array_equal(image.data, pixels)
    assert (image.axes, image.scale, image.units) == (None, None, None)
    assert read_image(tmp_path / "a.npy", axes="cyx").axes == "CYX"


def test_a_large_array_is_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.save(tmp_path / "a.npy", np.ones((8, 8)))
    monkeypatch.setattr(arrays, "LAZY_BYTES", 1)
    assert isinstance(read_image(tmp_path / "a.npy").data, np.memmap)


def test_the_one_image_of_an_archive(tmp_path: Path) -> None:
    pixels = np.arange(12).reshape(3, 4)
    np.savez(tmp_path / "one.npz", pixels=pixels, gain=2.0)
    np.testing.assert_array_equal(read_image(tmp_path / "one.npz").data, pixels)
    np.savez(tmp_path / "two.npz", left=pixels, right=pixels)
    with pytest.raises(ImageFileError, match=r"holds 2 arrays .*\(left, right\); save .*\.npy"):
        read_image(tmp_path / "two.npz")


@pytest.mark.parametrize(
    ("shape", "dtype", "axes"),
    [
        ((16, 15), "uint8", "YX"),
        ((16, 15), "uint16", "YX"),
        ((16, 15, 3), "uint8", "YXC"),
        ((16, 15, 3), "uint16", "YXC"),  # Pillow would make 8 bits of it
        ((16, 15, 4), "uint8", "YXC"),
    ],
)
def test_png(tmp_path: Path, shape: tuple[int, ...], dtype: str, axes: str) -> None:
    pixels = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape).astype(dtype)
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    image = read_image(tmp_path / "a.png")
    assert image.axes == axes
    assert image.data.dtype == dtype
    np.testing.assert_array_equal(image.data, pixels)


@pytest.mark.parametrize(("channels", "axes"), [(2, "YX"), (4, "YXC")])
def test_opacity_of_a_png_is_left_out(tmp_path: Path, channels: int, axes: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (16, 15, channels)).astype("uint8")
    pixels[..., -1] = 255
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(pixels))
    image = read_image(tmp_path / "a.png")
    assert image.axes == axes
    np.testing.assert_array_equal(image.data.reshape(16, 15, -1), pixels[..., :-1])


def test_jpeg(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pixels = np.full((32, 32, 3), 99, "uint8")
    content = imagecodecs.jpeg_encode(pixels)
    (tmp_path / "a.jpg").write_bytes(content)
    image = read_image(tmp_path / "a.jpg")
    assert image.axes == "YXC"
    assert np.abs(image.data.astype(int) - 99).max() <= 2
    assert "compressed with loss" in caplog.text
    (tmp_path / "b.jpeg").write_bytes(content[: len(content) // 2])
    with pytest.raises(ImageFileError, match="truncated"):
        read_image(tmp_path / "b.jpeg")


# Reading what cannot be read


def test_a_missing_file() -> None:
    with pytest.raises(ImageFileError, match=r"no/cells.tif does not exist; check the folder"):
        read_image("no/cells.tif")


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match="is a folder, not an image; name one file in it"):
        read_image(tmp_path)


@pytest.mark.parametrize("suffix", [s for s in READABLE if s != ".zarr"])
def test_an_empty_file(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"a{suffix}").touch()
    with pytest.raises(ImageFileError, match=r"is empty \(0 bytes\); copy or export it again"):
        read_image(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("content", [b"hello, world", b"II*\0", b"\x89PNG\r\n\x1a\n", b"<OME/>"])
@pytest.mark.parametrize("suffix", READABLE)
def test_a_file_that_is_no_image(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"a{suffix}").write_bytes(content)
    with pytest.raises(ImageFileError, match=r"a\.[a-z8.]+ (cannot be read|is|names)") as caught:
        read_image(tmp_path / f"a{suffix}")
    assert not isinstance(caught.value, RuntimeError)


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(ImageFileError, match="Object arrays cannot be loaded"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("name", "given_suffix", "mend"),
    [
        ("cells.czi", ".czi", "open it in Fiji (Bio-Formats) and save it as OME-TIFF"),
        ("cells.txt", ".txt", "save it as TIFF"),
        ("cells", "(none)", "save it as TIFF"),
    ],
)
def test_an_unknown_extension(tmp_path: Path, name: str, given_suffix: str, mend: str) -> None:
    (tmp_path / name).write_bytes(b"?")
    with pytest.raises(ImageFileError) as caught:
        read_image(tmp_path / name)
    known = ", ".join(READABLE)
    assert str(caught.value).endswith(
        f"has the extension {given_suffix}; expected one of {known}; {mend}"
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read all")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.ones((4, 4)))
    path.chmod(0)
    with pytest.raises(ImageFileError, match="may not be read; change its permissions"):
        read_image(path)


# Writing


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "uint64"])
@settings(deadline=None)
@given(values=st.lists(st.floats(allow_nan=False, width=32), min_size=1, max_size=20))
def test_integers_are_rounded_and_clipped(dtype: str, values: list[float]) -> None:
    limits = np.iinfo(dtype)
    found = images._converted(np.array(values, np.float32), np.dtype(dtype))
    assert found.dtype == dtype
    for given_value, value in zip(values, found.tolist(), strict=True):
        clipped = min(max(given_value, limits.min), limits.max)
        # the largest 64-bit integers are no float: one step below is as near as it gets
        assert abs(value - clipped) <= max(0.5, abs(clipped) * 2**-52)
        assert limits.min <= value <= limits.max


@given(st.sampled_from(["uint8", "int8", "int64", "uint64"]), st.integers(-(2**63), 2**63 - 1))
def test_integers_are_clipped_exactly(dtype: str, value: int) -> None:
    limits = np.iinfo(dtype)
    found = images._converted(np.array([value], np.int64), np.dtype(dtype))
    assert found.tolist() == [min(max(value, int(limits.min)), int(limits.max))]


@pytest.mark.parametrize("suffix", WRITABLE)
def test_the_dtype_is_the_caller_s(tmp_path: Path, suffix: str) -> None:
    noisy = [[-3.0, 1.4], [1.6, 300.0]]
    with pytest.warns(UserWarning, match="50 % of the values .* uint8 .* clipped to 0 to 255"):
        write_image(tmp_path / f"a{suffix}", noisy, axes="YX", dtype="uint8")
    data = np.asarray(read_image(tmp_path / f"a{suffix}").data)
    assert data.dtype == np.uint8
    assert data.tolist() == [[0, 1], [2, 255]]


@pytest.mark.parametrize(
    ("values", "dtype", "count"),
    [
        ([-0.4, 255.4], "uint8", 0),
        ([-0.6, 255.6, np.inf], "uint8", 3),
        (np.array([-1, 300], "int64"), "uint8", 2),
        (np.array([0, 2**63], "uint64"), "int64", 1),
        (np.array([0, 255], "uint8"), "int16", 0),
        (np.array([6e4, -1], "float16"), "uint16", 1),
        ([1e30], "float32", 0),
    ],
)
def test_what_is_clipped_is_counted(values: Any, dtype: str, count: int) -> None:
    assert images._outside(np.asarray(values), np.dtype(dtype)) == count


def test_nan_is_no_integer(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"has NaN, which dtype uint16 cannot hold; write dtype="):
        write_image(tmp_path / "a.tif", [[np.nan, 1.0], [1.0, 1.0]], dtype="uint16")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".npy"])
def test_a_lazy_array_is_written_piece_by_piece(tmp_path: Path, suffix: str) -> None:
    pixels = np.random.default_rng(0).normal(size=(3, 4, 32, 31)).astype("float32")
    lazy = da.from_array(pixels, chunks=(1, 2, 16, 31))
    write_image(tmp_path / f"a{suffix}", lazy, axes="CTYX")
    back = np.asarray(read_image(tmp_path / f"a{suffix}").data)
    np.testing.assert_array_equal(back, pixels if suffix == ".npy" else pixels.swapaxes(0, 1))


@pytest.mark.parametrize("suffix", [".tif", ".zarr", ".npy"])
def test_memory_holds_one_piece_at_a_time(tmp_path: Path, suffix: str) -> None:
    class Counted:
        """An image that notes how much of it is asked for at once."""

        shape, dtype, ndim = (8, 64, 64), np.dtype("uint16"), 3
        most = 0

        def __getitem__(self, index: Any) -> NDArray[Any]:
            part = np.broadcast_to(np.uint16(7), self.shape)[index]
            Counted.most = max(Counted.most, part.size)
            return part

    images_before = Counted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_noise2self.io.ome_zarr.CHUNK_PIXELS", 64 * 64)
        patch.setattr("napari_noise2self.io.lazy.CHUNK_BYTES", 2 * 64 * 64)
        write_image(tmp_path / f"a{suffix}", images_before, axes="TYX")
    assert 0 < Counted.most <= 64 * 64
    assert (np.asarray(read_image(tmp_path / f"a{suffix}").data) == 7).all()


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    write_image(path, np.ones((3, 8, 8), "float32"), axes="TYX")

    def broken(block: NDArray[Any]) -> NDArray[Any]:
        raise OSError(28, "No space left on device")

    lazy = da.ones((3, 8, 8), chunks=(1, 8, 8), dtype="float32").map_blocks(
        broken, dtype="float32", meta=np.empty((0, 0, 0), "float32")
    )
    with pytest.raises(ImageFileError, match=r"could not be written \(No space left on device\)"):
        write_image(path, lazy, axes="TYX")
    assert list(tmp_path.iterdir()) == [path]
    assert (np.asarray(read_image(path).data) == 1).all()


@pytest.mark.parametrize("suffix", WRITABLE)
def test_an_older_file_is_replaced(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    for value in (1, 2):
        write_image(path, np.full((8, 8), value, "uint8"))
    assert (np.asarray(read_image(path).data) == 2).all()
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".tif", ".zarr"])
def test_an_image_can_be_written_over_itself(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_noise2self.io.tiff.LAZY_BYTES", 1)
    path = tmp_path / f"a{suffix}"
    write_image(path, np.full((8, 8), 3.0, "float32"))
    lazy = read_image(path)
    assert type(lazy.data) is not np.ndarray
    write_image(path, lazy)
    assert (np.asarray(read_image(path).data) == 3).all()


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"axes": "TYX"}, AxesError, "names 3 dimensions but the image has 2"),
        ({"scale": (1, 1, 1)}, ImageError, "scale has 3 entries; expected one for each letter"),
        ({"units": ("um",)}, ImageError, "units has 1 entries; expected one for each letter"),
        ({"scale": (1, 0)}, ImageError, "scale has 0.0 for X; expected a number above 0"),
        ({"dtype": "int64"}, ImageError, "TIFF cannot hold dtype int64; expected one of uint8"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, keywords: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        write_image(tmp_path / "a.tif", np.ones((8, 8), "uint8"), **keywords)
    assert not list(tmp_path.iterdir())


# Before long work


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_writable_place_stays_as_it_is(tmp_path: Path, suffix: str) -> None:
    check_writable(tmp_path / f"a{suffix}", dtype="uint8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", WRITABLE)
def test_a_missing_folder(tmp_path: Path, suffix: str) -> None:
    for call in (check_writable, lambda path: write_image(path, np.ones((8, 8)))):
        with pytest.raises(ImageFileError, match="no does not exist; create it or choose another"):
            call(tmp_path / "no" / f"a{suffix}")
    assert not list(tmp_path.iterdir())


def test_an_extension_that_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ImageFileError, match=r"expected one of \.tif, .*for example a\.tif"):
        check_writable(tmp_path / "a.png")


def test_a_dtype_that_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r'dtype="float32", or write .npy or .zarr'):
        check_writable(tmp_path / "a.tif", dtype="float16")
    check_writable(tmp_path / "a.zarr", dtype="float16")


# Units


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("µm", "micrometer"), ("\u03bcm", "micrometer"), ("\\u00B5m", "micrometer"),
        ("microns", "micrometer"), ("Micrometre", "micrometer"), ("micrometers", "micrometer"),
        ("nm", "nanometer"), ("mm", "millimeter"), ("\u212b", "angstrom"), ("inch", "inch"),
        ("sec", "second"), ("s", "second"), ("ms", "millisecond"), ("min", "minute"),
        ("ns", "nanosecond"), ("ps", "picosecond"), ("fm", "femtometer"),
        ("pixels", "pixel"), ("", "pixel"), (None, "pixel"), ("furlong", "pixel"),
        ("\\uZZ", "pixel"),
    ],
)  # fmt: skip
def test_spellings_of_units(spelling: str | None, name: str) -> None:
    assert canonical(spelling) == name


@given(st.text())
def test_any_text_is_some_unit(text: str) -> None:
    assert canonical(text) in SYMBOLS
    assert canonical(canonical(text)) == canonical(text)


def test_only_known_sizes_are_kept() -> None:
    assert pixel_sizes("CYX", (1, 2, 1), ("pixel", "pixel", "µm")) == {
        "Y": (2.0, "pixel"),
        "X": (1.0, "micrometer"),
    }
