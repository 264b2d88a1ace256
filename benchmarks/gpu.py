"""Training and prediction on a GPU, in one command and a few short tables.

    python benchmarks/gpu.py --json gpu.json
    python benchmarks/gpu.py --device cpu --tiny

Training: steps and megapixels a second by batch (pixels a step) and precision,
after a warm-up, and the memory that torch took. Where the time goes: one
profiled stretch of the default batch, with the kernels of a step, how long the
device was busy in it, and so how much of it the host left the device waiting.
Prediction: megapixels a second of one pass and of the best output. On a CPU the
device's part is that of torch's operators. --tiny runs everything in seconds,
to see that it runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from _data import moving_cells
from _report import begin, comma_list, comma_numbers, parser, print_table, save
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from napari_noise2self import api
from napari_noise2self.core.devices import describe_device, resolve_device

PROFILED = 10  # steps; to sum up the events of more takes longer than to run them
TRAINING = {
    "pixels": "pixels a step|,d", "precision": "precision", "steps": "steps/s|.1f",
    "speed": "Mpx/s|.1f", "memory_gb": "memory, GB|.2f", "error": "error",
}  # fmt: skip
PROFILE = {
    "precision": "precision", "step_ms": "step, ms|.2f", "busy_ms": "device busy, ms|.2f",
    "waiting": "device waiting|.0%", "launches": "kernels a step|.0f",
}  # fmt: skip
KERNELS = {"precision": "precision", "name": "kernel", "ms": "ms a step|.3f", "calls": "calls|.1f"}
PREDICTION = {
    "size": "size|d", "precision": "precision", "output": "output", "seconds": "seconds|.3f",
    "speed": "Mpx/s|.1f", "memory_gb": "memory, GB|.2f", "error": "error",
}  # fmt: skip


def wait(device: torch.device) -> None:
    """Wait until the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def memory_gb(device: torch.device) -> float | None:
    """Return the most memory that torch has held on a GPU since `forget`."""
    return torch.cuda.max_memory_reserved(device) / 1e9 if device.type == "cuda" else None


def forget(device: torch.device) -> None:
    """Give unused memory back and begin to count anew."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


class Training:
    """A training that goes on as long as it is asked to, without looks at the held-out pixels."""

    def __init__(self, image: np.ndarray, device: torch.device, precision: str, pixels: int):
        self.device = device
        config = api.TrainingConfig(
            steps=1_000_000, validate_every=1_000_000, pixels_per_step=pixels,
            footprint=(1, 1), precision=precision, device=str(device),
        )  # fmt: skip
        self.denoiser = api.Denoiser.for_image(image, axes="YX", config=config)
        self.events = api.train(self.denoiser, image, config)

    def run(self, steps: int) -> float:
        """Run so many steps and return the seconds they took."""
        wait(self.device)
        started = time.perf_counter()
        for _ in range(steps):
            next(self.events)
        wait(self.device)
        return time.perf_counter() - started


def training_rows(
    image: np.ndarray, device: torch.device, options: Any
) -> Iterator[dict[str, Any]]:
    """Yield one row for each batch and precision."""
    for precision in options.precisions:
        for pixels in options.batches:
            row: dict[str, Any] = {"pixels": pixels, "precision": precision}
            forget(device)
            try:
                training = Training(image, device, precision, pixels)
                training.run(options.warm_up)
                seconds = training.run(options.steps)
            except api.DeviceMemoryError as error:
                yield row | {"error": str(error).partition(";")[0]}
                continue
            training.events.close()
            row |= {"steps": options.steps / seconds, "memory_gb": memory_gb(device)}
            yield row | {"speed": pixels * options.steps / seconds / 1e6}


def profiled(
    image: np.ndarray, device: torch.device, precision: str, options: Any
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Profile some steps; return what a step is made of, and its longest kernels."""
    training = Training(image, device, precision, api.TrainingConfig().pixels_per_step)
    training.run(options.warm_up)
    plain = training.run(options.steps) / options.steps  # the profiler slows the host down
    on_gpu = device.type == "cuda"
    steps = min(options.steps, PROFILED)
    with profile(activities=[ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU]) as trace:
        training.run(steps)
    training.events.close()
    kind = DeviceType.CUDA if on_gpu else DeviceType.CPU
    averages = [
        event
        for event in trace.key_averages()
        if event.device_type == kind and not event.is_user_annotation  # these span kernels
    ]

    def own(event: Any) -> float:
        return event.self_device_time_total if on_gpu else event.self_cpu_time_total

    busy = sum(own(event) for event in averages) / 1e3 / steps
    summary = {
        "precision": precision,
        "step_ms": 1e3 * plain,
        "busy_ms": busy,
        "waiting": max(0.0, 1 - busy / (1e3 * plain)) if on_gpu else None,
        "launches": sum(event.count for event in averages) / steps,
    }
    longest = sorted(averages, key=own, reverse=True)[: options.kernels]
    kernels = [
        {
            "precision": precision,
            "name": event.key[:70],
            "ms": own(event) / 1e3 / steps,
            "calls": event.count / steps,
        }
        for event in longest
    ]
    return summary, kernels


def prediction_rows(device: torch.device, options: Any) -> Iterator[dict[str, Any]]:
    """Yield one row for each size, precision and output; the second of two calls counts."""
    for precision in options.precisions:
        small = moving_cells(0, 64)[0]
        training = Training(small, device, precision, 1024)
        training.run(2)
        training.events.close()
        for size in options.sizes:
            image = np.tile(small, (-(-size // 64),) * 2)[:size, :size].astype(np.float32)
            for output, passes in (("one pass", 1), ("best", None)):
                row: dict[str, Any] = {"size": size, "precision": precision, "output": output}
                forget(device)
                try:
                    for _ in range(2):
                        started = time.perf_counter()
                        training.denoiser.predict(image, passes=passes, device=str(device))
                        seconds = time.perf_counter() - started
                except api.DeviceMemoryError as error:
                    yield row | {"error": str(error).partition(";")[0]}
                    continue
                row |= {"seconds": seconds, "speed": size * size / seconds / 1e6}
                yield row | {"memory_gb": memory_gb(device)}


def main() -> None:
    """Parse the command line and run."""
    arguments = parser(__doc__)
    arguments.add_argument("--device", help="default: the fastest that is there")
    arguments.add_argument("--precisions", type=comma_list, default=["bfloat16", "float32"])
    arguments.add_argument(
        "--batches", type=comma_numbers, help="pixels a step; default: 1/4 to 16 times the default"
    )
    arguments.add_argument(
        "--sizes", type=comma_numbers, default=[512, 2048, 8192], help="of a prediction"
    )
    arguments.add_argument("--steps", type=int, default=100, help="measured; default: 100")
    arguments.add_argument("--warm-up", type=int, default=30, help="steps before; default: 30")
    arguments.add_argument("--kernels", type=int, default=8, help="longest to list; default: 8")
    arguments.add_argument("--tiny", action="store_true", help="tiny sizes: does it run?")
    options = arguments.parse_args()
    default = api.TrainingConfig().pixels_per_step
    options.batches = options.batches or [default // 4, default, 4 * default, 16 * default]
    edge = 1024
    if options.tiny:
        options.batches, options.sizes, edge = [9216], [96], 96
        options.steps, options.warm_up = 2, 1
    here = begin(options)
    device = resolve_device(options.device)
    print(describe_device(device))
    image, _ = moving_cells(0, edge)

    training = list(training_rows(image, device, options))
    print_table(training, TRAINING, "Training")
    profiles = [profiled(image, device, p, options) for p in options.precisions]
    summaries = [summary for summary, _ in profiles]
    kernels = [kernel for _, longest in profiles for kernel in longest]
    print_table(summaries, PROFILE, f"A step of {default:,} pixels")
    print_table(kernels, KERNELS, "Its longest kernels")
    prediction = list(prediction_rows(device, options))
    print_table(prediction, PREDICTION, "Prediction")
    tables = {"training": training, "profile": summaries, "kernels": kernels}
    save(options, here, tables | {"prediction": prediction})


if __name__ == "__main__":
    main()
