"""How the documentation is built: `sphinx-build docs site`."""

from napari_noise2self import __version__

project = "napari-noise2self"
copyright = "the napari-noise2self founders"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["images"]
html_theme = "furo"
html_title = "napari-noise2self"

myst_enable_extensions = ["dollarmath", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = False
napoleon_use_ivar = False
napoleon_use_rtype = False
