"""Every error this package raises on purpose, as one tree.

Each message says what was given, what was expected and what to do about it.
None of them derives from ``RuntimeError``: Qt thread workers take that for
"the worker was deleted" and drop it.

- Noise2SelfError
    - ConfigError: a parameter is out of its range
    - ImageError: the pixels cannot be used as they are
        - AxesError: the axes string does not fit the image
    - ImageFileError: an image file cannot be read or written
    - ModelFileError: a file is no model, or a damaged or newer one
    - ModelMismatchError: the model does not fit the image or the configuration
    - NotTrainedError: the denoiser has seen no training step yet
    - DeviceError: the computing device is not there
        - DeviceMemoryError: the device ran out of memory, even after backing off
"""

from __future__ import annotations


class Noise2SelfError(Exception):
    """Base of all errors that this package raises on purpose."""


class ConfigError(Noise2SelfError, ValueError):
    """A parameter is out of its range; the message names the range."""


class ImageError(Noise2SelfError, ValueError):
    """The pixels cannot be used as they are: NaN, constant, too small, wrong dtype."""


class AxesError(ImageError):
    """The axes string does not fit the image; the message suggests one that does."""


class ImageFileError(Noise2SelfError, OSError):
    """An image file cannot be read or written."""


class ModelFileError(Noise2SelfError, OSError):
    """A file is no model of this package, is damaged, or is of a newer format."""


class ModelMismatchError(Noise2SelfError, ValueError):
    """The model's channels, dimensionality or architecture do not fit what it is asked for."""


class NotTrainedError(Noise2SelfError):
    """The denoiser has seen no training step yet, so it has nothing to predict with."""


class DeviceError(Noise2SelfError):
    """The computing device that was asked for is not there."""


class DeviceMemoryError(DeviceError):
    """The device ran out of memory, and smaller tiles did not help."""
