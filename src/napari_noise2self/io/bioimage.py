"""Models for other programs: a BioImage.IO package, which Fiji, QuPath and others run.

Written, never read: what is in a package is code, and loading a model executes nothing here.
"""

from __future__ import annotations

import copy
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import __version__
from ..core.config import Progress, sizes_in_words
from ..core.errors import ConfigError, ModelFileError
from .files import check_target, replacing

if TYPE_CHECKING:
    from ..core.model import Model

ROOM = {"z": 8, "y": 32, "x": 32}
"""Pixels of a tile, at least, that lie farther from its border than a result looks."""

SMALL = 32
"""Pixels, at least, of the edge of the image on which the network is recorded."""

FORMAT_VERSION = "0.5.0"
"""Of the description as it stands here; what writes it says which it makes of it."""

NOISY, DENOISED, NETWORK, DOCUMENTATION = "noisy.npy", "denoised.npy", "network.pt", "README.md"
"""The files in a package."""

PAPER = "Batson and Royer: Noise2Self: Blind denoising by self-supervision. ICML 2019."
PAPER_DOI = "10.48550/arXiv.1901.11365"

LONGEST_NAME = 128

_INSTALL = 'install it: pip install "napari-noise2self[bioimageio]"'


def check_package(path: Path) -> None:
    """Raise now what `write_bioimageio_iter` would about its file and what it is written with.

    Raises
    ------
    ConfigError
        If the file is no ``.zip``, or the package bioimageio.spec is missing.
    ModelFileError
        If the file cannot be written.
    """
    from importlib.util import find_spec

    if path.suffix.lower() != ".zip":
        raise ConfigError(
            f"{path}: a BioImage.IO package is a .zip file; write for example "
            f"{path.with_suffix('.zip').name}"
        )
    if find_spec("bioimageio") is None or find_spec("bioimageio.spec") is None:
        raise ConfigError(f"a BioImage.IO package is written by bioimageio.spec; {_INSTALL}")
    check_target(path, ModelFileError)


def write_bioimageio_iter(
    path: str | os.PathLike[str],
    model: Model,
    *,
    name: str | None = None,
    authors: Sequence[str] = (),
    license: str | None = None,
) -> Iterator[Progress]:
    """Write a trained model as a BioImage.IO package; it appears whole or not at all.

    Parameters, and what is in it, as of `Denoiser.export`.

    Yields
    ------
    Progress
        ``stage="export"``, while the test is predicted; nothing is written before.

    Raises
    ------
    NotTrainedError
        If the model has not trained yet.
    ConfigError
        As `check_package` does, or if name, authors or license are not what the format allows.
    ModelFileError
        If the file cannot be written, or the recorded network does not give the model's result.
    """
    path = Path(path)
    check_package(path)
    from ..core.prediction import predict_iter

    script = _recorded(model)
    sizes, halo = _geometry(model)
    example = _example(model, [low for low, _ in sizes])
    exact = copy.copy(model)
    exact.config = replace(model.config, precision="float32", device="cpu")
    axes = f"C{_letters(model).upper()}"
    # in one piece: it is hardly larger than what a tile would have to read
    for event in predict_iter(exact, example[0], axes, tile=example.shape[2:]):
        if event.result is None:
            yield replace(event, stage="export", notice=None)
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # some files may still be open
        made = Path(folder)
        np.save(made / NOISY, example)
        np.save(made / DENOISED, event.result[None])
        script.save(str(made / NETWORK))
        (made / DOCUMENTATION).write_text(_documentation(model), encoding="utf-8")
        description = _description(model, sizes, halo) | {
            "name": _name(model) if name is None else name,
            "authors": [{"name": author} for author in authors],
            "license": license,
        }
        package = _packed(made, description, path.name)
    with replacing(path, ModelFileError) as part:
        part.write_bytes(package)
    yield replace(event, stage="export", notice=None, tile=None, result=path)


def _recorded(model: Model) -> Any:
    """Record the network, and see that it gives the same on an image of another size."""
    import torch

    from ..core.whole import WholeImage, recorded

    whole = WholeImage(model)
    steps = whole.network.divisor
    small = [-(-SMALL // step) * step for step in steps]
    script = recorded(whole, torch.from_numpy(_example(model, small)))
    larger = torch.from_numpy(
        _example(model, [n + step for n, step in zip(small, steps, strict=True)])
    )
    with torch.no_grad():
        again, expected = script(larger), whole(larger)
    if not torch.allclose(again, expected, rtol=1e-3, atol=1e-3 * max(model.normalization.std)):
        raise ModelFileError(
            "the network as it was recorded does not give the model's result, as it would have to; "
            "this is a fault of napari-noise2self, please report it"
        )
    return script


def _packed(folder: Path, description: Mapping[str, Any], name: str) -> bytes:
    """Return the package of the files in a folder.

    In memory, since the library may leave open what it writes to.
    """
    from bioimageio.spec import (
        InvalidDescr,
        ValidationContext,
        build_description,
        save_bioimageio_package_to_stream,
    )

    found = build_description(description, context=ValidationContext(root=folder))
    if isinstance(found, InvalidDescr):
        wrong = {f"{e.loc[0]}: {e.msg}" for e in found.validation_summary.errors if e.loc}
        raise ConfigError(f"{name} cannot be described so: {'; '.join(sorted(wrong))}")
    package = BytesIO()
    save_bioimageio_package_to_stream(found, output_stream=package)
    return package.getvalue()


def _letters(model: Model) -> str:
    """Return the spatial axes as the format calls them."""
    return "zyx"[-model.ndim :]


def _geometry(model: Model) -> tuple[list[tuple[int, int]], list[int]]:
    """Return the smallest size and the step between sizes along each axis, and the halo."""
    from ..core.prediction import reach

    network: Any = model.network
    halo = [-(-r // d) * d for r, d in zip(reach(model, "best"), network.divisor, strict=True)]
    sizes = [
        (math.ceil((2 * h + ROOM[a]) / d) * d, d)
        for a, h, d in zip(_letters(model), halo, network.divisor, strict=True)
    ]
    return sizes, halo


def _example(model: Model, extent: Sequence[int]) -> np.ndarray:
    """Return noise of the model's mean and standard deviation, float32 of (1, C, *extent)."""
    statistics = model.normalization.mean, model.normalization.std
    mean, std = (np.reshape(s, (1, -1, *(1,) * len(extent))) for s in statistics)
    drawn = np.random.default_rng(0).normal(size=(1, model.channels, *extent))
    return np.asarray(mean + std * drawn, np.float32)


def _name(model: Model) -> str:
    """Name a model after its image, in the letters that the format allows."""
    named, has_name, _ = model.record.image.partition(":")
    image = re.sub(r"[^\w+() -]+", " ", named, flags=re.ASCII).strip()
    return f"Noise2Self denoiser of {image if has_name and image else 'an image'}"[:LONGEST_NAME]


def _description(
    model: Model, sizes: Sequence[tuple[int, int]], halo: Sequence[int]
) -> dict[str, Any]:
    """Return what the package says of itself, in the terms of the format."""
    import torch

    letters = _letters(model)
    first = [
        {"type": "batch"},
        {"type": "channel", "channel_names": [f"channel{n}" for n in range(model.channels)]},
    ]
    into = [
        {"type": "space", "id": a, "size": {"min": low, "step": step}}
        for a, (low, step) in zip(letters, sizes, strict=True)
    ]
    out_of = [
        {"type": "space", "id": a, "halo": h, "size": {"tensor_id": "noisy", "axis_id": a}}
        for a, h in zip(letters, halo, strict=True)
    ]
    return {
        "type": "model",
        "format_version": FORMAT_VERSION,
        "description": "Denoises images like the one that it was trained on, and on that alone.",
        "cite": [{"text": PAPER, "doi": PAPER_DOI}],
        "documentation": DOCUMENTATION,
        "tags": ["denoising", "self-supervised", "noise2self", "pytorch", f"{model.ndim}d"],
        "inputs": [
            {
                "id": "noisy",
                "description": "The noisy image, with intensities as they are.",
                "axes": [*first, *into],
                "test_tensor": {"source": NOISY},
            }
        ],
        "outputs": [
            {
                "id": "denoised",
                "description": "The denoised image, in the units of the noisy one.",
                "axes": [*first, *out_of],
                "test_tensor": {"source": DENOISED},
            }
        ],
        "weights": {
            "torchscript": {
                "source": NETWORK,
                "pytorch_version": torch.__version__.partition("+")[0],
            }
        },
    }


def _documentation(model: Model) -> str:
    record = model.record
    alone = ""
    if model.context:
        alone = (
            "\n\nIn napari-noise2self this model sees neighbouring frames or planes as well. Here "
            "it takes each image for the only one, and denoises it less well."
        )
    return f"""# Noise2Self denoiser

Trained by napari-noise2self {__version__} on one noisy image, without clean ones: {record.image}.
{record.steps} steps, a hole of {sizes_in_words(model.footprint)} pixels; {record.noise}.

Give it images of the same kind, with intensities as they are: it normalizes them by the statistics
of the image that it was trained on, and gives the result back in the units of the image.{alone}

# Validation

The loss on pixels of the image that were held out is {record.validation_loss:.4g}, where an average
of the neighbours has {record.baseline_loss:.4g} (in units of the image's variance; both hold the
noise of the pixel that is predicted). Look at what was taken away: the difference of the noisy and
the denoised image should show noise alone.
"""
