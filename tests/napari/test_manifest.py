from __future__ import annotations

from importlib import import_module
from pathlib import Path

from npe2 import PluginManifest

import napari_noise2self

MANIFEST = Path(napari_noise2self.__file__).with_name("napari.yaml")


def test_the_manifest_is_valid_and_every_command_is_there() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    manifest.validate_imports()
    assert manifest.name == "napari-noise2self"
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name)), command.id


def test_the_manifest_is_found_by_discovery() -> None:
    manifest = PluginManifest.from_distribution("napari-noise2self")
    assert manifest.contributions == PluginManifest.from_file(MANIFEST).contributions
