"""The public names, and nothing else.

>>> from napari_noise2self import api
>>> sorted(name for name in api.__all__ if name.islower())[:3]
['calibrate', 'calibrate_iter', 'denoise']
"""

from .core.axes import Image
from .core.calibrated import Calibration, Trial
from .core.calibration import calibrate, calibrate_iter
from .core.config import Progress, TrainingConfig
from .core.diagnostics import Diagnosis, diagnose, diagnose_iter
from .core.disagreement import disagreement, disagreement_iter
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
from .core.inspection import Inspection, inspect_result, inspect_result_iter
from .core.repair import fill_nan
from .core.training import train
from .denoise import denoise, denoise_iter
from .denoiser import Denoiser
from .figures_diagnosis import draw_diagnosis
from .io.calibrations import read_calibration, write_calibration
from .io.images import read_image, write_image

__all__ = [
    "AxesError",
    "Calibration",
    "ConfigError",
    "Denoiser",
    "DeviceError",
    "DeviceMemoryError",
    "Diagnosis",
    "Image",
    "ImageError",
    "ImageFileError",
    "Inspection",
    "ModelFileError",
    "ModelMismatchError",
    "Noise2SelfError",
    "NotTrainedError",
    "Progress",
    "TrainingConfig",
    "Trial",
    "calibrate",
    "calibrate_iter",
    "denoise",
    "denoise_iter",
    "diagnose",
    "diagnose_iter",
    "disagreement",
    "disagreement_iter",
    "draw_diagnosis",
    "fill_nan",
    "inspect_result",
    "inspect_result_iter",
    "read_calibration",
    "read_image",
    "train",
    "write_calibration",
    "write_image",
]
