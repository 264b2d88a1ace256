"""Whether a training may rely on the noise level that was found."""

from __future__ import annotations

import itertools
from collections.abc import Collection

import numpy as np

from .axes import Stack
from .correlation import SHARED
from .flatness import FEWEST, HALF, OVERLAP, Blocks, sample_runs, windows_of_blocks
from .footprint import SURE
from .noise_level import NoiseLevel


def reliance(
    stack: Stack, level: NoiseLevel | None, *, seed: int = 0, constant: Collection[int] = ()
) -> tuple[bool, str]:
    """Tell whether a training may rely on the noise level, and say it in words.

    Relying on it takes a variance that lies on a line, noise that neither
    neighbouring pixels nor channels have in common, and that rounding did not
    shape.

    Parameters
    ----------
    stack
        The image.
    level
        What `measured_noise` found in it.
    seed
        Seed of the draw of windows.
    constant
        Channels that hold one value throughout.
    """
    if level is None:
        return False, "its level could not be measured"
    if not level.trusted:
        caution = next(c.caution for c in level.channels if c.caution)
        return False, f"its level is not relied on: {caution}"
    shared = shared_by_channels(stack, seed=seed, constant=constant)
    if shared is None:
        return False, "whether its channels have noise in common could not be measured"
    if shared > SHARED:
        said = f"the channels have noise in common ({shared:.2f} of it at least)"
        return False, f"its level is not relied on: {said}"
    if stack.channels > 1:
        return True, f"the noise level of each of the {stack.channels} channels is known"
    return True, level.sentence


def shared_by_channels(
    stack: Stack, *, seed: int = 0, constant: Collection[int] = ()
) -> float | None:
    """Return what the noise of two channels has in common at least, as a correlation.

    The largest of all pairs, less the chance of the sample. Fine structure that channels have
    in common counts as well. None if a channel shows no noise in the planes that are looked at.

    Parameters
    ----------
    stack
        The image.
    seed
        Seed of the draw of windows.
    constant
        Channels that hold one value throughout.
    """
    noisy = [c for c in range(stack.channels) if c not in constant]
    if len(noisy) < 2:
        return 0.0
    runs = sample_runs(stack, "", seed=seed)
    channels = [Blocks.of(windows_of_blocks([run[:, c] for run in runs])[:, 0]) for c in noisy]
    strata = [blocks.flat(unbiased=True) for blocks in channels]
    if not all(strata):
        return None
    flat = [np.concatenate(places) for places in strata]
    fine = [
        blocks.values[..., HALF:, HALF:].reshape(-1, HALF * HALF).astype(np.float64)
        for blocks in channels
    ]
    found = [0.0]
    for i, j in itertools.combinations(range(len(noisy)), 2):
        both = np.intersect1d(flat[i], flat[j])
        places = both if len(both) >= FEWEST else np.union1d(flat[i], flat[j])
        a, b = fine[i][places], fine[j][places]
        usable = np.isfinite(a).all(1) & np.isfinite(b).all(1)
        a, b = a[usable], b[usable]
        correlation = abs((a * b).sum()) / np.sqrt((a * a).sum() * (b * b).sum())
        found.append(correlation - SURE / np.sqrt(a.size / OVERLAP))
    return float(max(found))
