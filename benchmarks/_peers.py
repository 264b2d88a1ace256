"""The peers by name, each a function of a noisy image (0 to 255) and a seed."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import _careamics
import numpy as np
from numpy.typing import NDArray
from skimage import restoration

Array = NDArray[np.float32]
Peer = Callable[[Array, int], Array]
HIGH = 255.0


def _calibrated(
    function: Callable[..., Any], ranges: Callable[[float], Any], image: Array
) -> Array:
    """Tune a denoiser of scikit-image by scikit-image's own J-invariant calibration."""
    x = image / HIGH
    sigma = float(restoration.estimate_sigma(x))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tuned = restoration.calibrate_denoiser(x, function, denoise_parameters=ranges(sigma))
        return np.asarray(tuned(x) * HIGH, np.float32)


def wavelet(image: Array, seed: int) -> Array:
    """Calibrate and apply a wavelet threshold."""
    return _calibrated(
        partial(restoration.denoise_wavelet, rescale_sigma=True),
        lambda sigma: {
            "sigma": list(sigma * np.geomspace(0.5, 3, 8)),
            "wavelet": ["db1", "db2", "sym4"],
            "method": ["BayesShrink", "VisuShrink"],
        },
        image,
    )


def tv(image: Array, seed: int) -> Array:
    """Calibrate and apply total variation (Chambolle)."""
    return _calibrated(
        restoration.denoise_tv_chambolle,
        lambda sigma: {"weight": list(np.geomspace(0.01, 1, 15))},
        image,
    )


def nlm(image: Array, seed: int) -> Array:
    """Calibrate and apply non-local means."""
    return _calibrated(
        partial(restoration.denoise_nl_means, fast_mode=True),
        lambda sigma: {
            "h": list(sigma * np.array([0.4, 0.6, 0.8, 1.0, 1.2])),
            "patch_size": [5, 7],
            "patch_distance": [7, 11],
        },
        image,
    )


def bm3d(image: Array, seed: int) -> Array:
    """Apply BM3D with scikit-image's estimate of sigma."""
    from bm3d import bm3d as collaborative_filter

    sigma = float(restoration.estimate_sigma(image))
    return np.asarray(collaborative_filter(image.astype(np.float64), sigma), np.float32)


PEERS: Mapping[str, Peer] = {
    "careamics": _careamics.denoise,
    "n2v2": partial(_careamics.denoise, n2v2=True),
    "wavelet": wavelet,
    "tv": tv,
    "nlm": nlm,
    "bm3d": bm3d,
}
SEEDED = frozenset({"careamics", "n2v2"})
"""Those whose result depends on the seed; the others run once."""
_DISTRIBUTION = {"careamics": "careamics", "n2v2": "careamics", "bm3d": "bm3d"}


def prepare(names: Sequence[str]) -> None:
    """Import what the peers need, outside any measured time; say what is missing."""
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise SystemExit(f"no peer {', '.join(unknown)}; expected some of {', '.join(PEERS)}")
    needed = {_DISTRIBUTION[name] for name in names if name in _DISTRIBUTION}
    missing = sorted(name for name in needed if importlib.util.find_spec(name) is None)
    if missing:
        raise SystemExit(
            f"{' and '.join(missing)} not installed: see benchmarks/README.md, "
            "or leave those peers out of --peers"
        )
    if "careamics" in needed:
        _careamics.load()


def run(function: Peer, image: Array, seed: int) -> tuple[Array, float]:
    """Denoise by a peer; seconds are from the call to the result."""
    started = time.perf_counter()
    result = function(image, seed)
    return result, time.perf_counter() - started
