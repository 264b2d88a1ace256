"""OME-Zarr of every version, plain zarr, and arrays that are filled piece by piece."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, ClassVar

import dask.array as da
import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_noise2self.api import ImageError, ImageFileError, read_image, write_image
from napari_noise2self.core.axes import Stack
from napari_noise2self.io.gathered import gathered
from napari_noise2self.io.ome_zarr import Reordered, create_zarr

DATA = Path(os.environ.get("NOISE2SELF_DATA", Path(__file__).parents[2] / "shared" / "data"))
REAL = sorted(DATA.glob("io_*/**/*.zarr"))


def pixels(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 999, shape).astype("uint16")


def ome_zarr(path: Path, data: NDArray[Any], image: dict[str, Any], *, version: str) -> None:
    """Write an image as a program that follows this version of OME-Zarr."""
    zarr_format: Any = 3 if version == "0.5" else 2
    image = {"datasets": [{"path": "full"}], **image}
    attributes: dict[str, Any] = {"multiscales": [image]}
    if version == "0.5":
        attributes = {"ome": {"version": version, **attributes}}
    else:
        image["version"] = version
    group = zarr.create_group(path, zarr_format=zarr_format, attributes=attributes)
    group.create_array("full", data=data)


def scaled(*scale: float) -> list[dict[str, Any]]:
    return [{"type": "scale", "scale": list(scale)}]


AXES = [
    {"name": "t", "type": "time", "unit": "second"},
    {"name": "c", "type": "channel"},
    {"name": "y", "type": "space", "unit": "micrometer"},
    {"name": "x", "type": "space", "unit": "micrometer"},
]


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_axes_scale_and_units(tmp_path: Path, version: str) -> None:
    image = {
        "axes": AXES,
        "datasets": [{"path": "full", "coordinateTransformations": scaled(1, 1, 0.2, 0.1)}],
        "coordinateTransformations": [
            *scaled(5, 1, 1, 1),
            {"type": "translation", "translation": [0, 0, 1, 1]},
        ],
    }
    data = pixels(3, 2, 16, 15)
    ome_zarr(tmp_path / "a.ome.zarr", data, image, version=version)
    found = read_image(tmp_path / "a.ome.zarr")
    assert isinstance(found.data, da.Array)
    np.testing.assert_array_equal(np.asarray(found.data), data)
    assert found.axes == "TCYX"
    assert found.scale == (5.0, 1.0, 0.2, 0.1)
    assert found.units == ("second", "pixel", "micrometer", "micrometer")
    assert found.name == "a"


@pytest.mark.parametrize("size", [0.0, -0.2, float("nan"), float("inf")])
def test_what_is_no_pixel_size_is_unknown(
    tmp_path: Path, size: float, caplog: pytest.LogCaptureFixture
) -> None:
    levels = [{"path": "full", "coordinateTransformations": scaled(1, 1, size, 0.1)}]
    image = {"axes": AXES, "datasets": levels}
    ome_zarr(tmp_path / "a.zarr", pixels(3, 2, 16, 15), image, version="0.4")
    found = read_image(tmp_path / "a.zarr")
    assert found.scale == (1.0, 1.0, 1.0, 0.1)
    assert found.units == ("second", "pixel", "pixel", "micrometer")
    assert "taken as unknown" in caplog.text
    write_image(tmp_path / "b.zarr", found)


def test_earlier_versions_name_no_axes_or_only_name_them(tmp_path: Path) -> None:
    data = pixels(1, 2, 1, 16, 15)
    ome_zarr(tmp_path / "a.zarr", data, {}, version="0.1")
    assert read_image(tmp_path / "a.zarr").axes == "CYX"
    assert read_image(tmp_path / "a.zarr", axes="TCZYX").data.shape == data.shape
    ome_zarr(tmp_path / "b.zarr", data[0, 0], {"axes": ["z", "y", "x"]}, version="0.3")
    assert read_image(tmp_path / "b.zarr", axes="ZYX").data.shape == (1, 16, 15)


def test_axes_of_other_names(tmp_path: Path) -> None:
    axes = [
        {"name": "frame", "type": "time"},
        {"name": "angle"},
        {"name": "y", "type": "space"},
        {"name": "x", "type": "space"},
    ]
    ome_zarr(tmp_path / "a.zarr", pixels(3, 2, 16, 15), {"axes": axes}, version="0.4")
    assert read_image(tmp_path / "a.zarr").axes == "TSYX"


def test_a_later_version_is_refused_by_name(tmp_path: Path) -> None:
    ome_zarr(tmp_path / "a.zarr", pixels(16, 15), {"coordinateSystems": []}, version="0.6")
    with pytest.raises(ImageFileError, match=r"of version 0.6; .* open the array .*full"):
        read_image(tmp_path / "a.zarr")
    assert read_image(tmp_path / "a.zarr" / "full", axes="YX").data.shape == (16, 15)


def test_plain_arrays(tmp_path: Path) -> None:
    data = pixels(3, 16, 15)
    zarr.create_array(tmp_path / "bare.zarr", data=data)
    bare = read_image(tmp_path / "bare.zarr")
    assert (bare.axes, bare.scale) == (None, None)
    np.testing.assert_array_equal(np.asarray(bare.data), data)
    zarr.create_array(tmp_path / "named.zarr", data=data, dimension_names=["z", "y", "x"])
    assert read_image(tmp_path / "named.zarr").axes == "ZYX"
    zarr.create_array(tmp_path / "odd.zarr", data=data, dimension_names=["plane", "row", "column"])
    assert read_image(tmp_path / "odd.zarr").axes is None


def test_a_group_is_read_where_it_leaves_no_choice(tmp_path: Path) -> None:
    group = zarr.create_group(tmp_path / "a.zarr")
    with pytest.raises(ImageFileError, match="without an image of its own; open another; it is"):
        read_image(tmp_path / "a.zarr")
    group.create_array("left", data=pixels(16, 15))
    assert read_image(tmp_path / "a.zarr").data.shape == (16, 15)
    group.create_array("right", data=pixels(16, 15))
    with pytest.raises(ImageFileError, match="open one of left, right"):
        read_image(tmp_path / "a.zarr")


def test_the_first_of_several_series(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    zarr.create_group(tmp_path / "a.zarr", zarr_format=2, attributes={"bioformats2raw.layout": 3})
    for series in ("0", "1"):
        ome_zarr(tmp_path / "a.zarr" / series, pixels(3, 2, 16, 15), {"axes": AXES}, version="0.4")
    assert read_image(tmp_path / "a.zarr").axes == "TCYX"
    assert "holds 2 images; the first is read" in caplog.text


def test_a_plate_names_a_field(tmp_path: Path) -> None:
    plate = {"plate": {"wells": [{"path": "B/03"}, {"path": "B/04"}]}}
    well = {"well": {"images": [{"path": "2"}]}}
    for attributes, field in (
        ({"plate": {}}, "A/1/0"),
        (plate, "B/03/0"),
        ({"well": {}}, "0"),
        (well, "2"),
    ):
        zarr.create_group(tmp_path / "a.zarr", zarr_format=2, attributes=attributes, overwrite=True)
        named = re.escape(str(tmp_path / "a.zarr" / field))
        with pytest.raises(ImageFileError, match=f"a plate or a well; open one .*{named}$"):
            read_image(tmp_path / "a.zarr")


def test_small_pieces_are_put_together(tmp_path: Path) -> None:
    values = pixels(2, 5, 16, 15)
    written = zarr.create_array(
        tmp_path / "a.zarr", shape=values.shape, chunks=(1, 4, 10, 15), dtype=values.dtype
    )
    with gathered(written) as out:
        for c, t in np.ndindex(2, 5):
            for rows in (slice(0, 4), slice(4, 8), slice(8, 16)):  # the last one in two chunks
                out[c, t, rows, slice(None)] = values[c, t, rows]
    np.testing.assert_array_equal(np.asarray(written[:]), values)


def test_a_chunk_is_written_once(tmp_path: Path) -> None:
    class Counted:
        shape, chunks, dtype, ndim = (6, 8, 8), (4, 8, 8), np.dtype("float32"), 3
        written: ClassVar[list[Any]] = []

        def __getitem__(self, index: Any) -> Any:
            return np.zeros(self.shape, self.dtype)[index]

        def __setitem__(self, index: Any, values: Any) -> None:
            self.written.append((index[0], values[:, 0, 0].tolist()))

    with gathered(Counted()) as out:
        for t in range(6):
            out[t, slice(0, 8), slice(0, 8)] = t + 1
    assert Counted.written == [(slice(0, 4), [1, 2, 3, 4]), (slice(4, 6), [5, 6])]


def test_a_damaged_array(tmp_path: Path) -> None:
    write_image(tmp_path / "a.zarr", pixels(16, 15))
    (tmp_path / "a.zarr" / "0" / ".zarray").write_text("{")
    with pytest.raises(ImageFileError, match=r"cannot be read as \.zarr .* damaged"):
        read_image(tmp_path / "a.zarr")
    ome_zarr(tmp_path / "b.zarr", pixels(16, 15), {"datasets": [{"path": "."}]}, version="0.1")
    with pytest.raises(ImageFileError, match=r"b\.zarr"):
        read_image(tmp_path / "b.zarr")


# Writing


def test_what_is_written_follows_ome_zarr(tmp_path: Path) -> None:
    with create_zarr(
        tmp_path / "a.zarr", (16, 15, 2, 3), ">f4", "YXCT", (0.2, 0.1, 1, 5), ("um", "um", "", "s")
    ) as out:
        out[:] = 1
    image = json.loads((tmp_path / "a.zarr" / ".zattrs").read_text())["multiscales"][0]
    assert image["version"] == "0.4"
    assert image["axes"] == AXES
    assert image["datasets"][0]["coordinateTransformations"] == scaled(5, 1, 0.2, 0.1)
    array = json.loads((tmp_path / "a.zarr" / "0" / ".zarray").read_text())
    assert array["shape"] == [3, 2, 16, 15]
    assert array["dtype"] == "<f4"
    assert array["dimension_separator"] == "/"


def test_it_validates(tmp_path: Path) -> None:
    v04 = pytest.importorskip("ome_zarr_models.v04.image")
    write_image(tmp_path / "a.zarr", pixels(3, 2, 16, 15), axes="TCYX", scale=(5, 1, 0.2, 0.1))
    v04.Image.from_zarr(zarr.open_group(tmp_path / "a.zarr", mode="r"))


def test_prediction_streams_into_it_window_by_window(tmp_path: Path) -> None:
    values = pixels(16, 3, 15).astype("float32")  # YCX: no order of OME's
    with create_zarr(tmp_path / "a.zarr", values.shape, "float32", "YCX") as out:
        source, target = Stack.of(values, "YCX"), Stack.of(out, "YCX")
        for sample, window in source.windows(limit=40):
            target.write(sample, window, source.read(sample, window))
        np.testing.assert_array_equal(target.read(0), source.read(0))
    back = read_image(tmp_path / "a.zarr")
    assert back.axes == "CYX"
    np.testing.assert_array_equal(np.asarray(back.data), values.transpose(1, 0, 2))


@st.composite
def places(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[Any, ...]:
    index: list[Any] = []
    for n in shape:
        start = draw(st.integers(0, n - 1))
        stop = draw(st.integers(start + 1, n))
        index.append(draw(st.sampled_from([start, slice(start, stop), slice(None)])))
    if draw(st.booleans()):
        index[draw(st.integers(0, len(index))) :] = draw(st.sampled_from([[], [Ellipsis]]))
    return tuple(index) or (Ellipsis,)


@settings(deadline=None, max_examples=60)
@given(order=st.permutations(range(4)), data=st.data())
def test_a_view_in_another_order_behaves_as_the_array(
    order: list[int], data: st.DataObject
) -> None:
    expected = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    store = zarr.create_array({}, data=np.ascontiguousarray(expected.transpose(order)))
    view = Reordered(store, order)
    assert view.shape == expected.shape
    index = data.draw(places(expected.shape))
    np.testing.assert_array_equal(view[index], expected[index])
    values = -np.arange(expected[index].size).reshape(expected[index].shape)
    view[index] = values
    expected[index] = values
    np.testing.assert_array_equal(view[...], expected)
    view[index] = 7  # broadcast
    expected[index] = 7
    np.testing.assert_array_equal(view[...], expected)


def test_small_planes_share_a_chunk_and_large_ones_are_cut(tmp_path: Path) -> None:
    with create_zarr(tmp_path / "a.zarr", (1000, 30, 40), "uint8", "TYX") as out:
        assert out.chunks == (873, 30, 40)
    with create_zarr(tmp_path / "b.zarr", (9, 3000, 700), "uint8", "ZYX") as out:
        assert out.chunks == (1, 1024, 700)


def test_it_appears_when_it_is_full(tmp_path: Path) -> None:
    path = tmp_path / "a.zarr"

    def fill(value: int, failure: BaseException | None = None) -> None:
        with create_zarr(path, (8, 8), "uint8", "YX") as out:
            out[:] = value
            assert not path.exists() or failure
            if failure is not None:
                raise failure

    fill(1)
    with pytest.raises(KeyboardInterrupt):
        fill(2, KeyboardInterrupt())
    assert list(tmp_path.iterdir()) == [path]
    assert (np.asarray(read_image(path).data) == 1).all()


def test_nothing_but_a_zarr_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").touch()
    (tmp_path / "file.zarr").touch()
    for name, message in {
        "thesis": "folder with other things in it, which would be lost; choose another name",
        "file.zarr": "is a file, and zarr writes a folder; choose another name",
    }.items():
        with (
            pytest.raises(ImageFileError, match=message),
            create_zarr(tmp_path / name, (8, 8), "uint8", "YX"),
        ):
            pass
    assert (tmp_path / "thesis" / "chapter.txt").exists()


def plate(path: Path) -> None:
    zarr.create_group(path, zarr_format=2, attributes={"plate": {}})
    ome_zarr(path / "A" / "1" / "0", pixels(16, 15), {"axes": ["y", "x"]}, version="0.4")


def several_series(path: Path) -> None:
    zarr.create_group(path, zarr_format=2, attributes={"bioformats2raw.layout": 3})
    ome_zarr(path / "0", pixels(16, 15), {"axes": ["y", "x"]}, version="0.4")


def two_arrays(path: Path) -> None:
    group = zarr.create_group(path)
    group.create_array("left", data=pixels(16, 15))
    group.create_array("right", data=pixels(16, 15))


def with_labels(path: Path) -> None:
    write_image(path, pixels(16, 15))
    zarr.open_group(path).create_group("labels").create_array("cells", data=pixels(16, 15))


def with_notes(path: Path) -> None:
    write_image(path, pixels(16, 15))
    (path / "notes.txt").touch()


def damaged(path: Path) -> None:
    write_image(path, pixels(16, 15))
    (path / ".zattrs").write_text("{")


@pytest.mark.parametrize(
    "fill", [plate, several_series, two_arrays, with_labels, with_notes, damaged]
)
def test_a_zarr_that_holds_more_than_one_image_is_not_replaced(tmp_path: Path, fill: Any) -> None:
    path = tmp_path / "a.zarr"
    fill(path)
    before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    with pytest.raises(ImageFileError, match="all of it would be lost: choose another name"):
        write_image(path, pixels(16, 15))
    assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_image_in_several_resolutions_is_replaced(tmp_path: Path, version: str) -> None:
    path = tmp_path / "a.zarr"
    levels = [{"path": "full"}, {"path": "small/2"}]
    ome_zarr(path, pixels(16, 15), {"axes": ["y", "x"], "datasets": levels}, version=version)
    zarr.open_group(path).create_array("small/2", data=pixels(8, 8))
    (path / ".DS_Store").touch()
    write_image(path, pixels(8, 8))
    assert read_image(path).data.shape == (8, 8)
    zarr.create_array(tmp_path / "plain.zarr", data=pixels(16, 15))
    write_image(tmp_path / "plain.zarr", pixels(8, 8))
    assert read_image(tmp_path / "plain.zarr").data.shape == (8, 8)


def test_what_does_not_fit_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with (
        pytest.raises(ImageError, match="names 3 dimensions but the image has 2"),
        create_zarr(tmp_path / "a.zarr", (8, 8), "uint8", "TYX"),
    ):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not REAL, reason="no folder of real files; NOISE2SELF_DATA names one")
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_files(path: Path) -> None:
    image = read_image(path)
    assert image.axes == "CYX"
    assert isinstance(image.data, da.Array)
    assert Stack.of(image).read(0).shape == image.data.shape
