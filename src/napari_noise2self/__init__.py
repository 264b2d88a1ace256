"""Self-supervised denoising of microscopy images.

napari imports this module early, so it holds the version and nothing else;
the public names are in :mod:`napari_noise2self.api`.
"""

__version__ = "0.1.0"
