"""The options of the command line: what they are called, what they say, what they mean.

Their defaults are those of `TrainingConfig`; None stands for "not given".
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from ..core.config import LIMITS, PRESETS, FamilyName, MethodName, Output, TrainingConfig
from ..core.errors import ConfigError

PixelType = Literal["same", "float32", "uint8", "uint16"]

_DEFAULT = TrainingConfig()
_STEPS = ", ".join(f"{name} {TrainingConfig.preset(name).steps}" for name in PRESETS)
_PRESET = next(name for name in PRESETS if TrainingConfig.preset(name) == _DEFAULT)

_TRAINING, _RESULT, _SCREEN = "Training", "Result", "Screen"

OneImage = Annotated[
    Path,
    typer.Argument(
        metavar="IMAGE",
        help="Noisy image: TIFF, OME-Zarr, .npy, PNG.",
        show_default=False,
    ),
]
Images = Annotated[
    list[Path],
    typer.Argument(
        metavar="IMAGE",
        help="Noisy images: TIFF, OME-Zarr, .npy, PNG.",
        show_default=False,
    ),
]
Axes = Annotated[
    str | None,
    typer.Option(
        metavar="LETTERS",
        help="What each dimension is, in order: T time, S samples, C channels, Z, Y, X; "
        "for example TCYX.",
        show_default="from the file, else from the shape",
    ),
]
FillNan = Annotated[
    bool,
    typer.Option("--fill-nan", help="Replace pixels that are NaN or infinite by their neighbours."),
]
Preset = Annotated[
    str | None,
    typer.Option(
        metavar="|".join(PRESETS),
        help="How long to train: fast for a first look, balanced for most images, best for "
        "stacks and movies.",
        show_default=_PRESET,
        rich_help_panel=_TRAINING,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Training steps; fewer are made if the result stops getting better.",
        show_default=f"the preset's: {_STEPS}",
        rich_help_panel=_TRAINING,
    ),
]
TimeLimit = Annotated[
    float | None,
    typer.Option(
        metavar="SECONDS",
        help="Stop training after this time, whatever the steps.",
        show_default="no limit",
        rich_help_panel=_TRAINING,
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        min=LIMITS["seed"][0],
        help="Start of the random numbers: the same seed gives the same result.",
        show_default=str(_DEFAULT.seed),
        rich_help_panel=_TRAINING,
    ),
]
Footprint = Annotated[
    str | None,
    typer.Option(
        metavar="SIZES",
        help="Hole that hides a pixel, odd sizes along (Z,) Y, X: 1x1 if the noise differs from "
        "pixel to pixel, 5x5 if it comes in blobs, 1x9 if in horizontal streaks.",
        show_default="measured on the noise",
        rich_help_panel=_TRAINING,
    ),
]
Context = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Frames (or planes of a z-stack) before and after it that the network sees when it "
        "denoises one.",
        show_default="2, or 0 where neighbours share noise",
        rich_help_panel=_TRAINING,
    ),
]
Dimensions = Annotated[
    int | None,
    typer.Option(
        metavar="2|3",
        help="Of the network: 2 denoises a z-stack plane by plane, 3 as a volume, which takes "
        "several times as long.",
        show_default="2, or as many as --footprint has",
        rich_help_panel=_TRAINING,
    ),
]
NoiseModel = Annotated[
    bool,
    typer.Option(
        "--noise-model/--no-noise-model",
        help="Use the measured noise level where it is sure, so that each pixel's own value counts "
        "for as much as it should; else hide pixels, and nothing else.",
        rich_help_panel=_TRAINING,
    ),
]
Target = Annotated[
    Path | None,
    typer.Option(
        metavar="IMAGE",
        help="Second image of the same scene, to train against.",
        show_default="none is needed",
        rich_help_panel=_TRAINING,
    ),
]
Method = Annotated[
    MethodName | None,
    typer.Option(
        help="noise2self learns from the image alone, noise2noise from a --target that is noisy "
        "as well, noise2clean from a clean one.",
        show_default="noise2self; with --target noise2noise",
        rich_help_panel=_TRAINING,
    ),
]
Family = Annotated[
    FamilyName,
    typer.Option(
        help="Kind of denoiser: nlm is non-local means, tv total variation; bm3d needs the "
        "package bm3d.",
    ),
]
Device = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Where to compute: cpu, cuda, cuda:1, mps.",
        show_default="the fastest there is",
    ),
]
_OUTPUTS = (
    "best: the finest result. j-invariant: each pixel estimated without looking at it, "
    "for statistics that ask for it."
)
OutputKind = Annotated[Output, typer.Option(help=_OUTPUTS, rich_help_panel=_RESULT)]
NetworkOutputKind = Annotated[
    Literal["best", "j-invariant", "disagreement"],
    typer.Option(
        "--output-kind",
        help=f"{_OUTPUTS} disagreement: no image, but by how much three such estimates differ.",
        rich_help_panel=_RESULT,
    ),
]
DType = Annotated[
    PixelType,
    typer.Option(
        help="Pixel type of the result; whole numbers are rounded and clipped. "
        "same: that of the image.",
        rich_help_panel=_RESULT,
    ),
]
Json = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON object on standard output, for scripts.",
        rich_help_panel=_SCREEN,
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet", "-q", help="Show nothing but errors (and --json).", rich_help_panel=_SCREEN
    ),
]
Debug = Annotated[
    bool,
    typer.Option("--debug", help="Show where an error comes from.", rich_help_panel=_SCREEN),
]


def training_config(
    *,
    preset: str | None = None,
    steps: int | None = None,
    time_limit: float | None = None,
    seed: int | None = None,
    footprint: str | None = None,
    context: int | None = None,
    dimensions: int | None = None,
    noise_model: bool = True,
    device: str | None = None,
    target: Path | None = None,
    method: MethodName | None = None,
) -> TrainingConfig:
    """Return the configuration that the options ask for.

    Raises
    ------
    ConfigError
        If a value is out of its range, there is no such preset, the footprint
        is not written as sizes, or method and target do not go together.

    Examples
    --------
    >>> training_config(preset="fast", footprint="5x5").footprint
    (5, 5)
    """
    if method is None and target is not None:
        method = "noise2noise"
    if (target is None) != (method in (None, "noise2self")):
        raise ConfigError(
            "--method noise2self learns from the image alone; leave out --target"
            if target is not None
            else f"--method {method} needs --target, a second image of the same scene"
        )
    changes: dict[str, Any] = {
        "method": method,
        "steps": steps,
        "time_limit": time_limit,
        "seed": seed,
        "device": device,
        "context": context,
        "dimensions": dimensions,
        "noise_model": noise_model,
        "footprint": None if footprint is None else sizes(footprint),
    }
    config = TrainingConfig.preset(_PRESET if preset is None else preset)
    return replace(config, **{name: value for name, value in changes.items() if value is not None})


def named(text: str) -> str:
    """Return the name of a file or folder to write as it was given.

    Raises
    ------
    typer.BadParameter
        If it is empty, which a path would take for the folder that one is in.
    """
    if not text:
        raise typer.BadParameter("it is empty; name a file or a folder")
    return text


def named_path(text: str) -> Path:
    """Return the path that `named` allows."""
    return Path(named(text))


def sizes(text: str) -> tuple[int, ...]:
    """Return the widths that ``"1x5x5"`` names.

    Raises
    ------
    ConfigError
        If that is not how the text is written.
    """
    try:
        return tuple(int(size) for size in text.lower().replace(",", "x").split("x"))
    except ValueError:
        raise ConfigError(
            f'--footprint "{text}": expected sizes such as 5x5, or 1x5x5 for a volume'
        ) from None
