"""PSNR against wall time, ours and CAREamics' N2V, and when its final result is passed.

    python benchmarks/time_to_quality.py --data FMD --frames 1 --peers careamics --plot curves.png

The clock runs from the call, with torch imported. At times that grow by a
constant factor it is stopped, the whole frame is predicted with the weights of
that moment, and it goes on. A point's time is the training until then plus that
prediction: what somebody would have waited who stopped there. Ours is the mean
of as many passes as take a quarter of the training so far, at least one (who
stops early is in a hurry); the last point takes all. For the peer the prediction
is a bare forward pass, less than its own `predict` takes, which makes the last
point.

PSNR has range 255, clipped, not rescaled. "passed" is the time of our first
point from which on no point is below the final result of the peer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import _careamics
import _peers
from _data import Pair, read_pairs
from _metrics import psnr
from _report import begin, comma_list, comma_numbers, parser, print_table, save
from matplotlib.figure import Figure

from napari_noise2self import api

Point = dict[str, float]
PEERS = ("careamics", "n2v2")
PREDICTING = 1 / 4  # of the training so far, at most, for the prediction of a point
TICKS = (0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)  # seconds
CURVE = {
    "scene": "scene", "frame": "frame", "method": "method", "seed": "seed", "step": "step|d",
    "passes": "passes|d", "seconds": "seconds|.1f", "psnr": "PSNR|.2f",
}  # fmt: skip
SUMMARY = {
    "scene": "scene", "frame": "frame", "peer": "peer", "seed": "seed", "peer_psnr": "peer|.2f",
    "peer_seconds": "seconds|.1f", "preview": "first preview, s|.2f", "final": "ours|.2f",
    "final_seconds": "seconds|.1f", "passed": "passed, s|.1f", "share": "share of its time|.0%",
}  # fmt: skip


@dataclass
class Clock:
    """Time that can be stopped; points are due at times that grow by a factor."""

    factor: float
    due: float = 0.0
    _started: float = field(default_factory=time.perf_counter)
    _away: float = 0.0

    def seconds(self) -> float:
        """Time since the start, without what was spent on evaluation."""
        return time.perf_counter() - self._started - self._away

    def is_due(self) -> bool:
        """Whether it is time for a point."""
        return self.seconds() >= self.due

    def evaluated(self, since: float, spent: float) -> None:
        """Take out the evaluation that began at `since` (perf_counter) and plan the next point."""
        self._away += time.perf_counter() - since
        self.due = max(self.seconds() * self.factor, self.seconds() + spent)


def our_curve(pair: Pair, config: api.TrainingConfig, factor: float) -> Iterator[Point]:
    """Yield points of one training of ours; the first is what a first preview shows."""
    clock = Clock(factor)
    denoiser = api.Denoiser.for_image(pair.noisy, axes="YX", config=config)
    every = len(denoiser.method.passes("best"))
    a_pass = math.inf  # seconds, of the fastest so far
    for event in api.train(denoiser, pair.noisy, config):
        if not clock.is_due():
            continue
        until, since = clock.seconds(), time.perf_counter()
        passes = max(1, min(every, int(PREDICTING * until / a_pass)))
        image = denoiser.predict(pair.noisy, passes=passes)
        spent = time.perf_counter() - since
        a_pass = min(a_pass, spent / passes)
        yield {
            "step": event.step,
            "passes": passes,
            "seconds": until + spent,
            "psnr": psnr(pair.truth, image),
        }
        clock.evaluated(since, spent)
    until, since = clock.seconds(), time.perf_counter()
    image = denoiser.predict(pair.noisy)  # with the best weights, as a user gets it
    spent = time.perf_counter() - since
    steps = denoiser.record.steps
    quality = psnr(pair.truth, image)
    passes = len(denoiser.method.passes("best"))
    yield {"step": steps, "passes": passes, "seconds": until + spent, "psnr": quality}


def peer_curve(pair: Pair, seed: int, factor: float, *, n2v2: bool) -> list[Point]:
    """Return points of one training of CAREamics, the last by its own `predict`."""
    clock = Clock(factor)
    points: list[Point] = []

    def look(trainer: Any, module: Any) -> None:
        if not clock.is_due():
            return
        until, since = clock.seconds(), time.perf_counter()
        image = _careamics.forward(trainer, module, pair.noisy)
        spent = time.perf_counter() - since
        quality = psnr(pair.truth, image)
        points.append({"step": trainer.global_step, "seconds": until + spent, "psnr": quality})
        clock.evaluated(since, spent)

    with _careamics.model(seed, n2v2=n2v2, each_batch=look) as careamist:
        careamist.train(train_data=pair.noisy)
        (image,), _ = careamist.predict(pair.noisy)
        seconds = clock.seconds()
        steps = careamist.trainer.global_step
    return [*points, {"step": steps, "seconds": seconds, "psnr": psnr(pair.truth, image)}]


def passed(points: Sequence[Point], target: float) -> float | None:
    """Return the time of the first point from which on none is below `target`; None for never."""
    when = None
    for point in points:
        if point["psnr"] < target:
            when = None
        elif when is None:
            when = point["seconds"]
    return when


def draw(curves: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw one panel a frame: PSNR against time on a logarithmic axis."""
    frames = list(dict.fromkeys((c["scene"], c["frame"]) for c in curves))
    methods = list(dict.fromkeys(c["method"] for c in curves))
    figure = Figure(figsize=(4.2 * len(frames), 3.6), layout="constrained")
    axes = figure.subplots(1, len(frames), squeeze=False)[0]
    for ax, (scene, frame) in zip(axes, frames, strict=True):
        for curve in curves:
            if (curve["scene"], curve["frame"]) != (scene, frame):
                continue
            x = [point["seconds"] for point in curve["points"]]
            y = [point["psnr"] for point in curve["points"]]
            color = f"C{methods.index(curve['method'])}"
            label = curve["method"] if curve["first"] else None
            ax.plot(x, y, ".-", color=color, label=label, linewidth=1, markersize=4)
            if curve["method"] in PEERS:
                ax.axhline(y[-1], color=color, linestyle=":", linewidth=0.8)
        ax.set(title=f"{scene} {frame}", xlabel="seconds from the call", xscale="log")
        ax.axhline(next(c["noisy"] for c in curves if c["scene"] == scene), color="0.6")
        low, high = ax.get_xlim()
        ticks = [t for t in TICKS if low <= t <= high]
        ax.set_xticks(ticks, [f"{t:g}" for t in ticks])
        ax.set_xticks([], minor=True)
        ax.grid(visible=True, alpha=0.3)
    axes[0].set_ylabel("PSNR (dB); grey: the noisy frame")
    axes[0].legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)
    print(f"\nsaved {path}")


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
    arguments.add_argument("--peers", type=comma_list, default=[], help=f"some of {PEERS}")
    arguments.add_argument(
        "--factor", type=float, default=1.25, help="between the times of points; default: 1.25"
    )
    arguments.add_argument("--plot", type=Path, metavar="PNG", help="draw the curves here")
    options = arguments.parse_args()
    if set(options.peers) - set(PEERS):
        arguments.error(f"--peers: expected some of {','.join(PEERS)}")
    if options.factor <= 1:
        arguments.error("--factor: expected a number above 1")
    config = replace(api.TrainingConfig.preset(options.preset), device=options.device)
    if options.steps:
        config = replace(config, steps=options.steps)
    _peers.prepare(options.peers)
    here = begin(options)

    curves: list[dict[str, Any]] = []
    for pair in read_pairs(options.data, options.scenes, options.frames):
        noisy = psnr(pair.truth, pair.noisy)
        for seed in options.seeds:
            runs = {"ours": list(our_curve(pair, replace(config, seed=seed), options.factor))}
            for name in options.peers:
                runs[name] = peer_curve(pair, seed, options.factor, n2v2=name == "n2v2")
            for name, points in runs.items():
                curves.append(
                    {"scene": pair.scene, "frame": pair.frame, "noisy": noisy, "method": name,
                     "seed": seed, "first": seed == options.seeds[0], "points": points}
                )  # fmt: skip
                final = points[-1]
                print(f"{pair.scene} {pair.frame} seed {seed}: {name} {final['psnr']:.2f} dB in "
                      f"{final['seconds']:.1f} s", flush=True)  # fmt: skip

    print_table([curve | point for curve in curves for point in curve["points"]], CURVE)
    summary = list(summarise(curves))
    print_table(summary, SUMMARY, "When the final result of the peer is passed")
    shares = [row["share"] for row in summary if row["share"] is not None]
    if shares:
        print(
            f"\nshare of the peer's time: median {median(shares):.0%}, largest {max(shares):.0%}; "
            f"never passed: {len(summary) - len(shares)} of {len(summary)}"
        )
    if options.plot:
        draw(curves, options.plot)
    save(options, here, {"curves": curves, "summary": summary})


def summarise(curves: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Set each peer's final result against our curve of the same frame and seed."""
    same = ("scene", "frame", "seed")
    for own in (c for c in curves if c["method"] == "ours"):
        mine = {key: own[key] for key in same} | {
            "preview": own["points"][0]["seconds"],
            "preview_psnr": own["points"][0]["psnr"],
            "final": own["points"][-1]["psnr"],
            "final_seconds": own["points"][-1]["seconds"],
        }
        peers = [c for c in curves if c["method"] != "ours" and all(c[k] == own[k] for k in same)]
        if not peers:
            yield mine | {"share": None}
        for peer in peers:
            final = peer["points"][-1]
            when = passed(own["points"], final["psnr"])
            yield mine | {
                "peer": peer["method"],
                "peer_psnr": final["psnr"],
                "peer_seconds": final["seconds"],
                "passed": when,
                "share": None if when is None else when / final["seconds"],
            }


if __name__ == "__main__":
    main()
