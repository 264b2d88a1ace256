"""The house rules that code can check: import direction, what loads when, what is documented."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from numpydoc.docscrape import ClassDoc, FunctionDoc, NumpyDocString
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import napari_noise2self
from napari_noise2self import api, cli

ROOT = Path(__file__).parents[1]
PACKAGE = "napari_noise2self"
SOURCE = ROOT / "src" / PACKAGE
MODULES = sorted(path.relative_to(SOURCE).as_posix() for path in SOURCE.rglob("*.py"))

DOCKS = [
    ".".join([PACKAGE, *Path(module).with_suffix("").parts])
    for module in MODULES
    if module.startswith("_napari/") and not module.endswith("__init__.py")
]
SCREEN = {"PyQt6", "PySide6", "magicgui", "napari", "pyqtgraph", "qtpy", "superqt"}
LIGHT = ["core.axes", "core.config", "core.errors", "figures", "samples"]
"""What ``--help`` and plugin discovery may import: free of torch."""

CORE_AND_IO = {"core", "io"}
BESIDE_CORE = {"figures", "figures_diagnosis", "samples"}
MAY_IMPORT = {
    "__init__": set(),
    "__main__": {"cli"},
    "core": {"core"},
    "io": CORE_AND_IO,
    "_scenery": set(),
    "samples": {"_scenery", "core"},
    "figures": {"core"},
    "figures_diagnosis": {"core", "figures"},
    "denoiser": CORE_AND_IO,
    "denoise": {"denoiser", *CORE_AND_IO},
    "api": {"denoise", "denoiser", "figures_diagnosis", *CORE_AND_IO},
    "_terminal": {"_terminal", "api", *CORE_AND_IO, *BESIDE_CORE},
    "cli": {"_terminal", "api", *CORE_AND_IO, *BESIDE_CORE},
    "_napari": {"_napari", "api", *CORE_AND_IO, *BESIDE_CORE},
}
"""Part of the package -> the parts that it may import, at the top or inside a function."""


def imports(module: str) -> Iterator[str]:
    """Yield the absolute name of all that a file imports, wherever in it the import stands."""
    package = [PACKAGE, *Path(module).parts[:-1]]
    for node in ast.walk(ast.parse((SOURCE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else []
            if node.module:  # from .masks import fill
                yield ".".join([*base, node.module])
            else:  # from . import masks
                yield from (".".join([*base, alias.name]) for alias in node.names)


@pytest.mark.parametrize("module", MODULES)
def test_imports_go_one_way(module: str) -> None:
    part = Path(module).parts[0].removesuffix(".py")
    own = {name.removeprefix(f"{PACKAGE}.") for name in imports(module) if PACKAGE in name}
    allowed = MAY_IMPORT[part] | {"__version__"}
    wrong = {n for n in own if not any(n == a or n.startswith(f"{a}.") for a in allowed)}
    assert not wrong


@pytest.mark.parametrize("module", MODULES)
def test_the_science_knows_no_screen_and_a_widget_no_torch(module: str) -> None:
    foreign = {name.split(".")[0] for name in imports(module)}
    assert not foreign & ({"torch"} if module.startswith("_napari/") else SCREEN)


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has loaded after `code`."""
    script = (
        f"import sys\n{code}\nimport json\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    return {name.split(".")[0] for name in json.loads(done.stderr.splitlines()[-1])}


def test_importing_the_package_loads_nothing_else() -> None:
    added = loaded_by(f"import {PACKAGE}") - loaded_by("")
    assert added == {PACKAGE}


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("\n".join(f"import {PACKAGE}.{m}" for m in LIGHT), id="light modules"),
        pytest.param("\n".join(f"import {m}" for m in DOCKS), id="the docks"),
        pytest.param(
            f"from {PACKAGE}.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass",
            id="--help",
        ),
        pytest.param(
            "from npe2 import PluginManager\n"
            "manager = PluginManager()\n"
            "manager.discover()\n"
            "assert 'napari-noise2self' in manager",
            id="plugin discovery",
        ),
    ],
)
def test_torch_is_not_loaded_by(code: str) -> None:
    assert "torch" not in loaded_by(code)


def test_the_engine_needs_no_screen_and_the_first_preview_no_compiler() -> None:
    """Torch's takes 2 to 6 seconds to import, and nothing here is compiled."""
    loaded = loaded_by(
        "import numpy as np\n"
        f"from {PACKAGE} import api, cli\n"
        "image = np.random.default_rng(0).normal(100, 10, (64, 64)).astype('float32')\n"
        "config = api.TrainingConfig(steps=2, width=16, depth=1)\n"
        "denoiser = api.Denoiser.for_image(image, axes='YX', config=config)\n"
        "assert len(list(api.train(denoiser, image, config))) == 3\n"
        "denoiser.predict(image)\n"
        "api.Denoiser.from_state(*denoiser.to_state())\n"
        "assert 'torch._dynamo' not in sys.modules, 'loaded'"
    )
    assert not loaded & SCREEN


def test_every_imported_distribution_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    declared = {canonicalize_name(Requirement(line).name) for lines in groups for line in lines}
    providers = importlib.metadata.packages_distributions()
    used = {name.split(".")[0] for module in MODULES for name in imports(module)}
    foreign = used - {PACKAGE} - set(sys.stdlib_module_names)
    for name in foreign:
        found = {canonicalize_name(d) for d in providers.get(name, [name])}
        assert found & declared, f"{name} is not declared"
    needed = {canonicalize_name(Requirement(line).name) for line in project["dependencies"]}
    imported = {canonicalize_name(d) for name in foreign for d in providers.get(name, [name])}
    by_others = {"imagecodecs", "pywavelets"}  # tifffile's and scikit-image's, if they are there
    assert needed - imported <= by_others, "declared, and never imported"


def is_error(value: Any) -> bool:
    return inspect.isclass(value) and issubclass(value, Exception)


def public() -> dict[str, Any]:
    """List the public functions and classes, and the methods that those classes define."""
    found = {name: getattr(api, name) for name in api.__all__ if not is_error(getattr(api, name))}
    for name, value in list(found.items()):
        if inspect.isclass(value):
            for member, raw in vars(value).items():
                if not member.startswith("_") and inspect.isroutine(getattr(raw, "__func__", raw)):
                    found[f"{name}.{member}"] = getattr(value, member)
    return found


PUBLIC = public()


def documentation(value: Any) -> list[NumpyDocString]:
    """Return the parsed docstring, before those of the base classes that add their attributes."""
    if not inspect.isclass(value):
        return [FunctionDoc(value)]
    return [ClassDoc(cls) for cls in value.__mro__[:-1]]


def described(value: Any) -> set[str]:
    """Return the names in the sections Parameters and Attributes."""
    return {
        name.strip()
        for doc in documentation(value)
        for section in ("Parameters", "Attributes")
        for entry in doc[section]
        for name in entry.name.split(",")
    }


def arguments(value: Any) -> dict[str, Any]:
    parameters = inspect.signature(value).parameters
    return {k: p.default for k, p in parameters.items() if k not in ("self", "cls")}


def test_the_api_lists_what_it_has() -> None:
    own = {n for n, v in vars(api).items() if not n.startswith("_") and not inspect.ismodule(v)}
    assert set(api.__all__) == own
    assert list(api.__all__) == sorted(api.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_argument_is_documented(name: str) -> None:
    value = PUBLIC[name]
    assert documentation(value)[0]["Summary"]
    plain = PUBLIC.get(name.removesuffix("_iter"), value)
    # `verb_iter` says what it yields and leaves the rest to `verb`, whose arguments it has.
    assert arguments(value) == arguments(plain)
    assert set(arguments(plain)) <= described(plain)


@pytest.mark.parametrize("name", [name for name in PUBLIC if "." not in name])
def test_every_public_name_has_an_example(name: str) -> None:
    assert any(">>>" in line for line in documentation(PUBLIC[name])[0]["Examples"])


@pytest.mark.parametrize("name", [name for name in api.__all__ if name not in PUBLIC])
def test_every_error_says_when_it_is_raised(name: str) -> None:
    assert inspect.getdoc(getattr(api, name))
    assert issubclass(getattr(api, name), api.Noise2SelfError)
    assert not issubclass(getattr(api, name), RuntimeError)  # Qt thread workers drop those


def test_every_setting_of_a_training_has_a_default() -> None:
    assert inspect.Parameter.empty not in arguments(api.TrainingConfig).values()


def test_every_public_name_is_in_the_reference() -> None:
    page = (ROOT / "docs" / "reference" / "api.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\.\. auto\w+:: (\w+)", page, re.MULTILINE)
    assert sorted(listed) == sorted(api.__all__)


def test_every_verb_is_in_the_terminal_tutorial() -> None:
    page = (ROOT / "docs" / "tutorial-terminal.md").read_text(encoding="utf-8")
    verbs = {command.callback.__name__ for command in cli.app.registered_commands}
    assert not {verb for verb in verbs if f"napari-noise2self {verb}" not in page}


def test_the_installed_version_is_that_of_the_source() -> None:
    assert importlib.metadata.version("napari-noise2self") == napari_noise2self.__version__
