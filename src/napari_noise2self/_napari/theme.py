"""The colours of napari's theme, for what stylesheets do not reach."""

from __future__ import annotations

from typing import Any

from napari.utils.theme import get_theme

OURS = {
    "dark": {
        "error": "#ff7b72",
        "training": "#4c9be8",
        "held_out": "#f08a3c",
        "baseline": "#9a9a9a",
    },
    "light": {
        "error": "#b3111f",
        "training": "#1565c0",
        "held_out": "#a84300",
        "baseline": "#626262",
    },
}
"""Colours of messages, curves and legends that stand out from the background as text must."""


def colours(viewer: Any) -> dict[str, str]:
    """Return the colours for a plot.

    Parameters
    ----------
    viewer
        The napari viewer.

    Returns
    -------
    dict
        ``background``, ``text`` and ``error``, as Qt reads colours (napari's own
        error colour is too dark for text on its dark background), and of curves
        ``training``, ``held_out`` and ``baseline``.
    """
    theme = get_theme(viewer.theme)
    kind = "dark" if theme.type == "dark" else "light"
    return {
        "background": theme.background.as_hex(),
        "text": theme.text.as_hex(),
        **OURS[kind],
    }
