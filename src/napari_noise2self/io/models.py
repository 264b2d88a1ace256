"""A model is one safetensors file: the weights, and a JSON header that says what they are.

A calibrated filter is a header without weights. The header lies in the metadata
of the safetensors format, under one key, beside a checksum of itself and of all
tensors. Reading parses and compares; nothing in a file is executed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from .. import __version__
from ..core.errors import ModelFileError
from .files import check_name, check_target, replacing

if TYPE_CHECKING:
    import torch

FORMAT = "napari-noise2self"
FORMAT_VERSION = 3
"""Raised when a file is written that earlier versions cannot use."""
OLDEST_NETWORK = 3
"""Oldest format whose networks are built as ours are: a U-Net had a wider second level before."""

KINDS = {
    "network": "a network, which api.Denoiser.load reads and the dock Denoise",
    "calibration": "a calibrated filter, which api.read_calibration reads and the dock Calibrate",
}
"""What a file can hold."""

_CHECKSUM = "sha256"
_LARGEST_HEADER = 100_000_000  # the limit of the safetensors format itself
_FOREIGN = {
    b"PK": "a PyTorch or zip file (.pt, .pth, .ckpt), which can carry code",
    b"\x80": "a pickle (.pt, .pkl), which can carry code",
    b"\x89HDF": "an HDF5 file (.h5, .keras)",
}
_ANOTHER = "choose a .safetensors file that napari-noise2self saved"
_AGAIN = "copy it again from its source, or train again"


def write_model(
    path: str | os.PathLike[str], tensors: Mapping[str, torch.Tensor], header: Mapping[str, Any]
) -> None:
    """Write a model file; it appears whole or not at all.

    Parameters
    ----------
    path
        File to write; an older one is replaced.
    tensors
        Weights by name, on any device.
    header
        What the weights belong to, in values that JSON knows, ``"kind"`` (see
        `KINDS`) among them. ``"format"``, ``"format_version"`` and
        ``"package_version"`` are added.

    Raises
    ------
    ModelFileError
        If the file cannot be written, or the header has what JSON cannot hold.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> folder = tempfile.TemporaryDirectory()
    >>> path = Path(folder.name) / "model.safetensors"
    >>> write_model(path, {"weight": torch.ones(3)}, {"axes": "YX"})
    >>> tensors, header = read_model(path)
    >>> tensors["weight"].sum().item(), header["axes"], header["format_version"]
    (3.0, 'YX', 3)
    >>> folder.cleanup()
    """
    import torch
    from safetensors.torch import save

    # a copy of its own for each: safetensors refuses tensors that share memory
    plain = {
        name: tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    _write(Path(path), header, partial(save, plain))


def write_header(path: str | os.PathLike[str], header: Mapping[str, Any]) -> None:
    """Write a model file without weights, and without torch; for the rest see `write_model`."""
    from safetensors.numpy import save

    _write(Path(path), header, partial(save, {}))


def _write(path: Path, header: Mapping[str, Any], save: Callable[..., bytes]) -> None:
    """Write what `save` returns, with the header and a checksum in its metadata."""
    complete = {
        **header,
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "package_version": __version__,
    }
    try:
        text = json.dumps(complete, allow_nan=False)
    except (TypeError, ValueError) as reason:
        raise ModelFileError(
            f"the header of {path} cannot be written as JSON ({reason}); "
            "use plain numbers, strings, lists and dictionaries, and None for NaN"
        ) from reason
    bare = save()
    begin = 8 + int.from_bytes(bare[:8], "little")
    checksum = _digest(text, json.loads(bare[8:begin]), memoryview(bare)[begin:])
    with replacing(path, ModelFileError) as part:
        part.write_bytes(save(metadata={FORMAT: text, _CHECKSUM: checksum}))


def read_model(path: str | os.PathLike[str]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Read the weights, on the CPU, and the header of a network's file.

    Raises
    ------
    ModelFileError
        If the file is missing, no model, truncated, altered or of a newer format, or
        holds a calibrated filter.

    See Also
    --------
    read_header : the header alone, without torch.
    write_model : with an example.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content, header = _verified(Path(path), "network")
    try:
        return load(content), header
    except SafetensorError as reason:
        raise ModelFileError(f"{path} is no safetensors file ({reason}); {_ANOTHER}") from reason


def read_verified_header(path: str | os.PathLike[str], kind: str) -> dict[str, Any]:
    """Read the header of a model file of that kind, unaltered, without torch.

    Raises
    ------
    ModelFileError
        As `read_model`.
    """
    return _verified(Path(path), kind)[1]


def kind_of(header: Mapping[str, Any]) -> str:
    """Return what the file of a header holds, see `KINDS`."""
    return str(header.get("kind", "network"))


def _verified(path: Path, kind: str) -> tuple[bytes, dict[str, Any]]:
    """Return content and header of a file, having compared its kind and its checksum."""
    with _opened(path) as file:
        preamble = _read_preamble(path, file)
        file.seek(0)
        content = file.read()
    found = kind_of(preamble.header)
    if found != kind:
        raise ModelFileError(f"{path} holds {KINDS.get(found, repr(found))}; choose another file")
    buffer = memoryview(content)[preamble.begin :]
    if _digest(preamble.text, preamble.table, buffer) != preamble.checksum:
        raise ModelFileError(
            f"{path} was altered after it was saved: its checksum does not fit; {_AGAIN}"
        )
    return content, preamble.header


def read_header(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the header of a model file, without its weights and without torch.

    Raises
    ------
    ModelFileError
        If the file is missing, no model, truncated or of a newer format.

    Examples
    --------
    >>> read_header("missing.safetensors")
    Traceback (most recent call last):
    napari_noise2self.core.errors.ModelFileError: missing.safetensors does not exist; ...
    """
    path = Path(path)
    with _opened(path) as file:
        return _read_preamble(path, file).header


def check_model_target(path: str | os.PathLike[str]) -> None:
    """Raise ModelFileError unless a model could be saved at `path` now; leave nothing behind."""
    check_target(Path(path), ModelFileError)


def _opened(path: Path) -> BinaryIO:
    check_name(path, ModelFileError)
    if not path.exists():
        raise ModelFileError(f"{path} does not exist; check the folder and the spelling")
    if path.is_dir():
        raise ModelFileError(f"{path} is a folder; {_ANOTHER}")
    try:
        return path.open("rb")
    except OSError as reason:
        raise ModelFileError(
            f"{path} cannot be opened ({reason.strerror}); change its permissions"
        ) from reason


@dataclass(frozen=True)
class _Preamble:
    """What stands before the tensors.

    Attributes
    ----------
    header
        Ours, parsed and checked.
    text
        The same as it stands in the file.
    checksum
        Of `text` and the tensors, as the file states it.
    table
        For each tensor its dtype, shape and place.
    begin
        Where the tensors begin.
    """

    header: dict[str, Any]
    text: str
    checksum: str | None
    table: dict[str, Any]
    begin: int


def _read_preamble(path: Path, file: BinaryIO) -> _Preamble:
    size = os.fstat(file.fileno()).st_size
    if size == 0:
        raise ModelFileError(f"{path} is empty (0 bytes); {_AGAIN}")
    start = file.read(9)
    length = int.from_bytes(start[:8], "little")
    if len(start) < 9 or start[8:] != b"{" or length > _LARGEST_HEADER:
        what = next((w for sign, w in _FOREIGN.items() if start.startswith(sign)), "another file")
        raise ModelFileError(f"{path} is {what}, not a safetensors file; {_ANOTHER}")
    if 8 + length > size:
        raise _truncated(path, 8 + length - size)
    file.seek(8)
    table = _parsed(path, file.read(length))
    ends = [_end(path, entry) for name, entry in table.items() if name != "__metadata__"]
    metadata = table.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not isinstance(metadata.get(FORMAT), str):
        raise ModelFileError(
            f"{path} is a safetensors file, but not a model of napari-noise2self; {_ANOTHER}"
        )
    text = metadata[FORMAT]
    header = _parsed(path, text)
    _check_version(path, header)
    expected = 8 + length + max(ends, default=0)
    if size < expected:
        raise _truncated(path, expected - size)
    if size > expected:
        raise ModelFileError(f"{path} has {size - expected} bytes too many: altered; {_AGAIN}")
    return _Preamble(header, text, metadata.get(_CHECKSUM), table, 8 + length)


def _parsed(path: Path, text: str | bytes) -> dict[str, Any]:
    try:
        value = json.loads(text, parse_constant=_finite, parse_float=_finite)
    except (ValueError, RecursionError) as reason:
        raise ModelFileError(f"{path} has a damaged header ({reason}); {_AGAIN}") from reason
    if not isinstance(value, dict):
        raise ModelFileError(f"{path} has a damaged header (no dictionary); {_AGAIN}")
    return value


def _finite(text: str) -> float:
    """Read a number; we write neither NaN nor what is too large for a float."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"the number {text}")
    return number


def _end(path: Path, entry: Any) -> int:
    """Return where a tensor ends, having looked at its entry in the table."""
    match entry:
        case {"dtype": str(), "shape": [*_], "data_offsets": [int(first), int(last)]}:
            if 0 <= first <= last:
                return last
    raise ModelFileError(f"{path} has a damaged table of tensors ({entry!r:.80}); {_AGAIN}")


def _check_version(path: Path, header: Mapping[str, Any]) -> None:
    for name, kind in (("format", str), ("format_version", int), ("package_version", str)):
        if type(header.get(name)) is not kind:
            given = f"has {name}={header[name]!r}" if name in header else f"lacks {name}"
            raise ModelFileError(
                f"{path}: the header {given}; expected {name} of type {kind.__name__}; {_AGAIN}"
            )
    if header["format"] != FORMAT:
        raise ModelFileError(f"{path} is of format {header['format']!r}; {_ANOTHER}")
    if header["format_version"] > FORMAT_VERSION:
        raise ModelFileError(
            f"{path} is of format {header['format_version']}, saved by napari-noise2self "
            f"{header['package_version']}; this version reads up to {FORMAT_VERSION}: "
            "upgrade napari-noise2self"
        )
    if kind_of(header) == "network" and header["format_version"] < OLDEST_NETWORK:
        raise ModelFileError(
            f"{path} is of format {header['format_version']}, saved by napari-noise2self "
            f"{header['package_version']}, whose networks were built in another way; train again"
        )


def _truncated(path: Path, missing: int) -> ModelFileError:
    return ModelFileError(f"{path} is truncated: {missing} bytes are missing; {_AGAIN}")


def _digest(text: str, table: Mapping[str, Any], buffer: memoryview) -> str:
    """Return the SHA-256 of the header and of every tensor with its name, dtype and shape."""
    digest = hashlib.sha256(text.encode())
    for name, entry in sorted(table.items()):
        first, last = entry["data_offsets"]
        digest.update(json.dumps([name, entry["dtype"], entry["shape"]]).encode())
        digest.update(buffer[first:last])
    return digest.hexdigest()
