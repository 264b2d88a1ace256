"""How a new layer comes into the viewer: without disturbing what is there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def selection_kept(layers: Any) -> Iterator[None]:
    """Leave the selection as it is when layers are added: the next click means the same images.

    Parameters
    ----------
    layers
        The list of a napari viewer.
    """
    selected = set(layers.selection)
    yield
    layers.selection = selected.intersection(layers)
