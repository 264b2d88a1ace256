"""The verbs beyond one noisy image and one network: calibrate, inspect, and pairs."""

from __future__ import annotations

import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from napari_noise2self import api, cli, samples
from napari_noise2self.core import config
from napari_noise2self.core.classical import FAMILIES
from napari_noise2self.core.config import FAMILY, FamilyName

TINY = {"steps": 2, "width": 4, "depth": 1, "patch_size": 32, "pixels_per_step": 2048}


@pytest.fixture(autouse=True)
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sit down in a folder with two images of one scene, and with quick presets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(config, "PRESETS", dict.fromkeys(config.PRESETS, TINY))
    scene = samples.cells(size=64)
    api.write_image("first.tif", scene.noisy)
    again = np.random.default_rng(0).poisson(scene.truth.data).astype(np.uint16)
    api.write_image("second.tif", replace(scene.noisy, data=again))
    return tmp_path


def facts(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Return the one JSON object on stdout."""
    found = json.loads(capsys.readouterr().out)
    assert isinstance(found, dict)
    return found


# calibrate


def test_the_families_are_those_of_the_core() -> None:
    assert set(get_args(FamilyName)) == set(FAMILIES)
    assert inspect.signature(api.calibrate).parameters["family"].default == FAMILY


def test_calibrate_prints_the_curve(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calibrate", "first.tif", "--family", "median"]) == 0
    out = capsys.readouterr().out
    direct = api.calibrate(api.read_image("first.tif"), "median")
    (best,) = [line for line in out.splitlines() if "lowest" in line]
    assert f"radius {direct.parameters['radius']}" in best
    assert len(out.splitlines()) == 1 + len(direct.trials)


def test_calibrate_writes_the_denoised_image(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["calibrate", "first.tif", "--family", "gaussian", "-o", "clean.tif", "--json"]
    assert cli.main(arguments) == 0
    found = facts(capsys)
    noisy = api.read_image("first.tif")
    direct = api.calibrate(noisy, "gaussian")
    assert found["parameters"] == direct.parameters
    assert found["loss"] == direct.loss
    assert [t["loss"] for t in found["trials"]] == [t.loss for t in direct.trials]
    clean = api.read_image("clean.tif")
    np.testing.assert_array_equal(clean.data, direct.predict(noisy))
    assert clean.scale == noisy.scale
    assert clean.axes == noisy.axes


def test_calibrate_takes_hole_output_and_dtype() -> None:
    arguments = ["calibrate", "first.tif", "-o", "clean.tif", "--footprint", "3x3"]
    assert cli.main([*arguments, "--output-kind", "j-invariant", "--dtype", "same"]) == 0
    direct = api.calibrate(api.read_image("first.tif"), footprint=(3, 3))
    strict = direct.predict(api.read_image("first.tif"), output="j-invariant")
    written = np.asarray(api.read_image("clean.tif").data)
    assert written.dtype == np.uint16
    np.testing.assert_allclose(written, strict, atol=0.51)


def test_a_calibrated_filter_is_kept_and_applied(capsys: pytest.CaptureFixture[str]) -> None:
    kept = "filter.safetensors"
    calibrate = ["calibrate", "first.tif", "--family", "median", "--model", kept]
    assert cli.main([*calibrate, "--json"]) == 0
    assert facts(capsys)["model"] == kept
    assert cli.main(["info", kept]) == 0
    out = capsys.readouterr().out
    assert "median, calibrated on axes YX" in out
    assert "<- lowest" in out
    assert cli.main(["denoise", "second.tif", "--model", kept, "-o", "clean.tif"]) == 0
    expected = api.calibrate(api.read_image("first.tif"), "median")
    clean = np.asarray(api.read_image("clean.tif").data)
    np.testing.assert_array_equal(clean, expected.predict(api.read_image("second.tif")))


def test_where_a_filter_cannot_be_kept_nothing_is_tried(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert cli.main(["calibrate", "first.tif", "--model", "nowhere/filter.safetensors"]) == 1
    out, err = capsys.readouterr()
    assert "nowhere" in err
    assert not out


def test_a_filter_has_no_disagreement(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["calibrate", "first.tif", "--model", "filter.safetensors"]) == 0
    arguments = ["denoise", "first.tif", "--model", "filter.safetensors", "-o", "clean.tif"]
    assert cli.main([*arguments, "--output-kind", "disagreement"]) == 2
    assert "leave it out" in capsys.readouterr().err


def test_a_zarr_is_filled_with_the_filtered_image() -> None:
    for name in ("clean.tif", "clean.zarr"):
        assert cli.main(["calibrate", "first.tif", "--family", "gaussian", "-o", name]) == 0
    clean, expected = api.read_image("clean.zarr"), api.read_image("clean.tif")
    assert (clean.axes, clean.scale) == (expected.axes, expected.scale)
    np.testing.assert_array_equal(np.asarray(clean.data), expected.data)


def test_a_dtype_that_cannot_be_written_is_refused_at_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    np.save("first.npy", np.asarray(api.read_image("first.tif").data).astype("uint64"))
    arguments = ["calibrate", "first.npy", "--dtype", "same", "-o", "clean.tif"]
    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert "TIFF cannot hold dtype uint64" in err
    assert "pass --dtype float32, or" in err
    assert "Calibrating" not in err


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["--footprint", "big"], "expected sizes such as 5x5"),
        (["--footprint", "3x3x3"], "one odd width for each"),
        (["-o", "first.tif"], "would replace first.tif, which is read"),
        (["-o", "clean.jpg"], "write for example clean.tif"),
    ],
)
def test_calibrate_refuses(
    arguments: list[str], mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["calibrate", "first.tif", *arguments]) == 2
    assert mend in capsys.readouterr().err


# inspect


def test_inspect_says_what_was_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "first.tif"]) == 0
    direct = api.diagnose(api.read_image("first.tif"))
    assert capsys.readouterr().out.strip() == direct.summary()


def test_inspect_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "first.tif", "--json", "--figure", "noise.pdf"]) == 0
    found = facts(capsys)
    direct = api.diagnose(api.read_image("first.tif"))
    assert found["footprint"] == list(direct.footprint)
    assert found["assumption"] == direct.assumption
    assert found["figure"] == "noise.pdf"
    assert Path("noise.pdf").read_bytes().startswith(b"%PDF")


def test_inspect_tests_a_result(capsys: pytest.CaptureFixture[str]) -> None:
    noisy = api.read_image("first.tif")
    flat = np.full(noisy.data.shape, np.mean(noisy.data), np.float32)
    api.write_image("flat.tif", replace(noisy, data=flat))
    assert cli.main(["inspect", "first.tif", "--result", "flat.tif", "--json"]) == 0
    found = facts(capsys)["result"]
    assert found["remarks"] == api.inspect_result(noisy, flat).remarks()
    assert any("structure went with the noise" in remark for remark in found["remarks"])
    assert cli.main(["inspect", "first.tif", "--result", "flat.tif"]) == 0
    assert "Structure went with the noise" in capsys.readouterr().out


def test_inspect_refuses_a_figure_of_unknown_kind(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["inspect", "first.tif", "--figure", "noise.doc"]) == 2
    assert "--figure noise.pdf" in capsys.readouterr().err


def test_inspect_reports_where_no_figure_can_be_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["inspect", "first.tif", "--figure", "nowhere/noise.pdf"]
    assert cli.main(arguments) == 1
    out, err = capsys.readouterr()
    assert out.strip() == api.diagnose(api.read_image("first.tif")).summary()
    assert re.search(r"error: the folder .*nowhere does not exist", err)
    assert cli.main([*arguments, "--json"]) == 1
    found = facts(capsys)
    assert "nowhere does not exist" in found["error"]
    assert "figure" not in found
    assert found["footprint"]


@pytest.mark.parametrize(
    ("shape", "mend"),
    [((2, 64, 64), r"result.tif, read with the axes of the image: axes"), ((32, 32), "has the sh")],
)
def test_inspect_says_that_it_is_the_result_that_does_not_fit(
    shape: tuple[int, ...], mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    api.write_image("result.tif", np.ones(shape, "float32"))
    assert cli.main(["inspect", "first.tif", "--result", "result.tif"]) == 1
    out, err = capsys.readouterr()
    assert re.search(f"error: --result .*{mend}", err)
    assert "Diagnosing" not in err
    assert not out


# Pairs


@pytest.mark.parametrize("method", ["noise2noise", "noise2clean"])
def test_train_on_a_pair(method: str, capsys: pytest.CaptureFixture[str]) -> None:
    chosen = [] if method == "noise2noise" else ["--method", method]
    arguments = ["train", "first.tif", "--target", "second.tif", *chosen, "-o", "m.safetensors"]
    assert cli.main(arguments) == 0
    capsys.readouterr()
    assert cli.main(["info", "m.safetensors", "--json"]) == 0
    assert facts(capsys)["method"]["name"] == method
    assert cli.main(["denoise", "second.tif", "-m", "m.safetensors", "-o", "clean.tif"]) == 0


def test_denoise_with_a_target_is_noise2noise() -> None:
    assert cli.main(["denoise", "first.tif", "--target", "second.tif", "-o", "clean.tif"]) == 0
    first, second = api.read_image("first.tif"), api.read_image("second.tif")
    direct = api.denoise(first, target=second, preset="fast")
    np.testing.assert_array_equal(api.read_image("clean.tif").data, direct)


@pytest.mark.parametrize(
    ("arguments", "mend"),
    [
        (["first.tif", "--method", "noise2noise"], "needs --target"),
        (["first.tif", "--method", "noise2self", "--target", "second.tif"], "leave out --target"),
        (["first.tif", "second.tif", "--target", "second.tif"], "one by one"),
        (
            ["first.tif", "--target", "second.tif", "--output-kind", "j-invariant"],
            "leave out --target",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_at_once(
    arguments: list[str], mend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["denoise", *arguments, "-o", "out"]) == 2
    assert mend in capsys.readouterr().err


def test_the_image_itself_is_no_target(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", "first.tif", "--target", "first.tif", "-o", "m.safetensors"]
    assert cli.main(arguments) == 1
    assert "the noisy image itself" in capsys.readouterr().err
    assert not Path("m.safetensors").exists()
