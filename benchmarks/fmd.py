"""Denoising quality on real frames with truth: ours, and the peers in the same run.

    python benchmarks/fmd.py --data FMD --frames 1 --seeds 0,1,2 --peers careamics,n2v2,bm3d

FMD is a folder with raw/<scene>_<frame>.png and gt/<scene>_1.png, as in the
Fluorescence Microscopy Denoising data set (Zhang et al., CVPR 2019); any other
set of grey images in that layout will do.

PSNR is in dB with range 255, the output clipped to [0, 255] and not rescaled.
SI-PSNR is a second figure, after the affine map that fits the truth best, with
the truth's own range. Seconds are from the call to the final full-size array,
with torch imported. Each number is the median over the seeds; "spread" is the
largest minus the smallest best PSNR.

Peers: careamics and n2v2 (shipped defaults), wavelet, tv, nlm (scikit-image,
calibrated by its own J-invariant search), bm3d (sigma estimated). --equal-time
adds CAREamics stopped after the seconds that ours took on the same frame.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import mean, median
from typing import Any

import _careamics
import _peers
import numpy as np
from _data import Pair, read_pairs
from _metrics import psnr, scale_invariant_psnr, ssim
from _report import begin, comma_list, comma_numbers, parser, print_table, save

from napari_noise2self import api

EQUAL_TIME = "careamics, equal time"
OURS = {
    "scene": "scene", "frame": "frame", "noisy": "noisy|.2f", "strict": "J-invariant|.2f",
    "psnr": "best|.2f", "spread": "spread|.2f", "si_psnr": "SI-PSNR|.2f", "ssim": "SSIM|.3f",
    "heldout": "held-out loss|.1f", "expected": "its truth|.1f", "steps": "steps|.0f",
    "hole": "hole", "seconds": "seconds|.1f",
}  # fmt: skip
PEER = {
    "method": "method", "scene": "scene", "frame": "frame", "psnr": "PSNR|.2f",
    "spread": "spread|.2f", "si_psnr": "SI-PSNR|.2f", "ssim": "SSIM|.3f", "seconds": "seconds|.1f",
    "gain": "ours better by|.2f",
}  # fmt: skip


def scores(pair: Pair, image: Any, seconds: float) -> dict[str, float]:
    """Measure one result."""
    return {
        "psnr": psnr(pair.truth, image),
        "si_psnr": scale_invariant_psnr(pair.truth, image),
        "ssim": ssim(pair.truth, image),
        "seconds": seconds,
    }


def ours(pair: Pair, config: api.TrainingConfig, seed: int) -> dict[str, Any]:
    """Train on a frame, predict it; the strict output is made after the clock has stopped."""
    config = replace(config, seed=seed)
    started = time.perf_counter()
    denoiser = api.Denoiser.for_image(pair.noisy, axes="YX", config=config)
    for _ in api.train(denoiser, pair.noisy, config):
        pass
    best = denoiser.predict(pair.noisy)
    seconds = time.perf_counter() - started
    strict = denoiser.predict(pair.noisy, output="j-invariant")
    # Of a strict output, the loss against the noisy image is the true loss plus the noise.
    true = float(np.mean((strict - pair.truth) ** 2))
    return scores(pair, best, seconds) | {
        "strict": psnr(pair.truth, strict),
        "strict_si_psnr": scale_invariant_psnr(pair.truth, strict),
        "strict_ssim": ssim(pair.truth, strict),
        "heldout": denoiser.record.validation_loss * denoiser.normalization.std[0] ** 2,
        "expected": true + float(np.mean((pair.noisy - pair.truth) ** 2)),
        "steps": denoiser.record.steps,
        "best_step": denoiser.record.best_step,
        "hole": " x ".join(map(str, denoiser.footprint)),
    }


def over_seeds(measure: Callable[[int], dict[str, Any]], seeds: Sequence[int]) -> dict[str, Any]:
    """Return the medians over the seeds, the spread of the PSNR, and all of the runs."""
    runs = [{"seed": seed, **measure(seed)} for seed in seeds]
    values = {k: median(run[k] for run in runs) for k, v in runs[0].items()
              if isinstance(v, int | float) and k != "seed"}  # fmt: skip
    texts = {k: v for k, v in runs[0].items() if isinstance(v, str)}
    quality = [run["psnr"] for run in runs]
    return values | texts | {"spread": max(quality) - min(quality), "runs": runs}


def peer_rows(
    pair: Pair, names: Sequence[str], seeds: Sequence[int], seconds: float | None
) -> Iterator[dict[str, Any]]:
    """Measure the peers on a frame; with `seconds`, CAREamics stopped after them as well."""
    functions = {name: _peers.PEERS[name] for name in names}
    if seconds is not None:
        functions[EQUAL_TIME] = partial(_careamics.denoise_within, seconds=seconds)
    for name, function in functions.items():

        def measure(seed: int, function: Any = function) -> dict[str, Any]:
            return scores(pair, *_peers.run(function, pair.noisy, seed))

        random = name in _peers.SEEDED or name == EQUAL_TIME
        yield {"method": name, **over_seeds(measure, seeds if random else seeds[:1])}


def means(rows: list[dict[str, Any]], label: str) -> dict[str, Any]:
    """Return the row of means over the frames, `label` kept."""
    keys = [k for k, v in rows[0].items() if isinstance(v, float) and k != "spread"]
    kept = {"scene": "mean", label: rows[0][label] if label != "scene" else "mean"}
    return kept | {k: mean(row[k] for row in rows) for k in keys}


def main() -> None:
    """Parse the command line and run."""
    arguments = parser(__doc__)
    arguments.add_argument("--data", type=Path, required=True, metavar="DIR", help="raw/ and gt/")
    arguments.add_argument("--preset", default="balanced", help="of ours; default: balanced")
    arguments.add_argument("--steps", type=int, help="optimiser steps instead of the preset's")
    arguments.add_argument("--scenes", type=comma_list, help="comma-separated; default: all")
    arguments.add_argument("--frames", type=comma_list, help="comma-separated; default: all")
    arguments.add_argument("--seeds", type=comma_numbers, default=[0], help="default: 0")
    arguments.add_argument("--device", help="of ours; default: the fastest")
    arguments.add_argument(
        "--peers", type=comma_list, default=[], help=f"some of {','.join(_peers.PEERS)}"
    )
    arguments.add_argument("--equal-time", action="store_true", help="CAREamics in our time, too")
    arguments.add_argument("--no-ours", action="store_true", help="run the peers alone")
    options = arguments.parse_args()
    if options.no_ours and options.equal_time:
        arguments.error("--equal-time needs our time: leave out --no-ours")
    config = replace(api.TrainingConfig.preset(options.preset), device=options.device)
    if options.steps:
        config = replace(config, steps=options.steps)
    _peers.prepare(options.peers + (["careamics"] if options.equal_time else []))
    here = begin(options)

    own: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for pair in read_pairs(options.data, options.scenes, options.frames):
        known = {"scene": pair.scene, "frame": pair.frame, "noisy": psnr(pair.truth, pair.noisy)}
        print(f"{pair.scene} {pair.frame}:", flush=True)
        best = seconds = None
        if not options.no_ours:
            measured = over_seeds(partial(ours, pair, config), options.seeds)
            own.append(known | measured)
            best, seconds = measured["psnr"], measured["seconds"]
            print(f"  ours {best:.2f} dB, {seconds:.1f} s", flush=True)
        for row in peer_rows(
            pair, options.peers, options.seeds, seconds if options.equal_time else None
        ):
            gain = None if best is None else best - row["psnr"]
            others.append(known | row | {"gain": gain})
            print(f"  {row['method']} {row['psnr']:.2f} dB, {row['seconds']:.1f} s", flush=True)

    if own:
        title = f"Ours, {options.preset}, medians over {len(options.seeds)} seed(s)"
        print_table([*own, means(own, "scene")] if len(own) > 1 else own, OURS, title)
    if others:
        methods = list(dict.fromkeys(row["method"] for row in others))
        grouped = [[row for row in others if row["method"] == name] for name in methods]
        rows = [
            row
            for group in grouped
            for row in ([*group, means(group, "method")] if len(group) > 1 else group)
        ]
        print_table(rows, PEER, "Peers")
    save(options, here, {"ours": own, "peers": others})


if __name__ == "__main__":
    main()
