"""Calibrated filters as files: what is written is read again, anything else is refused by name."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_noise2self import api, samples
from napari_noise2self.core.calibrated import Calibration
from napari_noise2self.io.models import write_header

FAMILIES = ("median", "gaussian", "tv")


@pytest.fixture(scope="module")
def noisy() -> Any:
    return samples.cells(size=96).noisy


@pytest.fixture(scope="module")
def found(noisy: Any) -> Calibration:
    return api.calibrate(noisy, "median")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_is_read_does_what_was_written_did(family: str, noisy: Any, tmp_path: Path) -> None:
    made = api.calibrate(noisy, family)
    path = tmp_path / "filter.safetensors"
    api.write_calibration(path, made)
    again = api.read_calibration(path)
    assert again == made
    np.testing.assert_array_equal(again.predict(noisy), made.predict(noisy))


def test_another_value_of_the_curve_is_kept(found: Calibration, tmp_path: Path) -> None:
    chosen = found.at(found.trials[-1])
    api.write_calibration(tmp_path / "filter.safetensors", chosen)
    assert api.read_calibration(tmp_path / "filter.safetensors").parameters == chosen.parameters


def test_channels_and_volumes_are_kept(tmp_path: Path) -> None:
    stack = np.random.default_rng(0).normal(100, 10, (2, 6, 40, 48)).astype(np.float32)
    made = api.calibrate(stack, "gaussian", axes="CZYX")
    api.write_calibration(tmp_path / "filter.safetensors", made)
    assert api.read_calibration(tmp_path / "filter.safetensors") == made


def test_each_reader_names_the_other(noisy: Any, found: Calibration, tmp_path: Path) -> None:
    filtered, network = tmp_path / "filter.safetensors", tmp_path / "network.safetensors"
    api.write_calibration(filtered, found)
    api.Denoiser.for_image(noisy, config=api.TrainingConfig(width=4, depth=1)).save(network)
    with pytest.raises(api.ModelFileError, match="read_calibration"):
        api.Denoiser.load(filtered)
    with pytest.raises(api.ModelFileError, match=r"Denoiser\.load"):
        api.read_calibration(network)


def test_an_altered_file_is_refused(found: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "filter.safetensors"
    api.write_calibration(path, found)
    content = path.read_bytes()
    (radius,) = found.parameters.values()
    changed = content.replace(f'radius\\": {radius}'.encode(), f'radius\\": {radius + 1}'.encode())
    assert changed != content
    path.write_bytes(changed)
    with pytest.raises(api.ModelFileError, match="altered"):
        api.read_calibration(path)


def without(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda values: {key: value for key, value in values.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        without("family"),
        without("scale"),
        lambda values: {},
        lambda values: values | {"family": "a filter of tomorrow"},
        lambda values: values | {"parameters": {"radius": 1, "sigma": 2}},
        lambda values: values | {"parameters": {"radius": -1}},
        lambda values: values | {"parameters": {"radius": "2"}},
        lambda values: values | {"scale": [1.0, 2.0]},
        lambda values: values | {"scale": [0.0]},
        lambda values: values | {"footprint": []},
        lambda values: values | {"footprint": [0, 1]},
        lambda values: values | {"footprint": [2, 2]},
        lambda values: values | {"footprint": [1]},
        lambda values: values | {"axes": "QQ"},
        lambda values: values | {"parameters": {"sigma": 1.5}},
        lambda values: values | {"trials": [{"parameters": {"sigma": 1}, "losses": [1.0]}]},
        lambda values: values | {"trials": [{"parameters": {"radius": 1}}]},
    ],
)
def test_what_cannot_be_is_refused(
    change: Callable[[dict[str, Any]], dict[str, Any]], found: Calibration, tmp_path: Path
) -> None:
    path = tmp_path / "filter.safetensors"
    content = {"kind": "calibration", "calibration": change(found.to_dict())}
    write_header(path, content)
    with pytest.raises(api.ModelFileError, match="calibrate again"):
        api.read_calibration(path)


def test_files_of_filters_need_no_torch(found: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "filter.safetensors"
    api.write_calibration(path, found)
    script = (
        "import sys\n"
        "from napari_noise2self.io.calibrations import read_calibration, write_calibration\n"
        f"write_calibration({str(path)!r}, read_calibration({str(path)!r}))\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)
