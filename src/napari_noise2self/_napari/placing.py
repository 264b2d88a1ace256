"""How a new layer comes into the viewer: without disturbing what is there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .layers import METADATA_KEY

MIXING = ("additive", "minimum", "multiplicative")
"""Blendings that show a layer together with those below it: the channels of a composite."""


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


def stand_in(layers: Any, result: Any, source: Any) -> list[Any]:
    """Put a result where it is seen in place of its source, that of one channel among several too.

    A result lies on top. In a composite, where layers above the source are
    blended with it, it would cover them there: it goes right above its source.
    Where it is blended with what is below it, its source would shine through:
    that is hidden, and so are earlier results of it.

    Parameters
    ----------
    layers
        The list of a napari viewer.
    result
        A layer that was added to it last.
    source
        The layer that it was made from; one that has left the list changes nothing.

    Returns
    -------
    list
        The layers that were hidden.
    """
    if source not in layers:
        return []
    made = [x for x in layers if x is not result and _made_from(x) == source.name]
    above = [x for x in layers[layers.index(source) + 1 :] if x is not result and x not in made]
    if any(layer.visible and layer.blending in MIXING for layer in above):
        place = layers.index(source) + 1
        while layers[place] in made:
            place += 1
        layers.move(layers.index(result), place)
    if result.blending not in MIXING:
        return []
    hidden = [x for x in (source, *made) if x.visible and x.blending in MIXING]
    for layer in hidden:
        layer.visible = False
    return hidden


def unmixed(appearance: Mapping[str, Any]) -> dict[str, Any]:
    """Return an appearance without a blending that lets shine through what is below."""
    mixed = appearance.get("blending") in MIXING
    return {k: v for k, v in appearance.items() if not (mixed and k == "blending")}


def _made_from(layer: Any) -> str | None:
    """Return the name of the layer that a result was made from."""
    source: str | None = layer.metadata.get(METADATA_KEY, {}).get("source")
    return source
