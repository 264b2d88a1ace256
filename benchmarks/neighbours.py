"""What neighbouring frames and planes in view gain.

    python benchmarks/neighbours.py --seeds 0,1,2

The time-lapse and the z-stack of the samples are denoised as a user would have
them denoised, with and without their neighbours in view, the z-stack with a 3-D
network as well. PSNR is over the largest value of the truth, seconds are from
the call to the result.
"""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
from _metrics import psnr
from _report import begin, comma_list, comma_numbers, parser, print_table, save

from napari_noise2self import api, samples

ARMS: dict[str, dict[str, Any]] = {
    "each by itself": {"context": 0},
    "one neighbour": {"context": 1},
    "the default": {},
    "3-D": {"dimensions": 3},
}
COLUMNS = {
    "sample": "sample", "arm": "arm", "noisy": "noisy|.2f", "psnr": "PSNR|.2f",
    "spread": "spread|.2f", "seconds": "seconds|.0f",
}  # fmt: skip


def main() -> None:
    """Parse the command line and run."""
    arguments = parser(__doc__)
    arguments.add_argument("--samples", type=comma_list, default=["timelapse", "zstack"])
    arguments.add_argument("--arms", type=comma_list, default=list(ARMS), help=", ".join(ARMS))
    arguments.add_argument("--preset", default="balanced")
    arguments.add_argument("--seeds", type=comma_numbers, default=[0], help="default: 0")
    options = arguments.parse_args()
    here = begin(options)
    rows = []
    for name in options.samples:
        sample = getattr(samples, name)()
        truth = np.asarray(sample.truth.data)
        peak = float(truth.max())
        for arm in options.arms:
            if arm == "3-D" and "Z" not in sample.noisy.axes:
                continue
            found, seconds = [], []
            for seed in options.seeds:
                config = replace(api.TrainingConfig.preset(options.preset), seed=seed, **ARMS[arm])
                started = time.perf_counter()
                found.append(psnr(truth, api.denoise(sample.noisy, config=config), 0.0, peak))
                seconds.append(time.perf_counter() - started)
                print(f"... {name}, {arm}, seed {seed}: {found[-1]:.2f} dB", flush=True)
            rows.append(
                {
                    "sample": name,
                    "arm": arm,
                    "noisy": psnr(truth, np.asarray(sample.noisy.data), 0.0, peak),
                    "psnr": median(found),
                    "spread": max(found) - min(found),
                    "seconds": median(seconds),
                }
            )
    print_table(rows, COLUMNS)
    save(options, here, {"rows": rows})


if __name__ == "__main__":
    main()
