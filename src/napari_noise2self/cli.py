"""The same verbs for the terminal: demo, train, denoise, calibrate, inspect, info, export.

Only what ``--help`` needs is imported at the top; the verb that needs torch
loads it.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated

import typer

from . import __version__
from ._terminal import batch, options, targets, work
from ._terminal.exits import (
    EPILOG,
    FAILED,
    complain,
    in_options,
    report,
    verb,
)
from ._terminal.progress import in_words, terminal
from .core.config import FAMILY
from .core.errors import ConfigError, ImageFileError, Noise2SelfError

app = typer.Typer(
    name="napari-noise2self",
    help="Denoise microscopy images with a network trained on the noisy image itself.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: the entry point ``napari-noise2self``.

    Parameters
    ----------
    arguments
        What follows the program's name; None for those it was called with.

    Examples
    --------
    >>> import contextlib, io
    >>> with contextlib.redirect_stdout(io.StringIO()) as screen:
    ...     code = main(["--version"])
    >>> code, screen.getvalue().strip() == __version__
    (0, True)
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, or a program without a console
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # no file name may stop the work
    try:
        app(arguments, prog_name="napari-noise2self")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _everything(
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    pass


@app.command(epilog=EPILOG)
@verb
def demo(
    output: Annotated[
        Path,
        typer.Option(
            "--output", "-o", metavar="DIR", parser=options.named_path, help="Folder for the files."
        ),
    ] = Path("noise2self-demo"),
    preset: options.Preset = None,
    steps: options.Steps = None,
    time_limit: options.TimeLimit = None,
    seed: options.Seed = None,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Denoise a sample image whose truth is known, and draw the comparison.

    Writes noisy.tif, denoised.tif, demo.safetensors (the model) and
    comparison.png. The sample is synthetic: cells seen with few photons.
    """
    config = options.training_config(
        preset=preset, steps=steps, time_limit=time_limit, seed=seed, device=device
    )
    names = ("noisy.tif", "denoised.tif", "demo.safetensors", "comparison.png")
    noisy_file, denoised_file, model_file, figure_file = (output / name for name in names)
    with terminal(quiet=quiet) as screen:
        from . import api
        from .figures import comparison, psnr
        from .io.files import replacing
        from .samples import cells

        sample = cells()
        noisy, truth = sample.noisy, sample.truth.data
        targets.check_demo(output, names, noisy)
        targets.make_folder(output)
        api.write_image(noisy_file, noisy)
        started = time.perf_counter()
        denoiser = work.trained(noisy, config, screen, model_file)
        denoiser.save(model_file)
        with work.keeping(denoiser, model_file):
            clean = replace(noisy, data=work.denoised(denoiser, noisy, screen, device=device))
        seconds = time.perf_counter() - started
        api.write_image(denoised_file, clean)
        pixel = noisy.scale[-1] if noisy.scale else None
        with replacing(figure_file, ImageFileError) as part:
            figure = comparison(noisy.data, clean.data, truth, pixel_size=pixel)
            figure.savefig(part, dpi="figure", format="png")
    before, after = psnr(truth, noisy.data), psnr(truth, clean.data)
    low, high = float(truth.min()), float(truth.max())
    report(
        {
            "output": str(output),
            "files": list(names),
            "psnr_noisy": before,
            "psnr_denoised": after,
            "truth_range": [low, high],
            "seconds": seconds,
            "training": work.facts(denoiser),
            "notices": screen.notices,
        },
        f"noisy     {before:.2f} dB\n"
        f"denoised  {after:.2f} dB ({after - before:+.2f} dB) in {in_words(seconds)}\n"
        f"PSNR at the range of the truth, {low:.0f} to {high:.0f}; nothing rescaled or clipped.\n"
        f"In {output}: {', '.join(names)}",
        as_json=as_json,
        quiet=quiet,
    )


@app.command(epilog=EPILOG)
@verb
def train(
    image: options.OneImage,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="MODEL",
            parser=options.named_path,
            help="File for the model, .safetensors.",
        ),
    ],
    axes: options.Axes = None,
    fill_nan: options.FillNan = False,
    target: options.Target = None,
    method: options.Method = None,
    preset: options.Preset = None,
    steps: options.Steps = None,
    time_limit: options.TimeLimit = None,
    seed: options.Seed = None,
    footprint: options.Footprint = None,
    context: options.Context = None,
    dimensions: options.Dimensions = None,
    noise_model: options.NoiseModel = True,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Train on a noisy image and save the model, to use it on images of the same kind.

    The image alone is enough; with --target a second one of the same scene helps.
    Ctrl-C ends the training early: the best model so far is saved.
    """
    config = options.training_config(
        preset=preset,
        steps=steps,
        time_limit=time_limit,
        seed=seed,
        footprint=footprint,
        context=context,
        dimensions=dimensions,
        noise_model=noise_model,
        device=device,
        target=target,
        method=method,
    )
    if output.suffix.lower() != ".safetensors":
        raise ConfigError(
            f"--output {output}: a model is a .safetensors file; "
            f"write for example --output {output.stem or 'model'}.safetensors"
        )
    with terminal(quiet=quiet) as screen:
        from .io.models import check_model_target

        targets.check_apart([("--output", output)], [image, target])
        check_model_target(output)
        picture = work.read(image, axes, fill_nan, screen)
        second = None if target is None else work.read(target, axes, fill_nan, screen)
        denoiser = work.trained(picture, config, screen, output, second)
        denoiser.save(output)
    report(
        {
            "image": str(image),
            "model": str(output),
            "training": work.facts(denoiser),
            "notices": screen.notices,
        },
        f"{output}: {work.in_short(denoiser.record.to_dict())}",
        as_json=as_json,
        quiet=quiet,
    )


@app.command(epilog=EPILOG)
@verb
def denoise(
    images: options.Images,
    output: Annotated[
        str,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            parser=options.named,
            help="File for the result (.tif, .ome.tif, .npy, .zarr), or a folder, where each "
            "result is called like its image with _denoised.tif at the end.",
        ),
    ],
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Model from the verb train, or from calibrate.",
            show_default="train on each image itself",
        ),
    ] = None,
    axes: options.Axes = None,
    fill_nan: options.FillNan = False,
    output_kind: options.NetworkOutputKind = "best",
    dtype: options.DType = "float32",
    target: options.Target = None,
    method: options.Method = None,
    preset: options.Preset = None,
    steps: options.Steps = None,
    time_limit: options.TimeLimit = None,
    seed: options.Seed = None,
    footprint: options.Footprint = None,
    context: options.Context = None,
    dimensions: options.Dimensions = None,
    noise_model: options.NoiseModel = True,
    device: options.Device = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Denoise one image or many, each by itself or all with one trained model.

    Axes, pixel size and units are kept. Where one image of many cannot be
    denoised, the others still are, and the exit code is 1.
    """
    config = options.training_config(
        preset=preset,
        steps=steps,
        time_limit=time_limit,
        seed=seed,
        footprint=footprint,
        context=context,
        dimensions=dimensions,
        noise_model=noise_model,
        device=device,
        target=target,
        method=method,
    )
    if model is not None and config != options.training_config(device=device):
        raise ConfigError(
            "--model is applied as it was trained; drop --model to train anew, or the options "
            "under Training"
        )
    if target is not None and len(images) > 1:
        raise ConfigError(
            f"--target {target} is the second image of one scene, and there are {len(images)} "
            "images; denoise them one by one, or train once and use --model"
        )
    if target is not None and output_kind != "best":
        raise ConfigError(
            f"--output-kind {output_kind}: a network trained on a pair sees every pixel and has no "
            "such output; leave it out, or leave out --target"
        )
    order = batch.Order(
        config=config,
        model=model,
        target=target,
        axes=axes,
        fill_nan=fill_nan,
        output=output_kind,
        dtype=dtype,
        device=device,
    )
    with terminal(quiet=quiet) as screen:
        places = targets.of_images(images, output, also_read=(target, model))
        results = batch.denoise_all(
            order,
            images,
            places,
            screen,
            debug=debug,
            say=lambda line: report({}, line, quiet=quiet or as_json),
        )
    failed = sum("error" in facts for facts in results)
    report({"images": results, "notices": screen.notices}, as_json=as_json)
    if failed:
        complain(f"{failed} of {len(images)} images could not be denoised")
        raise typer.Exit(FAILED)


@app.command(epilog=EPILOG)
@verb
def calibrate(
    image: options.OneImage,
    family: options.Family = FAMILY,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="OUT",
            parser=options.named,
            help="File for the denoised image (.tif, .ome.tif, .npy, .zarr), or a folder.",
            show_default="none is written",
        ),
    ] = None,
    model: Annotated[
        Path | None,
        typer.Option(
            "--model",
            "-m",
            metavar="FILE",
            parser=options.named_path,
            help="File for the calibrated filter (.safetensors), for denoise --model.",
            show_default="none is written",
        ),
    ] = None,
    axes: options.Axes = None,
    fill_nan: options.FillNan = False,
    footprint: options.Footprint = None,
    seed: options.Seed = None,
    output_kind: options.OutputKind = "best",
    dtype: options.DType = "float32",
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Tune a classical denoiser on the noisy image itself, and denoise with it.

    Where a network is too much: small images, or a result that anyone can check.
    Prints the loss of every value that was tried; below 1 is better than a plain
    average of the neighbours.
    """
    hole = None if footprint is None else options.sizes(footprint)
    with terminal(quiet=quiet) as screen:
        target = None if output is None else targets.of_images([image], output)[0]
        from . import api
        from .io.images import check_writable
        from .io.models import check_model_target

        targets.check_apart([("--output", target), ("--model", model)], [image])
        if model is not None:
            check_model_target(model)
        picture = work.read(image, axes, fill_nan, screen)
        pixels = picture.data.dtype if dtype == "same" else dtype
        if target is not None:
            check_writable(target, dtype=pixels)
        trials = api.calibrate_iter(picture, family, footprint=hole, seed=seed or 0)
        found = work.finished(screen, trials)
        if model is not None:
            api.write_calibration(model, found)
        if target is not None:
            made = functools.partial(work.denoised, found, picture, screen, output=output_kind)
            try:
                work.write(target, picture, pixels, made)
            except (Noise2SelfError, MemoryError):
                complain(f"the calibration itself is done: {family}\n{work.curve(found)}")
                raise
    facts = {
        "image": str(image),
        "family": found.family,
        "parameters": found.parameters,
        "loss": found.loss,
        "footprint": list(found.footprint),
        "trials": [{"parameters": t.parameters, "loss": t.loss} for t in found.trials],
        "output": None if target is None else str(target),
        "model": None if model is None else str(model),
        "notices": screen.notices,
    }
    last = "".join(f"\n{path}" for path in (target, model) if path is not None)
    report(facts, f"{family}\n{work.curve(found)}{last}", as_json=as_json, quiet=quiet)


@app.command(epilog=EPILOG)
@verb
def inspect(
    image: options.OneImage,
    result: Annotated[
        Path | None,
        typer.Option(
            metavar="IMAGE",
            help="Denoised version of the image: what was taken away is tested.",
            show_default="none",
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=options.named_path,
            help="File for a figure of what was found: .pdf, .svg, .png.",
            show_default="none is drawn",
        ),
    ] = None,
    axes: options.Axes = None,
    seed: options.Seed = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what the noise of an image is like, what is wrong with it, and what suits it.

    With --result also whether a denoised version lost more than noise.
    """
    if figure is not None and figure.suffix.lower() not in (".pdf", ".svg", ".png"):
        raise ConfigError(
            f"--figure {figure}: expected .pdf, .svg or .png; write for example "
            f"--figure {figure.stem or 'noise'}.pdf"
        )
    targets.check_apart([("--figure", figure)], [image, result])
    with terminal(quiet=quiet) as screen:
        from . import api

        picture = work.read(image, axes, False, screen)
        denoised = None if result is None else work.read_result(result, picture)
        found = work.finished(screen, api.diagnose_iter(picture, seed=seed or 0))
        facts = {"image": str(image), **found.to_dict()}
        text = found.summary()
        if denoised is not None:
            residual = work.finished(screen, api.inspect_result_iter(picture, denoised))
            facts["result"] = {"image": str(result), **residual.to_dict()}
            text += f"\n\n{result}\n{residual.summary()}"
        failure = None
        if figure is not None:
            try:
                work.draw(found, picture, figure)
                facts["figure"] = str(figure)
            except ImageFileError as error:
                if debug:
                    raise
                failure = facts["error"] = in_options(error)
    report({**facts, "notices": screen.notices}, text, as_json=as_json, quiet=quiet)
    if failure is not None:  # what was found is worth its report all the same
        complain(f"error: {failure}")
        raise typer.Exit(FAILED)


@app.command(epilog=EPILOG)
@verb
def info(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model file.", show_default=False)],
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Say what a model is for, and how it was trained."""
    from .io.models import read_header

    header = read_header(model)
    report(header, work.described(model, header), as_json=as_json, quiet=quiet)


@app.command(epilog=EPILOG)
@verb
def export(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="Model of a network.", show_default=False)
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            metavar="PACKAGE",
            parser=options.named_path,
            help="File for the package, .zip.",
        ),
    ],
    name: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What to call it.", show_default="made of its image's name"
        ),
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Who made it; may be given again.", show_default="none"),
    ] = None,
    license: Annotated[
        str | None,
        typer.Option(metavar="SPDX", help="Its licence, as CC-BY-4.0.", show_default="none"),
    ] = None,
    as_json: options.Json = False,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Write a model as a BioImage.IO package, for Fiji and other programs.

    It takes images as they are and gives the best output. Nothing of the image
    that was trained on is in it but the model.
    """
    from .io.bioimage import check_package

    targets.check_apart([("--output", output)], [model])
    check_package(output)
    with terminal(quiet=quiet) as screen:
        from . import api

        denoiser = api.Denoiser.load(model)
        events = denoiser.export_iter(output, name=name, authors=author or (), license=license)
        work.finished(screen, events)
    facts = {"model": str(model), "package": str(output)}
    report(facts, str(output), as_json=as_json, quiet=quiet)
