"""Names of channels: what is written is read, and what is none is not taken for one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import zarr
from numpy.typing import NDArray

from napari_noise2self.api import Image, ImageError, fill_nan, read_image, write_image

NAMES = ("DAPI", "α-tubulin <&>")


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(0).integers(1, 200, shape).astype(dtype)


@pytest.mark.parametrize("suffix", [".tif", ".ome.tif", ".zarr"])
@pytest.mark.parametrize(
    ("axes", "shape"),
    [("CYX", (2, 32, 31)), ("TZCYX", (2, 3, 2, 16, 15)), ("YCTX", (16, 2, 3, 15))],
)
def test_what_is_written_is_read(
    tmp_path: Path, suffix: str, axes: str, shape: tuple[int, ...]
) -> None:
    write_image(tmp_path / f"a{suffix}", Image(noise(*shape), axes, channels=NAMES))
    image = read_image(tmp_path / f"a{suffix}")
    assert image.channels == NAMES
    write_image(tmp_path / f"b{suffix}", noise(*shape), axes=axes, channels=("", "B"))
    assert read_image(tmp_path / f"b{suffix}").channels == ("", "B")
    write_image(tmp_path / f"c{suffix}", noise(*shape), axes=axes)
    assert read_image(tmp_path / f"c{suffix}").channels is None


def test_three_named_channels_of_8_bits_are_no_colour(tmp_path: Path) -> None:
    names = ("A", "B", "C")
    for name in ("a.tif", "a.ome.tif"):
        write_image(tmp_path / name, noise(16, 15, 3, dtype="uint8"), axes="YXC", channels=names)
        image = read_image(tmp_path / name)
        assert (image.axes, image.channels) == ("CYX", names)


def test_what_is_done_to_the_pixels_leaves_the_names() -> None:
    image = Image(noise(2, 32, 31), "CYX", channels=NAMES)
    assert replace(image, data=noise(2, 8, 8)).channels == NAMES
    assert fill_nan(image).channels == NAMES


@pytest.mark.parametrize(
    ("axes", "channels", "message"),
    [
        ("CYX", ("A",), "channels names 1 and the image has 2 along C; name each"),
        ("ZYX", ("A", "B"), 'channels names 2 and axes "ZYX" have no C; say which'),
        (None, ("A", "B"), 'axes "" have no C'),
        ("CYX", ("A", "B\0"), "expected one line of printable text"),
        ("CYX", ("A", 2), "expected one line of printable text"),
    ],
)
def test_names_that_do_not_fit_are_refused(
    tmp_path: Path, axes: str | None, channels: Any, message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        Image(noise(2, 32, 31), axes, channels=channels)
    if axes is not None:
        with pytest.raises(ImageError, match=message):
            write_image(tmp_path / "a.tif", noise(2, 32, 31), axes=axes, channels=channels)
    assert not list(tmp_path.iterdir())


def test_names_go_with_their_axis(tmp_path: Path) -> None:
    image = Image(noise(2, 2, 16, 15), "TCYX", channels=NAMES)
    write_image(tmp_path / "a.tif", image)
    assert read_image(tmp_path / "a.tif", axes="ZCYX").channels == NAMES
    assert read_image(tmp_path / "a.tif", axes="CZYX").channels is None
    assert read_image(tmp_path / "a.tif", axes="TZYX").channels is None


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (["A", "B"] * 3, ("A", "B")),
        (["A\nexposure: 3 ms", " B"] * 3, ("A", "B")),
        (["t1", "t1", "t2", "t2", "t3", "t3"], None),  # those of frames
        (["cells.tif"] * 6, None),
        (["", ""] * 3, None),
        (["A"], None),
    ],
)
def test_labels_of_imagej(
    tmp_path: Path, labels: list[str], expected: tuple[str, ...] | None
) -> None:
    metadata = {"axes": "TCYX", "Labels": labels}
    tifffile.imwrite(tmp_path / "a.tif", noise(3, 2, 16, 15), imagej=True, metadata=metadata)
    assert read_image(tmp_path / "a.tif").channels == expected


@pytest.mark.parametrize(
    ("channels", "expected"),
    [
        ([{"label": "A"}, {"label": "B", "color": "FF0000"}], ("A", "B")),
        ([{"color": "FF0000"}, {"label": "B"}], ("", "B")),
        ([{"label": 1}, None], None),
        ([{"label": "A"}], None),
        ("A, B", None),
    ],
)
@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_of_ome_zarr(
    tmp_path: Path, version: str, channels: Any, expected: tuple[str, ...] | None
) -> None:
    write_image(tmp_path / "a.zarr", noise(2, 16, 15), axes="CYX")
    group = zarr.open_group(tmp_path / "a.zarr")
    found = {**group.attrs, "omero": {"channels": channels}}
    group.attrs.put({"ome": found} if version == "0.5" else found)
    assert read_image(tmp_path / "a.zarr").channels == expected


def test_ome_zarr_says_between_what_values_a_channel_is_shown(tmp_path: Path) -> None:
    pixels = noise(2, 16, 15).astype("float32")
    pixels[1] *= 10
    pixels[0, 0, 0] = np.nan
    write_image(tmp_path / "a.zarr", pixels, axes="CYX", channels=NAMES)
    group = zarr.open_group(tmp_path / "a.zarr", mode="r")
    first, second = (channel["window"] for channel in group.attrs["omero"]["channels"])
    assert (first["start"], first["end"]) == (0, np.nanmax(pixels[0]))
    assert (second["min"], second["max"]) == (pixels[1].min(), pixels[1].max())


def test_fewer_names_than_channels_are_none(tmp_path: Path) -> None:
    xml = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" Type="uint16" DimensionOrder="XYCZT" SizeX="15" SizeY="16" '
        'SizeZ="1" SizeC="2" SizeT="1"><Channel ID="Channel:0:0" SamplesPerPixel="1" Name="A"/>'
        '<TiffData IFD="0" PlaneCount="2"/></Pixels></Image></OME>'
    )
    pixels = noise(2, 16, 15)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        photometric="minisblack",
        description=xml.encode(),
        metadata=None,
    )
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, pixels)
    assert (image.axes, image.channels) == ("CYX", None)
