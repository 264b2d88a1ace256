"""The public names, and nothing else.

>>> from napari_noise2self import api
>>> sorted(name for name in api.__all__ if name.islower())[:3]
['denoise', 'denoise_iter', 'fill_nan']
"""

from .core.axes import Image
from .core.config import Progress, TrainingConfig
from .core.errors import (
    AxesError,
    ConfigError,
    DeviceError,
    DeviceMemoryError,
    ImageError,
    ImageFileError,
    ModelFileError,
    ModelMismatchError,
    Noise2SelfError,
    NotTrainedError,
)
from .core.repair import fill_nan
from .core.training import train
from .denoise import denoise, denoise_iter
from .denoiser import Denoiser
from .io.images import read_image, write_image

__all__ = [
    "AxesError",
    "ConfigError",
    "Denoiser",
    "DeviceError",
    "DeviceMemoryError",
    "Image",
    "ImageError",
    "ImageFileError",
    "ModelFileError",
    "ModelMismatchError",
    "Noise2SelfError",
    "NotTrainedError",
    "Progress",
    "TrainingConfig",
    "denoise",
    "denoise_iter",
    "fill_nan",
    "read_image",
    "train",
    "write_image",
]
