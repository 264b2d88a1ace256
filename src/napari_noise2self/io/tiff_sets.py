"""An OME-TIFF may be one file of a set, which holds several images and one description of them."""

from __future__ import annotations

import os
from pathlib import Path
from xml.etree import ElementTree

import tifffile

from ..core.errors import ImageFileError


def open_set(path: Path) -> tifffile.TiffFile:
    """Open a TIFF file together with its OME metadata, which another file may hold."""
    if path.suffix.lower() == ".ome":
        xml = path.read_text(encoding="utf-8")
        part = ElementTree.fromstring(xml).find("{*}Image/{*}Pixels/{*}TiffData/{*}UUID")
        if part is None:
            raise ImageFileError(f"{path} names no TIFF file; open the TIFF file itself")
        return tifffile.TiffFile(path.parent / Path(part.get("FileName", "")).name, omexml=xml)
    tiff = tifffile.TiffFile(path)
    if not (tiff.is_ome and tiff.ome_metadata):
        return tiff
    link = ElementTree.fromstring(tiff.ome_metadata).find("{*}BinaryOnly")
    if link is None:
        return tiff
    tiff.close()
    master = path.parent / Path(link.get("MetadataFile", "")).name
    if master == path or not master.is_file():
        raise ImageFileError(
            f"{path} is one file of a set described in {master.name}, which is not beside it; "
            "put the whole set into one folder"
        )
    return open_set(master)


def files_in(path: Path) -> set[Path]:
    """Return the files of the set that `path` is one of; itself alone where there is no set."""
    with open_set(path) as tiff:
        pages = (page for series in tiff.series for page in series.pages if page is not None)
        return {path, *(Path(page.parent.filehandle.path) for page in pages)}


def images_in(tiff: tifffile.TiffFile, path: Path) -> list[tifffile.TiffPageSeries]:
    """Return those images of the set that have pixels in the file `path`.

    A companion has none: what it describes are all images of the set.

    Raises
    ------
    ImageFileError
        If the metadata speak of other files only.
    """
    for series in tiff.series:
        if series.is_multifile:  # tifffile compares the places of pixels, but not their files
            series.dataoffset = None
    if path.suffix.lower() == ".ome":
        return list(tiff.series)
    there = [s for s in tiff.series if s.kind != "ome" or _has_pixels_in(s, path)]
    if tiff.series and not there:
        raise ImageFileError(
            f"{path} is not among the files that its metadata describe; give it back the name "
            "that it was saved with, or open another file of the set"
        )
    return there


def _has_pixels_in(series: tifffile.TiffPageSeries, path: Path) -> bool:
    files = {page.parent.filehandle.path for page in series.pages if page is not None}
    return any(os.path.samefile(file, path) for file in files)


def ome_image(
    tiff: tifffile.TiffFile, series: tifffile.TiffPageSeries
) -> ElementTree.Element | None:
    """Return the Image of the OME-XML that describes `series`, None if there is none.

    It is the one that names the first page of the series. Counting does not find it:
    tifffile leaves out an Image whose files are missing.
    """
    root = ElementTree.fromstring(tiff.ome_metadata or "")
    images = root.findall("{*}Image")
    if len(images) == 1:
        return images[0]
    page = next(page for page in series.pages if page is not None)
    for image in images:
        for data in image.findall("{*}Pixels/{*}TiffData"):
            file = data.find("{*}UUID")
            if file is None or file.text == root.get("UUID"):
                here = page.parent is tiff
            else:
                here = page.parent.filename.lower() == Path(file.get("FileName", "")).name.lower()
            first = int(data.get("IFD", 0))
            planes = data.get("PlaneCount", data.get("NumPlanes", 1 if "IFD" in data.attrib else 0))
            # without a count all pages from the first on
            if here and first <= page.index < first + (int(planes) or page.index + 1):
                return image
    return None
