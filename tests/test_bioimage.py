"""Packages for other programs: that they give what `predict` does."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from numpy.typing import NDArray

from napari_noise2self import api, cli
from napari_noise2self.core.guard import Guard
from napari_noise2self.core.methods import Noise2Clean
from napari_noise2self.core.whole import WholeImage, recorded

Build = Callable[..., api.Denoiser]
Noise = Callable[..., NDArray[np.float32]]


@pytest.fixture
def denoiser(random_denoiser: Build) -> api.Denoiser:
    return random_denoiser("YX", depth=2)


def same(found: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * np.ptp(expected))


@pytest.mark.parametrize(
    ("axes", "changes"),
    [
        ("YX", {}),
        ("YX", {"footprint": (3, 1)}),
        ("YX", {"network": "dncnn"}),
        ("CYX", {"channels": 2}),
        ("ZYX", {}),
    ],
)
@pytest.mark.parametrize("guarded", [False, True])
def test_what_is_recorded_gives_the_best_output_at_every_size(
    axes: str, changes: dict[str, Any], guarded: bool, random_denoiser: Build, noise: Noise
) -> None:
    denoiser = random_denoiser(axes, noise_model=guarded, **changes)
    channels = denoiser.channels
    if guarded:
        denoiser.guard = Guard((0.0,) * channels, (0.3,) * channels, (0.1,) * channels)
    lead = (4,) if axes == "ZYX" else ()
    shape = (1, channels, *lead, 40, 48)
    script = recorded(WholeImage(denoiser), torch.from_numpy(noise(*shape)))
    for number, (y, x) in enumerate(((40, 48), (56, 40)), 1):
        image = noise(1, channels, *lead, y, x, seed=number)
        image[..., :36, :36] = 95.0  # a margin
        plain = image[0] if "C" in axes else image[0, 0]
        expected = denoiser.predict(plain, axes=axes)
        found = script(torch.from_numpy(image)).numpy().reshape(expected.shape)
        same(found, expected)
        assert (found[..., :20, :20] == 95).all()


def test_neighbours_that_are_not_there_are_done_without(
    random_denoiser: Build, noise: Noise
) -> None:
    movie = noise(1, 40, 48)
    denoiser = random_denoiser("TYX")
    denoiser.method = replace(denoiser.method, context=1)
    denoiser.network = denoiser.build()
    torch.nn.init.normal_(next(denoiser.network.parameters()))
    found = WholeImage(denoiser)(torch.from_numpy(movie[None])).numpy()[0]
    same(found, denoiser.predict(movie, axes="TYX"))


def test_what_is_learnt_from_a_target_keeps_no_margins(
    random_denoiser: Build, noise: Noise
) -> None:
    denoiser = random_denoiser("YX")
    denoiser.method = Noise2Clean(denoiser.method.grid)
    image = noise(48, 48)
    image[:36, :36] = 95.0
    found = WholeImage(denoiser)(torch.from_numpy(image[None, None])).numpy()[0, 0]
    same(found, denoiser.predict(image))
    assert (found != image).all()


def test_packages_pass_the_tests_of_their_format(random_denoiser: Build, tmp_path: Path) -> None:
    """In a process of its own: the library opens more than it closes."""
    code = (
        "import sys; from bioimageio.core import test_model\n"
        "found = [test_model(path) for path in sys.argv[1:]]\n"
        "sys.exit('\\n'.join(f.format() for f in found if f.status != 'passed') or 0)"
    )
    paths = [tmp_path / "colour.zip", tmp_path / "volume.zip"]
    for path, axes, channels in zip(paths, ("CYX", "ZYX"), (2, 1), strict=True):
        denoiser = random_denoiser(axes, channels=channels)
        denoiser.method = Noise2Clean(denoiser.method.grid)  # of few passes
        denoiser.export(path)
    done = subprocess.run(
        [sys.executable, "-c", code, *paths], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_what_is_said_of_a_model_is_in_its_package(denoiser: api.Denoiser, tmp_path: Path) -> None:
    path = tmp_path / "denoiser.zip"
    denoiser.record = replace(denoiser.record, image="day 1/cells*: 96 x 96, 16-bit")
    for options, name in (
        ({}, "Noise2Self denoiser of day 1 cells"),
        ({"name": "mine (cells)"}, "mine (cells)"),
    ):
        denoiser.export(path, authors=["A. Microscopist"], license="CC-BY-4.0", **options)
        with zipfile.ZipFile(path) as package:
            said = yaml.safe_load(package.read("rdf.yaml"))
            text = package.read("README.md").decode()
        assert said["name"] == name
        assert said["authors"] == [{"name": "A. Microscopist"}]
        assert said["license"] == "CC-BY-4.0"
        assert "on one noisy image, without clean ones: day 1/cells*: 96 x 96, 16-bit" in text
    assert [p.name for p in tmp_path.iterdir()] == ["denoiser.zip"]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("denoiser.pt", {}, "is a .zip file; write for example denoiser.zip"),
        ("denoiser.zip", {"license": "mine"}, "cannot be described so: license"),
        ("denoiser.zip", {"name": 200 * "x"}, "cannot be described so: name"),
    ],
)
def test_what_the_format_does_not_allow_is_named(
    name: str, options: dict[str, Any], message: str, denoiser: api.Denoiser, tmp_path: Path
) -> None:
    with pytest.raises(api.ConfigError, match=message):
        denoiser.export(tmp_path / name, **options)
    assert not list(tmp_path.iterdir())


def test_an_export_that_is_stopped_leaves_nothing(denoiser: api.Denoiser, tmp_path: Path) -> None:
    events = denoiser.export_iter(tmp_path / "denoiser.zip")
    first = next(events)
    assert (first.stage, first.step) == ("export", 1)
    assert first.steps >= len(denoiser.method.passes("best"))
    events.close()
    assert not list(tmp_path.iterdir())


def test_the_missing_package_is_named(
    denoiser: api.Denoiser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(api.ConfigError, match=r'pip install "napari-noise2self\[bioimageio\]"'):
        denoiser.export(tmp_path / "denoiser.zip")


def test_an_untrained_model_is_not_exported(noise: Noise, tmp_path: Path) -> None:
    with pytest.raises(api.NotTrainedError):
        api.Denoiser.for_image(noise(64, 64)).export(tmp_path / "denoiser.zip")


def test_the_terminal_exports(
    denoiser: api.Denoiser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    denoiser.save("cells.safetensors")
    arguments = ["export", "cells.safetensors", "-o", "cells.zip", "--author", "A. Microscopist"]
    assert cli.main([*arguments, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["package"] == "cells.zip"
    with zipfile.ZipFile("cells.zip") as package:
        assert "A. Microscopist" in package.read("rdf.yaml").decode()
    assert cli.main(["export", "cells.safetensors", "-o", "cells.safetensors"]) == 2
    assert cli.main(["export", "gone.safetensors", "-o", "gone.zip"]) == 1
    assert cli.main(["denoise", "x.tif", "-m", "cells.zip", "-o", "clean.tif"]) != 0
