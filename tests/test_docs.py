"""The documentation is executed: python blocks, terminal lines and docstring examples.

All of it runs as it stands, in a folder that holds a few small images; only the
presets are cut down to a few steps of a small network.
"""

from __future__ import annotations

import doctest
import importlib
import re
import shlex
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from napari_noise2self import api, cli, samples
from napari_noise2self.core import config

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(?P<language>\w+)\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = {"cd", "git", "napari", "pip", "pre-commit", "python3", "scripts/pin", "scripts/test"}
SET_UP |= {"sphinx-build", "tox"}
"""Programs that prepare a machine or open a window: not run here."""
MODULES = [
    ".".join(path.relative_to(SOURCE).with_suffix("").parts)
    for path in sorted(SOURCE.rglob("*.py"))
    if ">>> " in path.read_text(encoding="utf-8")
]


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Draw the images that the pages speak of."""
    folder = tmp_path_factory.mktemp("images")
    (folder / "plate").mkdir()
    scene = samples.cells(size=64)
    for path, sample in {
        "cells.tif": samples.cells(size=64),
        "other_cells.tif": samples.cells(size=64, seed=2),
        "movie.tif": samples.timelapse(frames=4, size=64),
        "volume.tif": samples.zstack(planes=8, size=48),
        "first.tif": scene,
        "plate/A1.tif": samples.cells(size=48, seed=3),
        "plate/A2.tif": samples.cells(size=48, seed=4),
    }.items():
        api.write_image(folder / path, sample.noisy)
    again = np.random.default_rng(0).poisson(scene.truth.data).astype(np.uint16)
    api.write_image(folder / "second.tif", replace(scene.noisy, data=again))
    return folder


@pytest.fixture
def desk(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sit down in a folder with copies of these images, and with quick presets."""
    tiny = {"steps": 2, "width": 4, "depth": 1, "patch_size": 32, "pixels_per_step": 2048}
    monkeypatch.setattr(config, "PRESETS", dict.fromkeys(config.PRESETS, tiny))
    shutil.copytree(images, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, and how many lines stand before it."""

    language: str
    code: str
    before: int


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for found in FENCE.finditer(text):
        before = text.count("\n", 0, found.start("code"))
        yield Block(found["language"], found["code"], before)


def commands(block: Block) -> Iterator[list[str]]:
    """Yield the words of every command in a terminal block, wildcards filled in."""
    for line in re.sub(r"\\\n", " ", block.code).splitlines():
        for command in line.split("&&"):
            words = [
                name
                for word in shlex.split(command, comments=True)
                for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])
            ]
            if words:
                yield words


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_the_page_runs(page: Path) -> None:
    namespace: dict[str, object] = {}
    for block in blocks(page):
        if block.language == "python":
            # Empty lines before it, so that a traceback shows the line of the page.
            exec(compile("\n" * block.before + block.code, str(page), "exec"), namespace)
        elif block.language == "bash":
            for program, *arguments in commands(block):
                name = program.removeprefix("./").removeprefix(".venv/bin/")
                if name == "napari-noise2self":
                    assert cli.main(arguments) == 0, arguments
                else:
                    assert name in SET_UP, f"{page.name} calls {name}, which nothing tests"


@pytest.mark.usefixtures("desk")
@pytest.mark.parametrize("module", MODULES)
def test_the_examples_of_the_docstrings_run(module: str) -> None:
    outcome = doctest.testmod(importlib.import_module(module), optionflags=doctest.ELLIPSIS)
    assert outcome.attempted
    assert not outcome.failed
