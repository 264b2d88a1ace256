"""The colours of napari's theme, for what stylesheets do not reach."""

from __future__ import annotations

from typing import Any

from napari.utils.theme import get_theme


def colours(viewer: Any) -> dict[str, str]:
    """Return the colours for a plot.

    Parameters
    ----------
    viewer
        The napari viewer.

    Returns
    -------
    dict
        ``background``, ``text`` and ``error``, as Qt reads colours; napari's
        own error colour is too dark for text on its dark background.
    """
    theme = get_theme(viewer.theme)
    error = "#ff7b72" if theme.type == "dark" else "#b3111f"
    return {
        "background": theme.background.as_hex(),
        "text": theme.text.as_hex(),
        "error": error,
    }
