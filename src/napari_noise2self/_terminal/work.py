"""What the verbs have in common: read, train, denoise, keep what Ctrl-C leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from ..core.config import Output, Progress, TrainingConfig, sizes_in_words
from ..core.errors import (
    AxesError,
    ConfigError,
    ImageError,
    ImageFileError,
    ModelFileError,
)
from .exits import Interrupted, as_options, complain
from .progress import Terminal, in_words

if TYPE_CHECKING:
    from ..api import Calibration, Denoiser, Diagnosis, Image


def read(
    path: Path,
    axes: str | None,
    fill_nan: bool,
    screen: Terminal,
    model: Denoiser | Calibration | None = None,
) -> Image:
    """Read an image with its axes settled: asked for, the file's, the model's, or guessed."""
    from ..core.axes import Stack
    from ..io.images import read_image

    picture = read_image(path, axes=axes)
    if model is None:
        stack = Stack.of(picture)
    else:
        stack = model.see(picture.data if picture.axes is None else picture)
    screen.say(f"{path}: {stack.understood}")
    picture = replace(picture, axes=stack.axes)
    if fill_nan:  # within the planes, once it is known which axes these are
        from ..core.repair import fill_nan as filled

        picture = filled(picture)
    return picture


def read_result(path: Path, picture: Image) -> Image:
    """Read the denoised version of `picture`, of the same axes and shape."""
    from ..io.images import read_image

    try:
        result = read_image(path, axes=picture.axes)
    except AxesError as error:
        raise AxesError(f"--result {path}, read with the axes of the image: {error}") from error
    if tuple(result.data.shape) != tuple(picture.data.shape):
        raise ImageError(
            f"--result {path} has the shape {tuple(result.data.shape)} and the image "
            f"{tuple(picture.data.shape)}; expected the same: is it another image's result?"
        )
    return result


def load(path: Path) -> Denoiser | Calibration:
    """Read a model file, whatever it holds."""
    from .. import api
    from ..io.models import kind_of, read_header

    if kind_of(read_header(path)) == "calibration":
        return api.read_calibration(path)
    return api.Denoiser.load(path)


def trained(
    picture: Image,
    config: TrainingConfig,
    screen: Terminal,
    kept: Path,
    target: Image | None = None,
) -> Denoiser:
    """Train on an image; after Ctrl-C or an error the best model so far is in the file `kept`."""
    from .. import api

    denoiser: Denoiser = finished(screen, api.Denoiser.for_image_iter(picture, config=config))
    noise = as_options(denoiser.record.noise)
    if noise not in screen.notices:
        screen.say(noise)
    with keeping(denoiser, kept):
        finished(screen, api.train(denoiser, picture, config, target=target))
    return denoiser


def denoised(
    denoiser: Denoiser | Calibration,
    picture: Image,
    screen: Terminal,
    *,
    output: Output | Literal["disagreement"] = "best",
    device: str | None = None,
    out: Any = None,
) -> Any:
    """Denoise an image, into `out` where that is given."""
    from .. import api

    if isinstance(denoiser, api.Calibration):
        if output == "disagreement":
            raise ConfigError(
                "--output-kind disagreement is for networks, and the model is a calibrated "
                "filter; leave it out"
            )
        events = denoiser.predict_iter(picture, output=output, out=out)
    elif output == "disagreement":
        events = api.disagreement_iter(denoiser, picture, device=device, out=out)
    else:
        events = denoiser.predict_iter(picture, output=output, device=device, out=out)
    return finished(screen, events)


def write(path: Path, picture: Image, dtype: Any, result: Callable[..., Any]) -> None:
    """Write what becomes of an image, with its axes, pixel size, units and names of channels.

    A zarr of floating point is filled while it is made. Another file is written from what is in
    memory; where that is too little, from a zarr that is made beside it first.

    Parameters
    ----------
    path
        File to write, checked by `check_writable`.
    picture
        The image, its axes settled.
    dtype
        Dtype to write.
    result
        Makes the result; takes as `out` the array to put it into, piece by piece,
        or None for one in memory.
    """
    import numpy as np

    from ..io.images import write_image
    from ..io.on_disk import fits_in_memory, made_on_disk, read_back

    assert picture.axes is not None
    if path.suffix.lower() == ".zarr" and np.dtype(dtype).kind == "f":
        with made_on_disk(path, picture, picture.axes, dtype) as out:
            result(out=out)
    elif fits_in_memory(picture):
        write_image(path, replace(picture, data=result(out=None)), dtype=dtype)
    else:
        with TemporaryDirectory(prefix=f".{path.stem[:60]}-", dir=path.parent) as folder:
            beside = Path(folder) / "result.zarr"
            with made_on_disk(beside, picture, picture.axes) as out:
                result(out=out)
            made = read_back(beside, picture.axes)
            write_image(path, replace(picture, data=made), dtype=dtype)


def finished(screen: Terminal, events: Iterator[Progress]) -> Any:
    """Follow events to their end and return the result; Ctrl-C leaves nothing behind."""
    outcome = screen.follow(events)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return outcome.result


def curve(found: Calibration) -> str:
    """Return the trials of a calibration as lines of a table, the best one marked."""
    lines = []
    for trial in found.trials:
        ((parameter, value),) = trial.parameters.items()
        mark = "  <- lowest" if trial.parameters == found.parameters else ""
        lines.append(f"  {parameter} {value:<6g} loss {trial.loss:.4f}{mark}")
    return "\n".join(lines)


def draw(found: Diagnosis, picture: Image, path: Path) -> None:
    """Write the figure of a diagnosis."""
    from ..figures_diagnosis import draw_diagnosis
    from ..io.files import replacing

    with replacing(path, ImageFileError) as part:
        draw_diagnosis(found, picture).savefig(part, format=path.suffix[1:].lower(), dpi=300)


@contextmanager
def keeping(denoiser: Denoiser | Calibration, path: Path | None) -> Iterator[None]:
    """Keep a model in the file `path` if the block does not come to its end.

    None for one that lies in a file already.
    """
    from .. import api

    if path is None or isinstance(denoiser, api.Calibration):
        yield
        return
    try:
        yield
    except KeyboardInterrupt:
        _keep(denoiser, path)
    except Exception:  # whatever it was, hours of training may be in the model
        if not denoiser.trained:
            raise
        try:
            denoiser.save(path)
        except ModelFileError as error:
            complain(f"the model that was trained cannot be kept: {error}")
        else:
            complain(f"the model that was trained is kept: {path}")
        raise


def _keep(denoiser: Denoiser, path: Path) -> NoReturn:
    if not denoiser.trained:
        raise KeyboardInterrupt
    denoiser.save(path)
    steps = denoiser.record.steps
    raise Interrupted(
        f"the best model of {steps} steps is kept: {path}",
        {"model": str(path), "training": facts(denoiser)},
    )


def facts(denoiser: Denoiser | Calibration) -> dict[str, Any]:
    """Return what a script may want to know about a model."""
    from .. import api

    if isinstance(denoiser, api.Calibration):
        return denoiser.to_dict() | {"loss": denoiser.loss}
    record = denoiser.record.to_dict()
    return {
        "axes": denoiser.axes,
        "footprint": list(denoiser.footprint),
        "context": denoiser.context,
        "noise_model": denoiser.recorruption is not None,
        "guarded": denoiser.guard is not None and denoiser.config.noise_model,
        **record,
    }


def _seen(header: Mapping[str, Any]) -> str:
    """Say what the network sees besides the visible pixels, and whether the guard watches it."""
    method = header["method"]
    count = method.get("context", 0)
    text = f", {count} neighbours on each side in view" if count else ""
    text += ", every pixel in view by the noise level" if "recorruption" in method else ""
    guarded = header.get("guard") and header["config"].get("noise_model", True)
    return text + (", guarded by the noise level" if guarded else "")


def described(path: Path, header: Mapping[str, Any]) -> str:
    """Return the header of a model file in words."""
    from ..io.models import kind_of

    if kind_of(header) == "calibration":
        return f"{path}\n{_calibrated(header)}"
    try:
        network, method, record = header["network"], header["method"], header["record"]
        lines = {
            "for": f"{network['ndim']}-D images of {network['channels']} channel(s), "
            f"axes {header['axes']}",
            "network": f"{network['name']}, width {network['width']}, depth {network['depth']}",
            "method": f"{method['name']}, footprint {sizes_in_words(method['footprint'])}, "
            f"stride {sizes_in_words(method['stride'])}{_seen(header)}",
            "trained on": f"{record['image']}; {record['device']}",
            "training": in_short(record),
            "saved by": f"napari-noise2self {header['package_version']}, "
            f"format {header['format_version']}",
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelFileError(
            f"{path}: its header is incomplete ({type(error).__name__}: {error}); "
            "copy the file again from its source, or train again"
        ) from error
    return "\n".join([str(path), *(f"  {name:<11} {text}" for name, text in lines.items())])


def _calibrated(header: Mapping[str, Any]) -> str:
    from ..core.calibrated import Calibration

    found = Calibration.from_dict(header.get("calibration", {}))
    channels = len(found.scale)
    return (
        f"  {found.family}, calibrated on axes {found.axes}, {channels} channel(s), footprint "
        f"{sizes_in_words(found.footprint)}\n{curve(found)}"
    )


def in_short(record: Mapping[str, Any]) -> str:
    """Return a training record in words."""
    text = (
        f"{record['steps']} steps in {in_words(record['seconds'])}, the best {record['best_step']}"
    )
    losses = record["validation_loss"], record["baseline_loss"]
    if None in losses:
        return text
    return text + "; held-out loss {:.4g} (average of the neighbours {:.4g})".format(*losses)
