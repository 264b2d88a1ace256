"""What follows from a look at a recording: remarks, the assumption, the advice, in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from .config import MINIMUM_SIZE, sizes_in_words
from .correlation import NoiseCorrelation
from .faults import Faults
from .footprint import WIDEST, alike, leak
from .noise_level import NoiseLevel

Assumption = Literal["holds", "holds with a wider hole", "in doubt", "fails"]
Advice = Literal["network", "calibrated", "nothing"]

CLIPPED = 0.005
"""Share of cut-off pixels above which their bias matters."""

SHARED = 0.3
"""Correlation of frames above which they share a pattern."""

DRIFT = 0.1
"""Relative change of brightness along time that is worth a word."""

HOT = 1e-5
"""Share of hot pixels that is worth a word."""

HOT_VARIANCE = 0.02
"""Share of the variance made by hot pixels that is worth a word, however few they are."""

LOWEST = -20.0
"""Signal over noise, in decibels, below which it cannot be told from none."""

CLEAN = 30.0
"""Signal over noise, in decibels, from which on denoising changes little."""

TEXTURE = (
    "at least half of what varies in the image is shared by neighbouring pixels: it may be noise, "
    "or a fine texture of the specimen, which would be taken away, and one image cannot tell"
)
"""What a hole that was measured may come from as well."""

FEW = 16_384
"""Pixels below which a network has too little to learn from (a rule of thumb: 128 x 128)."""


def signal_to_noise(noise: NoiseLevel, mean: float, variance: float, channel: int = 0) -> float:
    """Return the variance of the structure over that of the noise, in decibels.

    Parameters
    ----------
    noise
        Its line, which has its mean at the mean brightness.
    mean, variance
        Of the channel, structure and noise together.
    channel
        Index of the channel.
    """
    of_noise = float(noise.variance(mean, channel))
    return 10 * math.log10(max(variance / of_noise - 1, 10 ** (LOWEST / 10)))


def _varying(faults: Faults) -> list[int]:
    """Return the channels that hold more than one value; all where none does."""
    return [c for c, v in enumerate(faults.variance) if v > 0] or [*range(len(faults.variance))]


def shared_by_neighbours(
    footprint: Sequence[int],
    noise: NoiseLevel | None,
    mean: Sequence[float],
    variance: Sequence[float],
) -> bool:
    """Whether what neighbouring pixels share is as strong as all else there is.

    Parameters
    ----------
    footprint
        Of the hole that hides it.
    noise
        What was taken for the noise.
    mean, variance
        Of each channel of the image.
    """
    if noise is None or max(footprint) == 1:
        return False
    channels = enumerate(zip(mean, variance, strict=True))
    return any(v > 0 and signal_to_noise(noise, m, v, c) <= 0 for c, (m, v) in channels)


def _shared_by_frames(correlation: NoiseCorrelation) -> float:
    """Largest correlation between neighbouring frames, 0.0 without frames."""
    return max((c.rho[0] for part in correlation.samples for c in part if c.certain), default=0.0)


def remarks_on(faults: Faults, correlation: NoiseCorrelation) -> list[str]:
    """Return one sentence for each fault that is worth a word."""
    remarks = []
    several = len(faults.saturated) > 1
    for c, (saturated, clipped, hot, stay, variance) in enumerate(
        zip(
            faults.saturated,
            faults.clipped,
            faults.hot,
            faults.hot_stay,
            faults.hot_variance,
            strict=True,
        )
    ):
        where = f" in channel {c}" if several else ""
        if saturated > 0:
            remarks.append(f"{saturated:.2%} of the pixels{where} are saturated")
        if clipped > 0:
            remarks.append(f"{clipped:.2%} of the pixels{where} are clipped to the lowest value")
        if hot > HOT or variance > HOT_VARIANCE:
            always = ", most of them in every frame" if stay > 0.5 else ""
            much = (
                f"; they make {variance:.0%} of the variance: replace them before training"
                if variance > HOT_VARIANCE
                else ""
            )
            remarks.append(f"{_per(hot)} pixels{where} is hot{always}{much}")
        drift = faults.drift(c)
        if drift is not None and abs(drift) > DRIFT:
            word = "falls" if drift < 0 else "rises"
            remarks.append(f"the brightness{where} {word} by {abs(drift):.0%} along time")
    if faults.not_finite:
        remarks.append(f"{faults.not_finite:.2%} of the pixels are NaN or infinite")
    if faults.empty_count:
        more = ", ..." if faults.empty_count > len(faults.empty) else ""
        many = "one plane is" if faults.empty_count == 1 else f"{faults.empty_count} planes are"
        remarks.append(f"{many} empty: {', '.join(faults.empty)}{more}")
    shared = _shared_by_frames(correlation)
    if shared > SHARED:
        remarks.append(
            f"neighbouring frames are alike by {shared:.2f} even in flat places: a fixed pattern "
            "of the camera, or structure that is fine and stays in its place"
        )
    return remarks


def _per(share: float) -> str:
    return f"one in {round(1 / share):,}" if share else "no"


def _too_small(shape: Sequence[int]) -> bool:
    return min(shape[-2:]) < MINIMUM_SIZE


def judge_assumption(
    shape: Sequence[int], correlation: NoiseCorrelation, noise: NoiseLevel | None, faults: Faults
) -> tuple[Assumption, str]:
    """Say whether the noise has mean zero and is independent of the pixels that stay visible.

    Parameters
    ----------
    shape
        Of the image: (samples, channels, space).
    correlation, noise, faults
        What was found in it.
    """
    if _too_small(shape):
        return "in doubt", f"nothing can be said: {shape[-2]} x {shape[-1]} pixels are too few"
    channels = [c for c in correlation.channels if c]
    if not channels or noise is None:
        return "in doubt", "nothing can be said: no part of the image shows its noise"
    if any(a.lines for c in channels for a in c):
        return "fails", (
            "the assumption of Noise2Self fails: whole lines share an offset, which the network "
            "takes for structure; subtract the offset of each line first"
        )
    footprint = correlation.footprint
    remaining = max(leak(c, footprint) for c in channels)
    if max(footprint) >= WIDEST and remaining > 0.1:
        return "fails", (
            "the assumption of Noise2Self fails: the noise is correlated over more pixels than "
            f"a hole can hide; {remaining:.0%} of it would be left in the result"
        )
    doubts = []
    if shared_by_neighbours(footprint, noise, faults.mean, faults.variance):
        doubts.append(TEXTURE)
    if max(footprint) >= WIDEST:
        doubts.append("neighbouring pixels share their noise as far as a hole can hide it")
    if max(faults.hot_variance) > HOT_VARIANCE:
        doubts.append(
            f"hot pixels make {max(faults.hot_variance):.0%} of the variance, and stay in the "
            "best output"
        )
    cut = max(a + b for a, b in zip(faults.saturated, faults.clipped, strict=True))
    if cut > CLIPPED:
        doubts.append(
            f"{cut:.1%} of the pixels are cut off, where the mean of the noise is not zero"
        )
    if max(footprint) == 1 and any(alike(c) for c in channels):
        doubts.append("neighbouring pixels are alike, and it cannot be told whether noise is")
    shared = _shared_by_frames(correlation)
    if shared > SHARED:
        doubts.append("frames share a pattern, which stays in the result if it is the camera's")
    if doubts:
        return "in doubt", f"the assumption of Noise2Self is in doubt: {'; '.join(doubts)}"
    if max(footprint) > 1:
        return "holds with a wider hole", (
            "the assumption of Noise2Self holds if each target is hidden together with its "
            f"surroundings, {sizes_in_words(footprint)} pixels; {remaining:.0%} of the "
            "noise can still be read off the rest"
        )
    return "holds", "the assumption of Noise2Self holds: the noise of a pixel is its own"


def advise(
    shape: Sequence[int],
    correlation: NoiseCorrelation,
    noise: NoiseLevel | None,
    faults: Faults,
    assumption: Assumption,
) -> tuple[Advice, str]:
    """Say what suits: a network, a classical denoiser, nothing; and what comes before that.

    Parameters
    ----------
    shape
        Of the image: (samples, channels, space).
    correlation, noise, faults, assumption
        What was found in it, and said of it.
    """
    if _too_small(shape):
        return "nothing", (
            f"take a larger region: to denoise, at least {MINIMUM_SIZE} x {MINIMUM_SIZE} pixels "
            "are needed"
        )
    pixels = math.prod(shape) // shape[1]
    if noise is None:
        return "nothing", "leave it as it is: there is no noise to be measured"
    snr = min(
        signal_to_noise(noise, faults.mean[c], faults.variance[c], c) for c in _varying(faults)
    )
    if snr > CLEAN:
        return "nothing", (
            f"leave it as it is: structure exceeds noise by {snr:.0f} dB, so that denoising "
            "changes little and can only lose detail"
        )
    if assumption == "fails":
        return "nothing", (
            "mend the noise first, then a network suits: as it is, any self-supervised method "
            "takes part of it for structure"
        )
    first = ""
    if faults.not_finite:
        first = (
            f"first replace the {faults.not_finite:.2%} of the pixels that are NaN or infinite; "
            "then "
        )
    if pixels < FEW:
        return "calibrated", (
            f"{first}a classical denoiser, tuned by the self-supervised loss, suits: {pixels} "
            "pixels are few for a network to learn from"
        )
    how = f", hiding {sizes_in_words(correlation.footprint)} pixels"
    ratio = f"of {snr:.0f} dB" if snr > LOWEST else f"below {LOWEST:.0f} dB"
    return "network", (
        f"{first}a network suits{how if max(correlation.footprint) > 1 else ''}: there are "
        f"{pixels:,} pixels to learn from, at a signal-to-noise ratio {ratio}"
    )
