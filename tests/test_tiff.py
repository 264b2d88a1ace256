"""TIFF in the dialects that microscopes, ImageJ and Bio-Formats write.

Each dialect is written here with tifffile; files from public collections are
read as well where a folder with them is at hand (`NOISE2SELF_DATA`).
"""

from __future__ import annotations

import gc
import logging
import math
import os
import struct
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_noise2self._terminal.targets import of_images
from napari_noise2self.api import ConfigError, Image, ImageFileError, read_image, write_image
from napari_noise2self.core.axes import Stack
from napari_noise2self.io import tiff as tiff_module
from napari_noise2self.io.lazy import LAZY_BYTES

DATA = Path(os.environ.get("NOISE2SELF_DATA", Path(__file__).parents[2] / "shared" / "data"))
FOLDERS = ("io_*", "neubias", "bia", "calcium", "flim_structured", "stardist")
REAL = sorted(
    file
    for folder in FOLDERS
    for file in DATA.glob(f"{folder}/**/*")
    if file.suffix in (".tif", ".tiff", ".ome")
)

SCHEMA = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def noise(*shape: int, dtype: str = "uint16") -> NDArray[Any]:
    return np.random.default_rng(0).integers(0, 200, shape).astype(dtype)


def sizes(image: Image) -> dict[str, tuple[float, str]]:
    assert image.axes is not None
    assert image.scale is not None
    assert image.units is not None
    return dict(zip(image.axes, zip(image.scale, image.units, strict=True), strict=True))


# ImageJ


@pytest.mark.parametrize("spelling", ["micron", "um", "microns", "micrometer", "\\u00B5m"])
def test_imagej_hyperstack(tmp_path: Path, spelling: str) -> None:
    pixels = noise(2, 3, 4, 16, 15)
    tifffile.imwrite(
        tmp_path / "a.tif",
        pixels,
        imagej=True,
        byteorder=">",
        resolution=(1 / 0.1, 1 / 0.2),
        metadata={"axes": "TZCYX", "spacing": 0.5, "unit": spelling, "finterval": 2.5},
    )
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, pixels)
    assert image.axes == "TZCYX"
    assert image.scale == (2.5, 0.5, 1.0, 0.2, 0.1)
    assert image.units == ("second", "micrometer", "pixel", "micrometer", "micrometer")
    assert image.name == "a"


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"unit": "nm"}, (1.0, "nanometer")),  # ImageJ leaves out a spacing of 1
        ({"unit": "nm", "spacing": -20}, (20.0, "nanometer")),  # a reversed stack
        ({"unit": "nm", "spacing": 20, "zunit": "um"}, (20.0, "micrometer")),
        ({"spacing": 20}, (1.0, "pixel")),  # of no unit
        ({"unit": "um", "spacing": "NaN"}, (1.0, "pixel")),
        ({"unit": "furlong", "spacing": 2.0}, (2.0, "pixel")),
    ],
)
def test_imagej_spacing(
    tmp_path: Path, metadata: dict[str, Any], expected: tuple[float, str]
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise(3, 16, 15), imagej=True, metadata={"axes": "ZYX", **metadata}
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "ZYX"
    assert sizes(image)["Z"] == expected


def test_imagej_time_unit(tmp_path: Path) -> None:
    metadata = {"axes": "TYX", "finterval": 5.0, "tunit": "min"}
    tifffile.imwrite(tmp_path / "a.tif", noise(3, 16, 15), imagej=True, metadata=metadata)
    assert sizes(read_image(tmp_path / "a.tif"))["T"] == (5.0, "minute")


def test_imagej_colour(tmp_path: Path) -> None:
    pixels = noise(2, 16, 15, 3, dtype="uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata={"axes": "TYXS"})
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "TYXC"
    np.testing.assert_array_equal(image.data, pixels)


def test_imagej_stack_of_unnamed_images_is_taken_as_samples(tmp_path: Path) -> None:
    pixels = noise(5, 16, 15)
    description = "ImageJ=1.54f\nimages=5\n"
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for plane in pixels:
            writer.write(plane, description=description, metadata=None, photometric="minisblack")
            description = ""
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "TYX"
    np.testing.assert_array_equal(image.data, pixels)


# OME


def test_ome(tmp_path: Path) -> None:
    pixels = noise(2, 3, 4, 16, 15, dtype="int16")
    metadata = {
        "axes": "TCZYX",
        "PhysicalSizeX": 80.0,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeY": 0.09,  # in OME's own unit, which is µm
        "PhysicalSizeZ": 1.5e-6,
        "PhysicalSizeZUnit": "m",
        "TimeIncrement": 30.0,
        "TimeIncrementUnit": "ms",
    }
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata=metadata)
    image = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(image.data, pixels)
    assert image.axes == "TCZYX"
    assert sizes(image) == {
        "T": (30.0, "millisecond"),
        "C": (1.0, "pixel"),
        "Z": (1.5e-6, "meter"),
        "Y": (0.09, "micrometer"),
        "X": (80.0, "nanometer"),
    }
    assert image.name == "a"


def test_axes_of_length_1_are_dropped_unless_they_are_named(tmp_path: Path) -> None:
    pixels = noise(1, 3, 1, 16, 15)
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, metadata={"axes": "TCZYX"})
    assert read_image(tmp_path / "a.ome.tif").axes == "CYX"
    named = read_image(tmp_path / "a.ome.tif", axes="TCZYX")
    assert named.data.shape == pixels.shape
    assert named.axes == "TCZYX"


def test_ome_colour_in_several_channels(tmp_path: Path) -> None:
    pixels = noise(2, 16, 15, 3, dtype="uint8")
    tifffile.imwrite(tmp_path / "a.ome.tif", pixels, photometric="rgb", metadata={"axes": "CYXS"})
    image = read_image(tmp_path / "a.ome.tif")
    assert image.axes == "TYXC"
    np.testing.assert_array_equal(image.data, pixels)


def multi_file_ome(folder: Path, *, companion: bool) -> NDArray[Any]:
    """A set of three planes in z, one a file, as Bio-Formats writes it."""
    pixels = noise(3, 16, 15)
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{z}" for z in range(3)]
    data = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1">'
        f'<UUID FileName="z{z}.ome.tif">{uuid}</UUID></TiffData>'
        for z, uuid in enumerate(uuids)
    )
    full = (
        f'<OME {SCHEMA} UUID="{{}}"><Image ID="Image:0"><Pixels ID="Pixels:0" Type="uint16" '
        'DimensionOrder="XYZCT" SizeX="15" SizeY="16" SizeZ="3" SizeC="1" SizeT="1" '
        'PhysicalSizeZ="2" PhysicalSizeZUnit="µm">'
        f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{data}</Pixels></Image></OME>'
    )
    link = (
        f'<OME {SCHEMA} UUID="{{}}"><BinaryOnly MetadataFile="set.companion.ome" UUID="x"/></OME>'
    )
    for z, uuid in enumerate(uuids):
        xml = (link if companion else full).format(uuid)
        # by their places alone, the pixels of the next file go on where those of the last end
        xml = xml.replace("</OME>", " " * z * pixels[z].nbytes + "</OME>")
        tifffile.imwrite(
            folder / f"z{z}.ome.tif",
            pixels[z],
            description=xml.encode(),
            metadata=None,
        )
    if companion:
        (folder / "set.companion.ome").write_text(full.format("urn:uuid:x"), encoding="utf-8")
    return pixels


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("companion", [False, True])
def test_ome_over_several_files_opens_by_any_of_them(
    tmp_path: Path, companion: bool, lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_module, "LAZY_BYTES", 1 if lazy else LAZY_BYTES)
    pixels = multi_file_ome(tmp_path, companion=companion)
    for name in ["z0.ome.tif", "z2.ome.tif"] + ["set.companion.ome"] * companion:
        image = read_image(tmp_path / name)
        assert image.axes == "ZYX"
        assert sizes(image)["Z"] == (2.0, "micrometer")
        assert isinstance(image.data, da.Array) is lazy
        np.testing.assert_array_equal(np.asarray(image.data), pixels)


@pytest.mark.parametrize("companion", [False, True])
def test_a_result_does_not_replace_another_file_of_the_set(tmp_path: Path, companion: bool) -> None:
    multi_file_ome(tmp_path, companion=companion)
    with pytest.raises(ConfigError, match=r"would replace .*z2\.ome\.tif, which is read"):
        of_images([tmp_path / "z0.ome.tif"], str(tmp_path / "z2.ome.tif"))
    (tmp_path / "other.ome.tif").touch()
    assert of_images([tmp_path / "z0.ome.tif"], str(tmp_path / "other.ome.tif"))


@pytest.mark.parametrize("companion", [False, True])
def test_a_set_that_lacks_a_file_is_refused(tmp_path: Path, companion: bool) -> None:
    multi_file_ome(tmp_path, companion=companion)
    (tmp_path / "z1.ome.tif").unlink()
    with pytest.raises(ImageFileError, match=r"lacks 1 of its 3 planes: .*the set into one folder"):
        read_image(tmp_path / "z0.ome.tif")


def test_a_set_that_lacks_its_companion_is_refused(tmp_path: Path) -> None:
    multi_file_ome(tmp_path, companion=True)
    (tmp_path / "set.companion.ome").unlink()
    with pytest.raises(ImageFileError, match=r"described in set.companion.ome, .*one folder"):
        read_image(tmp_path / "z0.ome.tif")


def positions(folder: Path, *, how: str, frames: int = 3) -> dict[str, NDArray[Any]]:
    """Two movies, one a file, described in both files, in the first, or beside them."""
    pixels = {"Pos0.ome.tif": noise(frames, 16, 15), "Pos1.ome.tif": noise(frames, 16, 15) + 200}
    uuids = {name: f"urn:uuid:00000000-0000-0000-0000-00000000000{name[3]}" for name in pixels}
    images = "".join(
        f'<Image ID="Image:{i}"><Pixels ID="Pixels:{i}" Type="uint16" DimensionOrder="XYZCT" '
        f'SizeX="15" SizeY="16" SizeZ="1" SizeC="1" SizeT="{frames}" PhysicalSizeX="{i + 1}">'
        f'<Channel ID="Channel:{i}:0" SamplesPerPixel="1"/><TiffData IFD="0" PlaneCount="{frames}">'
        f'<UUID FileName="{name}">{uuid}</UUID></TiffData></Pixels></Image>'
        for i, (name, uuid) in enumerate(uuids.items())
    )
    master = "Pos0.ome.tif" if how == "by the first" else "set.companion.ome"
    link = f'<BinaryOnly MetadataFile="{master}" UUID="urn:uuid:x"/>'
    for i, (name, uuid) in enumerate(uuids.items()):
        linked = how == "by a companion" or (how == "by the first" and i)
        space = " " * 1000 * i  # so that the pixels of the two lie at different places
        xml = f'<OME {SCHEMA} UUID="{uuid}">{link if linked else images}{space}</OME>'
        tifffile.imwrite(
            folder / name,
            pixels[name],
            photometric="minisblack",
            description=xml.encode(),
            metadata=None,
        )
    if how == "by a companion":
        xml = f'<OME {SCHEMA} UUID="urn:uuid:x">{images}</OME>'
        (folder / master).write_text(xml, encoding="utf-8")
    return pixels


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("frames", [1, 3])
@pytest.mark.parametrize("how", ["by all", "by the first", "by a companion"])
def test_of_several_images_that_of_the_named_file_is_read(
    tmp_path: Path,
    how: str,
    frames: int,
    lazy: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(tiff_module, "LAZY_BYTES", 1 if lazy else LAZY_BYTES)
    for size, (name, pixels) in enumerate(
        positions(tmp_path, how=how, frames=frames).items(), start=1
    ):
        image = read_image(tmp_path / name)
        assert image.axes == ("TYX" if frames > 1 else "YX")
        np.testing.assert_array_equal(np.asarray(image.data).reshape(pixels.shape), pixels)
        assert sizes(image)["X"] == (size, "micrometer")
        assert isinstance(image.data, np.memmap) is lazy
    assert not caplog.records


def test_a_companion_of_several_images_stands_for_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = positions(tmp_path, how="by a companion")["Pos0.ome.tif"]
    image = read_image(tmp_path / "set.companion.ome")
    np.testing.assert_array_equal(image.data, pixels)
    assert "holds 2 images; the first is read" in caplog.text


def test_a_file_of_a_set_whose_first_one_is_missing(tmp_path: Path) -> None:
    pixels = positions(tmp_path, how="by all")["Pos1.ome.tif"]
    (tmp_path / "Pos0.ome.tif").unlink()
    image = read_image(tmp_path / "Pos1.ome.tif")
    np.testing.assert_array_equal(image.data, pixels)
    assert sizes(image)["X"] == (2.0, "micrometer")


def test_a_file_that_its_metadata_do_not_mention_is_refused(tmp_path: Path) -> None:
    positions(tmp_path, how="by a companion")
    (tmp_path / "Pos1.ome.tif").rename(tmp_path / "cells.ome.tif")
    with pytest.raises(ImageFileError, match=r"not among the files .* give it back the name"):
        read_image(tmp_path / "cells.ome.tif")


# Plain TIFF


@pytest.mark.parametrize(
    ("resolution", "unit", "expected"),
    [
        ((20_000, 10_000), "CENTIMETER", {"Y": (1.0, "micrometer"), "X": (0.5, "micrometer")}),
        ((254_000, 254_000), "INCH", {"Y": (0.1, "micrometer"), "X": (0.1, "micrometer")}),
        ((72, 72), "INCH", {"Y": (1.0, "pixel"), "X": (1.0, "pixel")}),
        ((1200, 1200), "INCH", {"Y": (1.0, "pixel"), "X": (1.0, "pixel")}),
        ((118.11, 118.11), "CENTIMETER", {"Y": (1.0, "pixel"), "X": (1.0, "pixel")}),
        ((4, 4), "NONE", {"Y": (1.0, "pixel"), "X": (1.0, "pixel")}),
        ((0, 0), "CENTIMETER", {"Y": (1.0, "pixel"), "X": (1.0, "pixel")}),
    ],
)
def test_resolution_counts_where_it_is_no_printer_s(
    tmp_path: Path, resolution: tuple[float, float], unit: str, expected: Any
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise(16, 15), resolution=resolution, resolutionunit=unit, metadata=None
    )
    assert sizes(read_image(tmp_path / "a.tif")) == expected


def with_resolution(path: Path, dtype: str, count: int = 1, value: float = 0.0) -> NDArray[Any]:
    """Write an image whose resolution in pixels per centimetre is of another type than a ratio."""
    pixels = noise(16, 15)
    tifffile.imwrite(
        path, pixels, resolution=(1, 1), resolutionunit="CENTIMETER", metadata=None, byteorder="<"
    )
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tags = [file.pages.first.tags[code] for code in (282, 283)]
        kind, places = {"f": (11, [t.offset + 8 for t in tags]),
                        "d": (12, [t.valueoffset for t in tags])}[dtype]  # fmt: skip
    for tag, place in zip(tags, places, strict=True):
        struct.pack_into("<HI", content, tag.offset + 2, kind, count)
        struct.pack_into(f"<{dtype}", content, place, value)
    path.write_bytes(content)
    return pixels


@pytest.mark.parametrize("value", [20_000.0, math.nan, math.inf, 1e-35])
@pytest.mark.parametrize("dtype", ["f", "d"])
def test_a_resolution_may_be_a_plain_number(tmp_path: Path, dtype: str, value: float) -> None:
    pixels = with_resolution(tmp_path / "a.tif", dtype, value=value)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, pixels)
    known = (0.5, "micrometer") if value == 20_000 else (1.0, "pixel")
    assert sizes(image) == {"Y": known, "X": known}


def test_a_pixel_size_that_makes_no_sense_is_unknown(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pixels = with_resolution(tmp_path / "a.tif", "d", count=3)
    image = read_image(tmp_path / "a.tif")
    np.testing.assert_array_equal(image.data, pixels)
    assert sizes(image) == {"Y": (1.0, "pixel"), "X": (1.0, "pixel")}
    assert "its pixel size cannot be read" in caplog.text


LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "big-endian": {"byteorder": ">"},
    "BigTIFF": {"bigtiff": True},
    "tiled": {"tile": (16, 16)},
    "strips": {"rowsperstrip": 3},
    "deflate": {"compression": "zlib"},
    "deflate, big-endian": {"compression": "zlib", "byteorder": ">"},
    "LZW with predictor": {"compression": "lzw", "predictor": True},
    "zstd, tiled": {"compression": "zstd", "tile": (16, 16)},
}


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(tmp_path: Path, layout: str, lazy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "LAZY_BYTES", 1 if lazy else LAZY_BYTES)
    pixels = noise(3, 33, 35)
    options = LAYOUTS[layout]
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", **options)
    image = read_image(tmp_path / "a.tif")
    contiguous = layout in ("plain", "big-endian", "BigTIFF", "strips")
    kind = np.ndarray if not lazy else np.memmap if contiguous else da.Array
    assert type(image.data) is kind
    assert image.axes == "TYX"
    np.testing.assert_array_equal(np.asarray(image.data), pixels)
    np.testing.assert_array_equal(Stack.of(image).read(1, (slice(3, 20), slice(17, 35)))[0],
                                  pixels[1, 3:20, 17:35])  # fmt: skip


def test_a_lazy_file_is_closed_once_nobody_reads_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_module, "LAZY_BYTES", 1)
    tifffile.imwrite(tmp_path / "a.tif", noise(5, 33, 35), compression="zlib")
    closed = []
    close = tifffile.TiffFile.close
    monkeypatch.setattr(
        tifffile.TiffFile, "close", lambda self: (closed.append(self.filename), close(self))[1]
    )
    part = read_image(tmp_path / "a.tif").data[0]
    gc.collect()
    assert not closed
    part.compute()
    del part
    gc.collect()
    assert closed == ["a.tif"]


def test_a_large_image_is_read_by_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff_module, "LAZY_BYTES", 1)
    monkeypatch.setattr("napari_noise2self.io.lazy.CHUNK_BYTES", 4 * 64 * 64 * 2)
    tifffile.imwrite(tmp_path / "a.tif", noise(20, 64, 64), compression="zlib")
    data = read_image(tmp_path / "a.tif").data
    assert max(data.chunks[0]) <= 4
    assert data.chunks[1:] == ((64,), (64,))


def test_only_the_full_resolution_of_a_pyramid_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = noise(64, 64)
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        writer.write(pixels, subifds=1, tile=(32, 32), metadata={"axes": "YX"})
        writer.write(pixels[::2, ::2], subfiletype=1, tile=(32, 32))
    for limit in (LAZY_BYTES, 1):
        monkeypatch.setattr(tiff_module, "LAZY_BYTES", limit)
        np.testing.assert_array_equal(np.asarray(read_image(tmp_path / "a.ome.tif").data), pixels)


def test_planar_colour(tmp_path: Path) -> None:
    pixels = noise(3, 16, 15, dtype="uint8")
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="rgb", planarconfig="separate", metadata=None
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "CYX"
    np.testing.assert_array_equal(image.data, pixels)


@pytest.mark.parametrize("lazy", [False, True])
def test_alpha_is_left_out_where_it_is_constant(
    tmp_path: Path, lazy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiff_module, "LAZY_BYTES", 1 if lazy else LAZY_BYTES)
    pixels = noise(2, 16, 15, 4, dtype="uint8")
    options: dict[str, Any] = {"photometric": "rgb", "metadata": None}
    tifffile.imwrite(tmp_path / "data.tif", pixels, extrasamples=["unassalpha"], **options)
    assert read_image(tmp_path / "data.tif").data.shape == (2, 16, 15, 4)
    pixels[..., 3] = 255
    tifffile.imwrite(tmp_path / "opaque.tif", pixels, extrasamples=["unassalpha"], **options)
    image = read_image(tmp_path / "opaque.tif")
    assert image.axes == "TYXC"
    np.testing.assert_array_equal(np.asarray(image.data), pixels[..., :3])
    tifffile.imwrite(tmp_path / "fourth.tif", pixels, extrasamples=["unspecified"], **options)
    assert read_image(tmp_path / "fourth.tif").data.shape == (2, 16, 15, 4)


@pytest.mark.parametrize(
    ("shape", "axes"),
    [
        ((3, 16, 15), "TYX"),
        ((3, 2, 16, 15), "TCYX"),
        ((3, 2, 4, 16, 15), "TCZYX"),
        ((2, 3, 2, 4, 16, 15), "TYX"),  # too many to name: all are samples
    ],
)
def test_unnamed_axes_are_taken_as_those_of_a_bare_array(
    tmp_path: Path, shape: tuple[int, ...], axes: str
) -> None:
    pixels = noise(*shape)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack")
    image = read_image(tmp_path / "a.tif")
    assert image.axes == axes
    np.testing.assert_array_equal(image.data.reshape(shape), pixels)


@pytest.mark.parametrize(
    ("letters", "axes"),
    [("TRZYX", "TSZYX"), ("RZYX", "TZYX"), ("RTAYX", "TYX"), ("RAEYX", "TYX"), ("IRYX", "TSYX")],
)
def test_axes_of_other_instruments_are_samples(tmp_path: Path, letters: str, axes: str) -> None:
    pixels = noise(*range(2, len(letters)), 16, 15)
    tifffile.imwrite(
        tmp_path / "a.tif", pixels, photometric="minisblack", metadata={"axes": letters}
    )
    image = read_image(tmp_path / "a.tif")
    assert image.axes == axes
    assert image.data.size == pixels.size
    Stack.of(image)


def test_axes_overrule_the_file_and_keep_the_sizes_of_its_letters(tmp_path: Path) -> None:
    write_image(
        tmp_path / "a.tif", noise(3, 16, 15), axes="ZYX", scale=(2, 1, 1), units=("um",) * 3
    )
    image = read_image(tmp_path / "a.tif", axes="TYX")
    assert sizes(image) == {
        "T": (1.0, "pixel"), "Y": (1.0, "micrometer"), "X": (1.0, "micrometer")
    }  # fmt: skip
    with pytest.raises(ValueError, match="names 4 dimensions but the image has 3"):
        read_image(tmp_path / "a.tif", axes="TCYX")


def test_lossy_compression_and_further_images_are_mentioned(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(noise(16, 16, dtype="uint8"), compression="jpeg", metadata=None)
        writer.write(noise(32, 32), metadata=None)
    assert read_image(tmp_path / "a.tif").data.shape == (16, 16)
    assert "holds 2 images; the first is read" in caplog.text
    assert "compressed with loss" in caplog.text


# Damage


def page_by_page(path: Path) -> list[int]:
    """Write four pages, each behind its header; return where the headers begin."""
    with tifffile.TiffWriter(path) as writer:
        for plane in noise(4, 16, 16):
            writer.write(plane, metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as file:
        return [page.offset for page in file.pages]


@pytest.mark.parametrize("cut", ["within pixels", "before a header", "within a header"])
def test_a_truncated_stack_is_refused_not_shortened(tmp_path: Path, cut: str) -> None:
    path = tmp_path / "a.tif"
    last = page_by_page(path)[-1]
    end = {"within pixels": last + 300, "before a header": last, "within a header": last + 3}[cut]
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(ImageFileError, match="truncated"):
        read_image(path)


@pytest.mark.parametrize(
    ("name", "share"),
    [("a.tif", 0.02), ("a.tif", 0.5), ("a.tif", 0.9), ("a.ome.tif", 0.5), ("a.ome.tif", 0.99)],
)
def test_what_we_write_is_refused_when_truncated(tmp_path: Path, name: str, share: float) -> None:
    path = tmp_path / name
    write_image(path, noise(4, 64, 64), axes="ZYX")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ImageFileError, match=r"truncated|damaged"):
        read_image(path)


def test_compressed_data_that_do_not_decode_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, noise(32, 32), compression="zlib", metadata=None)
    content = bytearray(path.read_bytes())
    content[-200:-100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ImageFileError, match=r"cannot be read as .tif .*damaged"):
        read_image(path)


def test_complaints_of_the_reader_are_passed_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tifffile.imwrite(
        tmp_path / "a.tif", noise(16, 16), metadata=None,
        description="ImageJ=1.54f\nimages=1\norder=xyz\n",
    )  # fmt: skip
    with caplog.at_level(logging.WARNING, "napari_noise2self"):
        read_image(tmp_path / "a.tif")
    assert "unknown order" in caplog.text


# Writing


def test_imagej_is_preferred_and_shows_channels_as_a_composite(tmp_path: Path) -> None:
    write_image(tmp_path / "a.tif", noise(3, 2, 16, 15), axes="ZCYX")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert file.is_imagej
        assert file.series[0].axes == "ZCYX"
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["mode"] == "composite"


@pytest.mark.parametrize("reason", ["name", "dtype", "size", "pixel size"])
def test_ome_is_written_where_imagej_cannot_hold_the_image(
    tmp_path: Path, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ("a.ome.tif" if reason == "name" else "a.tif")
    if reason == "size":
        monkeypatch.setattr(tiff_module, "CLASSIC_BYTES", 1000)
    scale = (1e-8, 1e-8) if reason == "pixel size" else None
    units = ("m", "m") if reason == "pixel size" else None
    dtype = "int16" if reason == "dtype" else "uint16"
    write_image(path, noise(32, 32), axes="YX", scale=scale, units=units, dtype=dtype)
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert not file.is_imagej
        assert file.is_bigtiff is (reason == "size")
    assert read_image(path).scale == (scale or (1.0, 1.0))


def test_8_bit_colour_stays_colour(tmp_path: Path) -> None:
    pixels = noise(16, 15, 3, dtype="uint8")
    for name in ("a.tif", "a.ome.tif"):
        write_image(tmp_path / name, pixels, axes="YXC")
        with tifffile.TiffFile(tmp_path / name) as file:
            assert file.pages.first.photometric == tifffile.PHOTOMETRIC.RGB
        image = read_image(tmp_path / name)
        assert image.axes == "YXC"
        np.testing.assert_array_equal(image.data, pixels)


def test_samples_are_counted_as_time_points(tmp_path: Path) -> None:
    pixels = noise(3, 2, 16, 15)
    write_image(tmp_path / "a.tif", pixels, axes="STYX", scale=(1, 5, 1, 1),
                units=("pixel", "s", "um", "um"))  # fmt: skip
    image = read_image(tmp_path / "a.tif")
    assert image.axes == "TYX"
    np.testing.assert_array_equal(image.data, pixels.transpose(1, 0, 2, 3).reshape(6, 16, 15))
    assert sizes(image)["T"] == (1.0, "pixel")


# Real files


@pytest.mark.skipif(not REAL, reason="no folder of real files; NOISE2SELF_DATA names one")
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_files(path: Path, lazy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    eager = read_image(path)
    monkeypatch.setattr(tiff_module, "LAZY_BYTES", 1 if lazy else LAZY_BYTES)
    image = read_image(path)
    assert image.axes is not None
    assert len(image.axes) == image.data.ndim == len(sizes(image))
    assert isinstance(image.data, np.memmap | da.Array) is lazy
    np.testing.assert_array_equal(np.asarray(image.data), eager.data)
    if image.data.dtype != bool:
        Stack.of(image).read(0)


@pytest.mark.skipif(not REAL, reason="no folder of real files; NOISE2SELF_DATA names one")
@pytest.mark.parametrize(
    ("name", "axes", "expected"),
    [
        ("neubias/xyzc_16bit__dna_conf_wf.tif", "ZCYX", {"Z": 0.4994, "Y": 0.5119}),
        ("neubias/xyz_8bit__chromosomes.tif", "ZYX", {"Z": 0.15, "X": 0.03385}),
        ("neubias/xyt_calibrated_16bit__golgi_bfa_sum_projection.tif", "TYX", {"T": 59.86}),
        ("bia/hela-cells.tif", "YXC", {"X": 0.05149}),
        ("bia/cancer_cell_migration_crop.tif", "TYX", {}),
        ("calcium/sima_example.tif", "TYX", {"X": 1.0}),
        ("io_viv/multi-channel.ome.tif", "CYX", {}),
        ("io_viv/avivator/multifile-Z3.ome.tiff", "ZYX", {}),
        ("io_pillow/tiff_tiled_planar_16bit_RGB.tiff", "CYX", {}),
        ("io_pillow/hopper_bigtiff.tif", "YXC", {}),
    ],
)
def test_what_real_files_say(name: str, axes: str, expected: dict[str, float]) -> None:
    image = read_image(DATA / name)
    assert image.axes == axes
    assert {a: sizes(image)[a][0] for a in expected} == pytest.approx(expected, rel=1e-3)
