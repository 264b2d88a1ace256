"""An OME-TIFF may be one file of a set, whose metadata another file holds."""

from __future__ import annotations

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
