"""Model files in napari: a dropped one goes into the dock, a result can be saved as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4
from weakref import WeakKeyDictionary, WeakValueDictionary

import napari

from ..core.errors import ModelFileError
from ..io.models import kind_of, read_header
from .commands import dock_of
from .layers import METADATA_KEY

_models: WeakValueDictionary[str, Any] = WeakValueDictionary()
_keys: WeakKeyDictionary[Any, str] = WeakKeyDictionary()


def key_of(denoiser: Any) -> str:
    """Return a name under which `write_model` finds a denoiser for as long as a dock has it.

    A layer's metadata hold the name alone, for napari under PySide6 never lets
    go of a layer that it has shown, and a network is large.
    """
    key = _keys.setdefault(denoiser, uuid4().hex)
    _models[key] = denoiser
    return key


def get_reader(path: str | list[str]) -> Callable[[Any], list[tuple[None]]] | None:
    """Return a reader for a model file; None for several files at once.

    A file that is no model of this package is refused later, with a reason.
    """
    return None if isinstance(path, list) else load_into_dock


def load_into_dock(path: Any) -> list[tuple[None]]:
    """Load a model into the dock that it is for, in the current viewer; no layer is added."""
    viewer = napari.current_viewer()
    if viewer is None:
        raise ModelFileError(
            f"{path} is a model; open it while a napari window is there, or load it in Python "
            "with napari_noise2self.api.Denoiser.load"
        )
    if kind_of(read_header(path)) == "calibration":
        dock_of(viewer, "Calibrate").load(path)
    else:
        dock_of(viewer).load_model(path)
    return [(None,)]


def write_model(path: str, data: Any, attributes: dict[str, Any]) -> list[str]:
    """Write the model that made a layer.

    Parameters
    ----------
    path
        Of the ``.safetensors`` file.
    data
        The layer's pixels, which are not looked at.
    attributes
        The layer's, with its metadata.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    ModelFileError
        If the layer is no result of this package, or its model is being trained, or was
        trained further since.
    """
    made = attributes.get("metadata", {}).get(METADATA_KEY, {})
    denoiser = _models.get(made.get("key", ""))
    if denoiser is None:
        raise ModelFileError(
            f'the layer "{attributes.get("name")}" was not made by a dock that is still open, '
            "so there is no model to save; choose another layer, or denoise again"
        )
    if denoiser.in_training:
        raise ModelFileError(
            f'the model of "{attributes.get("name")}" is being trained; stop that, or wait for its '
            "end"
        )
    if denoiser.record.to_dict() != made["model"]:
        raise ModelFileError(
            f'the model of "{attributes.get("name")}" has been trained further since; denoise '
            "again and save that layer, or use Save model in the dock"
        )
    denoiser.save(path)
    return [str(path)]
