"""The command line: files in and out, exit codes, Ctrl-C, and that it is documented."""

from __future__ import annotations

import io
import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import tifffile
import typer.main

from napari_noise2self import api, cli, samples
from napari_noise2self._terminal import targets, work
from napari_noise2self._terminal.progress import Terminal
from napari_noise2self._terminal.signals import ctrl_c_is_a_request, endings_interrupt
from napari_noise2self.core import config
from napari_noise2self.core.config import Progress, TrainingConfig
from napari_noise2self.io import on_disk
from napari_noise2self.io.models import read_header, write_header

TINY = {"steps": 2, "width": 4, "depth": 1, "patch_size": 32, "pixels_per_step": 2048}
REFERENCE = Path(__file__).parents[1] / "docs" / "reference" / "cli.md"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sit down in a folder with a small noisy image, and with quick presets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "PRESETS", dict.fromkeys(config.PRESETS, TINY))
    api.write_image("cells.tif", samples.cells(size=64).noisy)
    return tmp_path


@pytest.fixture(autouse=True)
def _ctrl_c_is_heard() -> Iterator[None]:
    """A shell that runs the tests in the background has them ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def model(desk: Path) -> str:
    assert cli.main(["train", "cells.tif", "-o", "model.safetensors", "--quiet"]) == 0
    return "model.safetensors"


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one JSON object on stdout."""
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


def interrupting(events: Iterator[Progress], at: int) -> Iterator[Progress]:
    """Press Ctrl-C while the event of step `at` is on its way."""
    for event in events:
        if event.step == at:
            signal.raise_signal(signal.SIGINT)
        yield event


# What comes out


def test_denoise_writes_what_the_api_returns(desk: Path) -> None:
    assert cli.main(["denoise", "cells.tif", "-o", "clean.tif", "--seed", "3"]) == 0
    clean = api.read_image("clean.tif")
    expected = api.denoise(
        api.read_image("cells.tif"), config=replace(TrainingConfig.preset("fast"), seed=3)
    )
    assert clean.data.dtype == np.float32
    np.testing.assert_array_equal(clean.data, expected)


def test_a_model_serves_other_images(desk: Path, model: str) -> None:
    api.write_image("more.tif", samples.cells(size=96, seed=9).noisy)
    assert cli.main(["denoise", "more.tif", "-m", model, "-o", "clean.tif"]) == 0
    expected = api.Denoiser.load(model).predict(api.read_image("more.tif"))
    np.testing.assert_array_equal(api.read_image("clean.tif").data, expected)


def test_output_kind_is_handed_on(desk: Path, model: str) -> None:
    arguments = ["denoise", "cells.tif", "-m", model, "--output-kind", "j-invariant"]
    assert cli.main([*arguments, "-o", "strict.tif"]) == 0
    expected = api.Denoiser.load(model).predict(api.read_image("cells.tif"), output="j-invariant")
    np.testing.assert_array_equal(api.read_image("strict.tif").data, expected)


def test_disagreement_is_written_as_an_image(desk: Path, model: str) -> None:
    arguments = ["denoise", "cells.tif", "-m", model, "--output-kind", "disagreement"]
    assert cli.main([*arguments, "-o", "doubt.tif"]) == 0
    expected = api.disagreement(api.Denoiser.load(model), api.read_image("cells.tif"))
    np.testing.assert_array_equal(api.read_image("doubt.tif").data, expected)


@pytest.mark.parametrize("name", ["timelapse", "zstack"])
def test_axes_scale_and_units_are_kept(name: str, desk: Path) -> None:
    size = {"timelapse": {"frames": 2}, "zstack": {"planes": 8}}[name]
    noisy = getattr(samples, name)(size=48, **size).noisy
    api.write_image("stack.tif", noisy)
    assert cli.main(["denoise", "stack.tif", "-o", "clean.ome.tif"]) == 0
    clean = api.read_image("clean.ome.tif")
    assert (clean.axes, clean.units) == (noisy.axes, noisy.units)
    assert clean.scale == pytest.approx(noisy.scale)


def test_names_of_channels_are_kept(desk: Path) -> None:
    pixels = np.random.default_rng(0).normal(100, 10, (2, 40, 40)).astype("float32")
    api.write_image("two.tif", api.Image(pixels, "CYX", channels=("DAPI", "GFP")))
    assert cli.main(["denoise", "two.tif", "-o", "clean.tif"]) == 0
    assert api.read_image("clean.tif").channels == ("DAPI", "GFP")


@pytest.mark.filterwarnings("always::UserWarning")
@pytest.mark.parametrize(("dtype", "expected"), [("same", "uint16"), ("uint8", "uint8")])
def test_whole_numbers_are_rounded_and_clipped(
    dtype: str, expected: str, desk: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = api.read_image("cells.tif")
    api.write_image("bright.tif", replace(noisy, data=noisy.data + 100))
    for arguments in (["-o", "float.tif"], ["-o", "whole.tif", "--dtype", dtype]):
        assert cli.main(["denoise", "bright.tif", "-m", model, *arguments]) == 0
    whole, exact = api.read_image("whole.tif").data, api.read_image("float.tif").data
    assert whole.dtype == expected
    np.testing.assert_array_equal(whole, np.rint(exact).clip(0, np.iinfo(expected).max))
    told = re.search(r"note: .* % of the values were .* --dtype float32", capsys.readouterr().err)
    assert (told is not None) is (expected == "uint8")


def test_a_zarr_is_filled_piece_by_piece(desk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    api.write_image("movie.tif", samples.timelapse(size=48, frames=3).noisy)
    predict, given = api.Denoiser.predict_iter, []

    def spied(self: api.Denoiser, image: api.Image, **options: Any) -> Iterator[Progress]:
        given.append(options["out"])
        return predict(self, image, **options)

    monkeypatch.setattr(api.Denoiser, "predict_iter", spied)
    for name in ("clean.tif", "clean.zarr"):
        assert cli.main(["denoise", "movie.tif", "-o", name]) == 0
    in_memory, piece_by_piece = given
    assert in_memory is None
    assert not isinstance(piece_by_piece, np.ndarray)
    clean, expected = api.read_image("clean.zarr"), api.read_image("clean.tif")
    assert clean.data.dtype == np.float32
    np.testing.assert_array_equal(np.asarray(clean.data), expected.data)
    assert (clean.axes, clean.units) == (expected.axes, expected.units)
    assert clean.scale == pytest.approx(expected.scale)


def test_a_zarr_keeps_the_names_of_channels(desk: Path) -> None:
    pixels = np.random.default_rng(0).normal(100, 10, (40, 40, 2)).astype("float32")
    api.write_image("two.zarr", api.Image(pixels, "YXC", channels=("DAPI", "GFP")))
    assert cli.main(["denoise", "two.zarr", "-o", "clean.zarr"]) == 0
    assert api.read_image("clean.zarr").channels == ("DAPI", "GFP")


def test_a_disagreement_fills_a_zarr(desk: Path, model: str) -> None:
    arguments = ["denoise", "cells.tif", "-m", model, "--output-kind", "disagreement"]
    for name in ("doubt.tif", "doubt.zarr"):
        assert cli.main([*arguments, "-o", name]) == 0
    doubt, expected = (api.read_image(f"doubt.{end}").data for end in ("zarr", "tif"))
    np.testing.assert_array_equal(np.asarray(doubt), expected)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("clean.tif", []),
        ("clean.npy", []),
        ("clean.zarr", ["--dtype", "uint16"]),
        ("clean.tif", ["--output-kind", "disagreement"]),
    ],
)
def test_a_result_that_memory_does_not_hold_is_put_together_on_disk(
    name: str, options: list[str], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).normal(100, 10, (3, 40, 48, 2)).astype("float32")
    api.write_image("movie.tif", api.Image(pixels, "TYXC", channels=("DAPI", "GFP")))
    assert cli.main(["train", "movie.tif", "-o", "model.safetensors", "--quiet"]) == 0
    arguments = ["denoise", "movie.tif", "-m", "model.safetensors", *options]
    assert cli.main([*arguments, "-o", f"expected{Path(name).suffix}"]) == 0
    predict, given = api.Denoiser.predict_iter, []

    def spied(self: api.Denoiser, image: api.Image, **named: Any) -> Iterator[Progress]:
        given.append(named["out"])
        return predict(self, image, **named)

    monkeypatch.setattr(api.Denoiser, "predict_iter", spied)
    monkeypatch.setattr(on_disk, "fits_in_memory", lambda _: False)
    before = set(desk.iterdir())
    assert cli.main([*arguments, "-o", name]) == 0
    assert not any(isinstance(out, np.ndarray) or out is None for out in given)
    assert set(desk.iterdir()) - before == {desk / name}
    clean, expected = (api.read_image(n) for n in (name, f"expected{Path(name).suffix}"))
    np.testing.assert_array_equal(np.asarray(clean.data), np.asarray(expected.data))
    assert (clean.axes, clean.channels, clean.data.dtype) == (
        expected.axes,
        expected.channels,
        expected.data.dtype,
    )


def test_axes_overrule_the_file(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("stack.npy", np.random.default_rng(0).normal(size=(8, 40, 40)).astype("float32"))
    arguments = ["train", "stack.npy", "-o", "model.safetensors", "--axes", "zyx", "--json"]
    assert cli.main(arguments) == 0
    assert facts(capsys)["training"]["axes"] == "ZYX"
    # A bare array is then taken for what the model was trained on.
    assert cli.main(["denoise", "stack.npy", "-m", "model.safetensors", "-o", "clean.tif"]) == 0
    assert api.read_image("clean.tif").axes == "ZYX"


def test_neighbours_are_asked_for_and_told(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.save("movie.npy", np.random.default_rng(0).normal(size=(6, 40, 40)).astype("float32"))
    train = ["train", "movie.npy", "-o", "model.safetensors", "--axes", "tyx", "--json"]
    for options, context in ([], 2), (["--context", "1"], 1), (["--context", "0"], 0):
        assert cli.main([*train, *options]) == 0
        assert facts(capsys)["training"]["context"] == context
        assert cli.main(["info", "model.safetensors"]) == 0
        told = capsys.readouterr().out
        assert ("neighbours on each side in view" in told) is (context > 0)
    volume = ["train", "movie.npy", "-o", "model.safetensors", "--axes", "zyx", "--json"]
    assert cli.main([*volume, "--dimensions", "3"]) == 0
    assert len(facts(capsys)["training"]["footprint"]) == 3


def test_the_guard_is_told(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "cells.tif", "-o", "model.safetensors", "--json"]
    for options, guarded in ([], True), (["--no-noise-model"], False):
        assert cli.main([*train, *options]) == 0
        assert facts(capsys)["training"]["guarded"] is guarded
        assert cli.main(["info", "model.safetensors"]) == 0
        assert ("guarded by the noise level" in capsys.readouterr().out) is guarded


def test_json_is_all_there_is_on_stdout(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["denoise", "cells.tif", "-o", "clean.tif", "--footprint", "3x3", "--json"]
    assert cli.main(arguments) == 0
    found = facts(capsys)
    (image,) = found["images"]
    assert (image["image"], image["output"]) == ("cells.tif", "clean.tif")
    assert image["seconds"] > 0
    assert image["training"]["footprint"] == [3, 3]
    assert image["training"]["steps"] == 2


def test_quiet_says_nothing(desk: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["denoise", "cells.tif", "-o", "clean.tif", "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


def test_info_tells_what_a_model_is_for(
    desk: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["info", model]) == 0
    text = capsys.readouterr().out
    assert "2-D images of 1 channel" in text
    assert "axes YX" in text
    assert "64 x 64, 16-bit" in text
    assert "2 steps" in text
    assert cli.main(["info", model, "--json"]) == 0
    assert facts(capsys)["record"]["steps"] == 2


@pytest.mark.parametrize(
    "part", [{"config": []}, {"record": {}}, {"guard": 3, "config": 3}, {"method": "x"}]
)
def test_info_on_a_header_that_was_altered(
    part: dict[str, Any], desk: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    header = read_header(model)
    record = {**header["record"], "validation_loss": "low"}
    for changes in (part, {"record": record}):
        write_header("altered.safetensors", {"kind": "network", **header, **changes})
        assert cli.main(["info", "altered.safetensors"]) == 1
        assert re.match("error: altered.*its header is incomplete", capsys.readouterr().err)


def test_demo_shows_its_gain(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = samples.cells(size=96)
    monkeypatch.setattr(samples, "cells", lambda: sample)
    assert cli.main(["demo", "--output", "out/demo", "--json"]) == 0
    found = facts(capsys)
    written = {path.name for path in (desk / "out" / "demo").iterdir()}
    assert written == set(found["files"])
    assert written == {"noisy.tif", "denoised.tif", "demo.safetensors", "comparison.png"}
    clean = api.read_image("out/demo/denoised.tif").data
    error = np.mean((clean.astype(float) - sample.truth.data) ** 2)
    low, high = found["truth_range"]
    assert found["psnr_denoised"] == pytest.approx(10 * np.log10((high - low) ** 2 / error))
    assert found["psnr_noisy"] == pytest.approx(20, abs=3)
    assert (desk / "out/demo/comparison.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["demo", "-o", "out/demo"]) == 0
    assert re.search(r"noisy +\d\d\.\d\d dB\ndenoised +\d\d\.\d\d dB", capsys.readouterr().out)


def test_demo_replaces_its_own_files_alone(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = samples.cells(size=64)
    monkeypatch.setattr(samples, "cells", lambda: sample)
    for name in ("noisy.tif", "denoised.tif", "comparison.png"):
        (desk / name).write_bytes(b"my own")
    before = {path.name: path.read_bytes() for path in desk.iterdir()}
    assert cli.main(["demo", "-o", "."]) == 2
    assert "noisy.tif, denoised.tif, comparison.png that the demo" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in desk.iterdir()} == before
    (desk / "begun").mkdir()
    api.write_image("begun/noisy.tif", sample.noisy)  # that is as far as it came
    assert cli.main(["demo", "-o", "begun"]) == 0


# Many images


def test_a_folder_takes_many(desk: Path, model: str) -> None:
    api.write_image("more.ome.tif", samples.cells(size=64, seed=9).noisy)
    arguments = ["denoise", "cells.tif", "more.ome.tif", "-m", model, "-o", "out"]
    assert cli.main(arguments) == 0
    written = sorted(path.name for path in (desk / "out").iterdir())
    assert written == ["cells_denoised.tif", "more_denoised.tif"]


def test_a_damaged_image_does_not_hold_up_the_others(
    desk: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "broken.tif").write_bytes((desk / "cells.tif").read_bytes()[:5000])
    arguments = ["denoise", "broken.tif", "cells.tif", "-m", model, "-o", "out", "--json"]
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    broken, whole = json.loads(out)["images"]
    assert "broken.tif" in broken["error"]
    assert "error" not in whole
    assert (desk / "out" / "cells_denoised.tif").exists()
    assert "1 of 2 images" in err


def test_an_image_that_is_not_there_does_not_hold_up_the_others(
    desk: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "gone.tif").symlink_to("nothing.tif")
    images = ["missing.tif", "gone.tif", "cells.tif"]
    assert cli.main(["denoise", *images, "-m", model, "-o", "out", "--json"]) == 1
    missing, gone, whole = facts(capsys)["images"]
    assert missing["error"].startswith("missing.tif does not exist")
    assert gone["error"].startswith("gone.tif is a link to nothing.tif, which does not exist")
    assert "error" not in whole
    assert [path.name for path in (desk / "out").iterdir()] == ["cells_denoised.tif"]


def test_a_name_too_long_for_the_result_does_not_hold_up_the_others(
    desk: Path, model: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"{248 * 'a'}.tif"
    (desk / name).write_bytes((desk / "cells.tif").read_bytes())
    assert cli.main(["denoise", name, "cells.tif", "-m", model, "-o", "out", "--json"]) == 1
    long, whole = facts(capsys)["images"]
    assert "its name of 261 letters is too long for the disk" in long["error"]
    assert "error" not in whole


def test_a_model_is_kept_under_a_name_that_fits(tmp_path: Path) -> None:
    for name in ("cells", 240 * "a", 80 * "\N{CJK UNIFIED IDEOGRAPH-7D30}"):
        kept = targets.kept_model(Path(f"{name}.tif"), tmp_path / "clean.tif")
        kept.touch()
        assert kept.name.startswith(name[:30])
        assert kept.name.endswith("_interrupted.safetensors")


@pytest.mark.parametrize(
    ("images", "output"),
    [
        (["cells.tif"], "results_2026.11.28/"),
        (["cells.tif"], "results.tif/"),
        (["cells.tif", "more.tif"], "results_2026.11.28"),
    ],
)
def test_a_new_folder_may_have_a_dot(
    images: list[str], output: str, desk: Path, model: str
) -> None:
    (desk / "more.tif").write_bytes((desk / "cells.tif").read_bytes())
    assert cli.main(["denoise", *images, "-m", model, "-o", output]) == 0
    written = sorted(path.name for path in (desk / output).iterdir())
    assert written == [f"{Path(name).stem}_denoised.tif" for name in images]


def test_what_turns_out_to_be_damaged_later_does_not_either(
    desk: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("napari_noise2self.io.tiff.LAZY_BYTES", 1)
    noisy = api.read_image("cells.tif")
    api.write_image("chunk.zarr", noisy)
    (chunk,) = (desk / "chunk.zarr" / "0").glob("0/0")
    chunk.write_bytes(chunk.read_bytes()[:-9])
    tifffile.imwrite("strip.tif", noisy.data, compression="zlib")
    content = bytearray((desk / "strip.tif").read_bytes())
    content[-2000:-1000] = bytes(1000)
    (desk / "strip.tif").write_bytes(content)
    images = ["chunk.zarr", "strip.tif", "cells.tif"]
    assert cli.main(["denoise", *images, "-m", model, "-o", "out", "--json"]) == 1
    chunk_facts, strip_facts, whole = facts(capsys)["images"]
    assert "a part of chunk.zarr cannot be read" in chunk_facts["error"]
    assert "a part of strip.tif cannot be read" in strip_facts["error"]
    assert "error" not in whole
    assert [path.name for path in (desk / "out").iterdir()] == ["cells_denoised.tif"]


def test_an_image_too_large_for_memory_does_not_hold_up_the_others(
    desk: Path, model: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise MemoryError("Unable to allocate 9 PiB")

    (desk / "large.tif").write_bytes((desk / "cells.tif").read_bytes())
    predict = api.Denoiser.predict_iter
    monkeypatch.setattr(
        api.Denoiser,
        "predict_iter",
        lambda self, image, **options: (full if image.name == "large" else predict)(
            self, image, **options
        ),
    )
    arguments = ["denoise", "large.tif", "cells.tif", "-m", model, "-o", "out", "--json"]
    assert cli.main(arguments) == 1
    large, whole = facts(capsys)["images"]
    assert "9 PiB" in large["error"]
    assert "error" not in whole
    assert cli.main(["denoise", "large.tif", "-m", model, "-o", "out"]) == 1
    assert "error: out of memory (Unable" in capsys.readouterr().err


# Errors: one line, a mend, an exit code


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["train", "cells.tif", "-o", "m.safetensors", "--steps", "0"], 2, "steps=0"),
        (["train", "cells.tif", "-o", "m.safetensors", "--preset", "x"], 2, "fast, balanced, best"),
        (["train", "cells.tif", "-o", "m.safetensors", "--footprint", "big"], 2, "such as 5x5"),
        (["train", "cells.tif", "-o", "m.safetensors", "--axes", "TYX"], 1, '"YX"'),
        (["train", "cells.tif", "-o", "m.safetensors", "--context", "9"], 2, "from 0 to 8"),
        (["train", "cells.tif", "-o", "m.safetensors", "--dimensions", "3"], 2, "no Z"),
        (["train", "cells.tif", "-o", "m.safetensors", "--device", "abacus"], 1, "abacus"),
        (["train", "cells.tif", "-o", "cells.tif"], 2, "cells.safetensors"),
        (["train", "cells.tif", "-o", "."], 2, "model.safetensors"),
        (["train", "missing.tif", "-o", "m.safetensors"], 1, "missing.tif does not exist"),
        (["denoise", "missing.tif", "-o", "clean.tif"], 1, "missing.tif does not exist"),
        (["denoise", "gone.tif", "-o", "clean.tif"], 1, "gone.tif is a link to nothing.tif, which"),
        (["denoise", "cells.tif", "-o", "clean.2026"], 2, "or clean.2026/ for a folder"),
        (["denoise", "cells.tif", "-o", f"{300 * 'a'}.tif"], 1, "304 letters is too long for the"),
        (["denoise", "cells.tif", "-o", 300 * "a"], 1, "cannot be made (File name too long)"),
        (["denoise", f"{300 * 'a'}.tif", "-o", "clean.tif"], 1, "304 letters is too long for the"),
        (["train", "cells.tif", "-o", "none/m.safetensors"], 1, "does not exist"),
        (["denoise", "cells.tif", "-o", "none/clean.tif"], 1, "does not exist"),
        (["denoise", "cells.tif", "-o", "clean.png"], 2, "clean.tif"),
        (["denoise", "cells.tif", "-o", "cells.tif"], 2, "would replace cells.tif, which is read"),
        (["denoise", "cells.tif", "other.tif", "-o", "clean.tif"], 2, "name a folder"),
        (["denoise", "cells.tif", "sub/cells.tif", "-o", "out"], 2, "both"),
        (["denoise", "cells.tif", "sub/Cells.tif", "-o", "out"], 2, "both"),
        (["denoise", "cells.tif", "-m", "cells.tif", "-o", "clean.tif"], 1, "safetensors"),
        (["denoise", "cells.tif", "-m", "m", "--steps", "9", "-o", "clean.tif"], 2, "--model"),
        (["denoise", "holes.tif", "-o", "clean.tif"], 1, "--fill-nan"),
        (["train", "cells.tif", "-o", "m.safetensors", "--target", "holes.tif"], 1, "--fill-nan"),
        (["info", "cells.tif"], 1, "cells.tif"),
        (["info", "missing.safetensors"], 1, "does not exist"),
    ],
)
def test_an_error_is_one_line_that_names_the_mend(
    arguments: list[str],
    code: int,
    message: str,
    desk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    noisy = api.read_image("cells.tif")
    holes = noisy.data.astype("float32")
    holes[3, 4] = np.nan
    (desk / "sub").mkdir()
    (desk / "gone.tif").symlink_to("nothing.tif")
    for path, image in (
        ("other.tif", noisy),
        ("sub/cells.tif", noisy),
        ("sub/Cells.tif", noisy),
        ("holes.tif", replace(noisy, data=holes)),
    ):
        api.write_image(path, image)
    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}

    assert cli.main(arguments) == code
    out, err = capsys.readouterr()
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Training 0" not in err
    assert "Traceback" not in err
    assert out == ""
    assert {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["denoise", "cells.tif", "cells_denoised.tif", "-o", "."],
        ["denoise", "cells.tif", "--target", "cells_denoised.tif", "-o", "cells_denoised.tif"],
        ["denoise", "cells.tif", "--target", "cells_denoised.tif", "-o", "."],
        ["denoise", "cells.tif", "-m", "model.tif", "-o", "model.tif"],
        ["denoise", "cells.tif", "-o", "link.tif"],
        ["denoise", "stack.zarr/0", "-o", "stack.zarr"],
        ["denoise", "stack.zarr", "-o", "stack.zarr/clean.tif"],
        ["calibrate", "cells.tif", "-o", "cells.tif"],
        ["calibrate", "cells.tif", "--model", "cells.tif"],
        ["calibrate", "cells.tif", "-o", "new.tif", "--model", "./new.tif"],
        ["inspect", "cells.png", "--figure", "cells.png"],
        ["inspect", "cells.tif", "--result", "cells.png", "--figure", "cells.png"],
    ],
    ids=" ".join,
)
def test_nothing_that_is_read_is_replaced(
    arguments: list[str], desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = (desk / "cells.tif").read_bytes()
    for name in ("cells_denoised.tif", "model.tif"):
        (desk / name).write_bytes(content)
    (desk / "link.tif").symlink_to("cells.tif")
    noisy = api.read_image("cells.tif")
    (desk / "cells.png").write_bytes(imagecodecs.png_encode(noisy.data.astype("uint8")))
    api.write_image("stack.zarr", noisy)
    before = {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()}
    assert cli.main(arguments) == 2
    error = capsys.readouterr().err
    assert re.search(r"error: .* would (replace|be written into) .*; choose another name", error)
    assert {path: path.read_bytes() for path in desk.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "cells.tif"],
        ["train", "cells.tif", "-o", ""],
        ["denoise", "cells.tif", "-o", ""],
        ["calibrate", "cells.tif", "-o", ""],
        ["demo", "-o", ""],
        ["denoise", "cells.tif", "-o", "clean.tif", "--dtype", "int7"],
        ["denoise", "cells.tif", "-o", "clean.tif", "--stepz", "3"],
        ["sharpen"],
        ["train", "cells.tif", "-o", "m.safetensors", "--seed", "-1"],
        ["calibrate", "cells.tif", "--seed", "-1"],
        ["inspect", "cells.tif", "--seed", "-1"],
    ],
)
def test_a_command_that_is_not_understood_ends_with_2(arguments: list[str], desk: Path) -> None:
    assert cli.main(arguments) == 2


def test_holes_are_filled_on_request(desk: Path) -> None:
    noisy = api.read_image("cells.tif")
    holes = noisy.data.astype("float32")
    holes[3, 4] = np.nan
    api.write_image("holes.tif", replace(noisy, data=holes))
    assert cli.main(["denoise", "holes.tif", "-o", "clean.tif", "--fill-nan"]) == 0
    assert np.isfinite(api.read_image("clean.tif").data).all()


def test_holes_of_a_channel_are_filled_from_that_channel(desk: Path) -> None:
    levels = np.array([100.0, 500.0, 900.0])
    colour = np.random.default_rng(0).normal(levels, 1, (40, 40, 3)).astype("float32")
    colour[10, 10, 1] = np.nan
    np.save("colour.npy", colour)
    picture = work.read(Path("colour.npy"), None, True, Terminal(quiet=True))
    assert picture.axes == "YXC"
    assert picture.data[10, 10, 1] == pytest.approx(500, abs=10)


@pytest.mark.parametrize(
    "arguments",
    [["denoise", "holes.tif", "-o", "clean.tif"], ["info", "missing.safetensors"]],
    ids=" ".join,
)
def test_a_script_is_told_of_an_error_as_well(
    arguments: list[str], desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    noisy = api.read_image("cells.tif")
    holes = noisy.data.astype("float32")
    holes[3, 4] = np.nan
    api.write_image("holes.tif", replace(noisy, data=holes))
    assert cli.main([*arguments, "--json"]) == 1
    told = capsys.readouterr()
    assert told.err.splitlines()[-1] == f"error: {json.loads(told.out)['error']}"


def test_debug_shows_where_an_error_comes_from(desk: Path) -> None:
    with pytest.raises(api.AxesError):
        cli.main(["train", "cells.tif", "-o", "m.safetensors", "--axes", "TYX", "--debug"])


# Ctrl-C


def counted(stop: int = 10) -> Iterator[Progress]:
    for step in range(1, stop + 1):
        yield Progress(stage="train", step=step, steps=stop, seconds=0.0, seconds_left=stop - step)


def test_the_first_ctrl_c_is_a_request() -> None:
    before = signal.getsignal(signal.SIGINT)
    closed = []

    def events() -> Iterator[Progress]:
        try:
            yield from interrupting(counted(), at=3)
        finally:
            closed.append(True)

    assert Terminal(quiet=True).follow(events()).interrupted
    assert closed == [True]
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_in_the_last_moment_still_stops() -> None:
    assert Terminal(quiet=True).follow(interrupting(counted(3), at=3)).interrupted


def test_without_ctrl_c_the_result_comes_back() -> None:
    def events() -> Iterator[Progress]:
        yield from counted(2)
        yield Progress(stage="train", step=2, steps=2, seconds=0.0, result="done")

    outcome = Terminal(quiet=True).follow(events())
    assert (outcome.result, outcome.interrupted) == ("done", False)


def test_the_second_ctrl_c_interrupts_at_once() -> None:
    with ctrl_c_is_a_request() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no nohup")
def test_an_ignored_ctrl_c_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ctrl_c_is_a_request() as asked:
            signal.raise_signal(signal.SIGINT)
            assert not asked.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_training_keeps_the_best_model(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    training = api.train
    monkeypatch.setattr(
        api, "train", lambda *given, **named: interrupting(training(*given, **named), at=2)
    )
    arguments = ["train", "cells.tif", "-o", "m.safetensors", "--steps", "50", "--json"]
    assert cli.main(arguments) == 130
    out, err = capsys.readouterr()
    assert "m.safetensors" in err.splitlines()[-1]
    assert json.loads(out)["interrupted"] is True
    assert 2 <= api.Denoiser.load("m.safetensors").record.steps < 50


def test_ctrl_c_while_denoising_keeps_the_model_and_writes_no_image(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    predicting = api.Denoiser.predict_iter
    monkeypatch.setattr(
        api.Denoiser,
        "predict_iter",
        lambda *given, **named: interrupting(predicting(*given, **named), at=1),
    )
    assert cli.main(["denoise", "cells.tif", "-o", "clean.tif"]) == 130
    assert sorted(path.name for path in desk.iterdir()) == [
        "cells.tif",
        "cells_interrupted.safetensors",
    ]
    # With a model that lies in a file already, there is nothing to keep.
    arguments = ["denoise", "cells.tif", "-m", "cells_interrupted.safetensors", "-o", "clean.tif"]
    assert cli.main(arguments) == 130
    assert not (desk / "clean.tif").exists()


def test_a_model_that_was_kept_is_not_replaced_by_the_next(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = api.train
    monkeypatch.setattr(
        api, "train", lambda *given, **named: interrupting(training(*given, **named), at=2)
    )
    for _ in range(3):
        assert cli.main(["denoise", "cells.tif", "-o", "clean.tif"]) == 130
    assert sorted(path.name for path in desk.glob("*.safetensors")) == [
        "cells_interrupted-2.safetensors",
        "cells_interrupted-3.safetensors",
        "cells_interrupted.safetensors",
    ]


@pytest.mark.parametrize("kind", [api.DeviceMemoryError, ValueError])
def test_an_error_while_training_keeps_the_best_model(
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: type[Exception],
) -> None:
    training = api.train

    def failing(*given: Any, **named: Any) -> Iterator[Progress]:
        for progress in training(*given, **named):
            yield progress
            if progress.step == 5:
                raise kind("the memory ran out")

    monkeypatch.setattr(api, "train", failing)
    arguments = ["denoise", "cells.tif", "-o", "clean.tif", "--steps", "50"]
    if kind is ValueError:  # a fault of ours is shown as it is
        with pytest.raises(ValueError, match="the memory ran out"):
            cli.main(arguments)
    else:
        assert cli.main(arguments) == 1
    assert "kept: cells_interrupted.safetensors" in capsys.readouterr().err
    assert api.Denoiser.load("cells_interrupted.safetensors").record.steps == 5


def test_ctrl_c_in_a_batch_tells_what_was_done(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (desk / "more.tif").write_bytes((desk / "cells.tif").read_bytes())
    predict = api.Denoiser.predict_iter

    def stopped_at_the_second(self: api.Denoiser, image: api.Image, **options: Any) -> Any:
        events = predict(self, image, **options)
        return interrupting(events, at=1) if image.name == "more" else events

    monkeypatch.setattr(api.Denoiser, "predict_iter", stopped_at_the_second)
    (desk / "third.tif").write_bytes((desk / "cells.tif").read_bytes())
    arguments = ["denoise", "cells.tif", "more.tif", "third.tif", "-o", "out", "--json"]
    assert cli.main(arguments) == 130
    found = facts(capsys)
    first, second = found["images"]
    assert first["seconds"] > 0
    assert "seconds" not in second
    assert Path(second["model"]).is_file()
    assert found["interrupted"] is True
    # With a model that lies in a file already, there is nothing to keep.
    kept = second["model"]
    assert cli.main([*arguments, "-m", kept]) == 130
    first, second = facts(capsys)["images"]
    assert "seconds" in first
    assert "seconds" not in second


@pytest.mark.parametrize(
    ("failure", "code"), [(OSError(28, "No space left on device"), 1), (KeyboardInterrupt(), 130)]
)
def test_a_result_that_cannot_be_written_leaves_the_model(
    failure: BaseException,
    code: int,
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise failure

    monkeypatch.setattr(tifffile, "imwrite", full)
    arguments = ["denoise", "cells.tif", "-o", "clean.tif"]
    assert cli.main(arguments) == code
    kept = "cells_interrupted.safetensors"
    assert re.search(f" is kept: {kept}", capsys.readouterr().err)
    assert api.Denoiser.load(kept).trained
    assert not (desk / "clean.tif").exists()


def test_a_repeated_ending_is_the_same_request() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with endings_interrupt() as came, ctrl_c_is_a_request() as asked:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert asked.is_set()
        assert came == [signal.SIGTERM, signal.SIGTERM]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no nohup")
def test_an_ignored_ending_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with endings_interrupt() as came, ctrl_c_is_a_request() as asked:
            signal.raise_signal(signal.SIGHUP)
            assert not asked.is_set()
            assert not came
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signal")
@pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
def test_an_ending_keeps_the_model_and_leaves_no_part(
    name: str,
    code: int,
    desk: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ending(path: Path, *_: Any, **__: Any) -> None:
        path.touch()
        assert any(path.name.endswith(".part") for path in desk.iterdir())
        signal.raise_signal(getattr(signal, name))

    monkeypatch.setattr(tifffile, "imwrite", ending)
    before = signal.signal(getattr(signal, name), signal.SIG_DFL)  # nohup has it ignored
    try:
        assert cli.main(["denoise", "cells.tif", "-o", "clean.tif", "--json"]) == code
    finally:
        signal.signal(getattr(signal, name), before)
    assert facts(capsys)["interrupted"] is True
    kept = "cells_interrupted.safetensors"
    assert sorted(path.name for path in desk.iterdir()) == ["cells.tif", kept]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows sends Ctrl-C to the whole console")
@pytest.mark.parametrize(("name", "expected"), [("SIGINT", 130), ("SIGTERM", 143)])
def test_a_signal_reaches_a_process(name: str, expected: int, desk: Path) -> None:
    code = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL)\n"
        "from napari_noise2self.cli import main; sys.exit(main())"
    )
    command = [sys.executable, "-c", code, "train", "cells.tif", "-o", "m.safetensors"]
    with subprocess.Popen(
        [*command, "--steps", "100"], stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if re.match("Training [1-9]", line):
                process.send_signal(getattr(signal, name))
                break
        rest = process.stderr.read()
        assert process.wait(timeout=60) == expected
    assert "interrupted" in rest
    assert "Traceback" not in rest
    assert [path.name for path in desk.glob("*.safetensors")] == ["m.safetensors"]
    assert not list(desk.glob(".*"))


# The screen


def test_a_log_file_gets_a_line_for_each_tenth(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().follow(counted(200))
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[5] == "Training 100/200, 1 min 40 s left"


def test_a_person_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    Terminal().follow(counted(10))
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", screen.getvalue())
    assert re.search(r"Training +\S+ 10/10", plain)


def test_a_notice_is_shown_once_and_kept(capsys: pytest.CaptureFixture[str]) -> None:
    event = Progress(stage="predict", step=1, steps=2, seconds=0.0, notice="smaller tiles")
    terminal = Terminal()
    terminal.follow(iter([event, event]))
    assert terminal.notices == ["smaller tiles"]
    assert capsys.readouterr().err.count("note: smaller tiles") == 1


class Full(io.StringIO):
    """A stream on a full disk, or with nobody at the other end."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_screen_that_fails_does_not_stop_the_work(
    options: list[str], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(sys, "stdout", Full())
    assert cli.main(["denoise", "cells.tif", "-o", "clean.tif", *options]) == 0
    assert api.read_image("clean.tif").data.dtype == np.float32


@pytest.mark.skipif(sys.platform == "win32", reason="needs a shell of Unix")
@pytest.mark.parametrize("end", [">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_a_stream_that_is_closed_or_full_does_not_stop_the_work(end: str, desk: Path) -> None:
    if "full" in end and not Path("/dev/full").exists():
        pytest.skip("no such device")
    code = "import sys; from napari_noise2self.cli import main; sys.exit(main())"
    arguments = ["calibrate", "cells.tif", "--family", "gaussian", "--model", "f.safetensors"]
    command = ["sh", "-c", f'"$@" {end}', "sh", sys.executable, "-c", code, *arguments]
    assert subprocess.run(command, check=False).returncode == 0
    assert api.read_calibration("f.safetensors").family == "gaussian"


# The documentation


def commands() -> dict[str, Any]:
    group: Any = typer.main.get_command(cli.app)
    return dict(group.commands)


def test_every_verb_and_option_is_documented() -> None:
    text = REFERENCE.read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    common = dict(re.findall(r"^## (Common to all)\n(.*?)(?=^## |\Z)", text, re.M | re.S))
    assert set(sections) == set(commands())
    for name, command in commands().items():
        for parameter in command.params:
            for option in parameter.opts:
                if option.startswith("--"):
                    assert f"`{option}" in sections[name] + common["Common to all"], (name, option)


def test_the_documentation_knows_no_option_that_is_not_there() -> None:
    parameters = [p for c in commands().values() for p in c.params]
    options = {o for p in parameters for o in (*p.opts, *p.secondary_opts)} | {"--help"}
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", REFERENCE.read_text(encoding="utf-8")))
    assert mentioned <= options | {"--version"}


@pytest.mark.parametrize("verb", [[], *([name] for name in commands())], ids=" ".join)
def test_help_says_what_and_how(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([*verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Usage: napari-noise2self" in text
    assert "Exit codes" in text
    assert f"{TrainingConfig.preset('best').steps}" in text or not set(verb) & {"train", "denoise"}


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from napari_noise2self.cli import main; main(['denoise', '--help'])\n"
        "heavy = {'torch', 'napari', 'qtpy', 'numpy', 'zarr', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
