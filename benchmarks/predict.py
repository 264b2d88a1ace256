"""Speed and memory of prediction: ours, and CAREamics' tiled prediction, each in a fresh process.

    python benchmarks/predict.py --sizes 512,1024,2048 --peers careamics
    python benchmarks/predict.py --sizes 4096,8192,16384 --outputs single

Rows: our default network, and one of the smallest width, a multiple of 8, at which
it has no fewer multiply-adds a pixel than CAREamics' ("same size"). Outputs: one pass,
"best" and the strict gather, as `predict` makes them. CAREamics predicts in
tiles of 256 with its default overlap of 48, and whole with --whole.

Megapixels a second are of the image, over the whole call, in a process that
has predicted a small image before. Memory is the most that the process ever
held, Python and torch included; "own" is that less the most before the call. In
a precision that is not the machine's own choice a single pass alone is measured.

The share of the peak is the rate of the convolutions' multiply-adds in all
passes (the halos of tiles not counted) over that of a large matrix product in
the same precision, measured in this run.

Last, the largest difference between a tiled and a whole prediction.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from typing import Any

import _careamics
import numpy as np
import torch
from _fresh import answer, measure, peak_memory
from _peers import prepare
from _report import begin, comma_list, comma_numbers, parser, print_table, save
from torch import nn

from napari_noise2self import api
from napari_noise2self.core.devices import compute_dtype, resolve_device

OUTPUTS: Mapping[str, dict[str, Any]] = {
    "single": {"passes": 1},
    "best": {},
    "strict": {"output": "j-invariant"},
}
COLUMNS = {
    "network": "network", "size": "size|d", "output": "output", "precision": "precision",
    "macs": "MAC / pixel|,.0f", "passes": "passes|d", "seconds": "seconds|.2f",
    "speed": "Mpx/s|.2f", "ratio": "of CAREamics'|.1f", "peak_gb": "peak, GB|.2f",
    "own_gb": "own, GB|.2f", "share": "of the peak rate|.1%", "error": "error",
}  # fmt: skip


DIFFERENCE = {
    "size": "size|d", "precision": "precision", "difference": "difference|.1e",
    "largest": "largest value|.2f", "error": "error",
}  # fmt: skip


def image_of(size: int) -> np.ndarray:
    """Return noise of `size` squared, float32, made a row at a time."""
    rng = np.random.default_rng(0)
    image = np.empty((size, size), np.float32)
    for row in image:
        row[:] = rng.standard_normal(size, np.float32)
    return image


def multiply_adds(network: nn.Module, pixels: int, run: Callable[[], Any]) -> float:
    """Count the multiply-adds of the convolutions a pixel, while `run` applies the network."""
    total = 0

    def count(layer: Any, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
        nonlocal total
        transposed = isinstance(layer, nn.ConvTranspose2d | nn.ConvTranspose3d)
        places = inputs[0] if transposed else output  # each meets the whole kernel
        features = layer.out_channels if transposed else layer.in_channels
        total += places.numel() * features // layer.groups * int(np.prod(layer.kernel_size))

    kinds = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, kinds)]
    run()
    for hook in hooks:
        hook.remove()
    return total / pixels


def our_denoiser(width: int | None, precision: str, device: str | None) -> api.Denoiser:
    """Return a denoiser that has seen one tiny step; prediction costs the same as after many."""
    base = api.TrainingConfig()
    config = api.TrainingConfig(
        width=width or base.width, steps=1, patch_size=32, pixels_per_step=1024,
        footprint=(1, 1), precision=precision, device=device,
    )  # fmt: skip
    small = image_of(64)
    denoiser = api.Denoiser.for_image(small, axes="YX", config=config)
    for _ in api.train(denoiser, small, config):
        pass
    torch.manual_seed(0)
    for parameter in denoiser.network.parameters():
        if parameter.ndim > 1:  # layers that start at zero would hide a difference between tiles
            nn.init.kaiming_normal_(parameter, a=0.1)
    return denoiser


def our_multiply_adds(width: int | None) -> float:
    """Count what one pass of our network costs a pixel."""
    denoiser = our_denoiser(width, "float32", "cpu")
    x = torch.zeros(1, 1, 256, 256)
    with torch.no_grad():
        return multiply_adds(denoiser.network, 256 * 256, lambda: denoiser.network(x))


def measure_ours(task: dict[str, Any]) -> dict[str, Any]:
    """Time one prediction of ours."""
    denoiser = our_denoiser(task["width"], task["precision"], task["device"])
    options = OUTPUTS[task["output"]]
    passes = sum(event.result is None for event in denoiser.predict_iter(image_of(64), **options))
    found = _clocked(task["size"], lambda image: denoiser.predict(image, **options))
    return found | {"passes": passes}


def measure_careamics(task: dict[str, Any]) -> dict[str, Any]:
    """Time one prediction of CAREamics after the shortest training that it takes."""
    _careamics.load()
    tile = _careamics.TILE if task["output"] == "tiled" else None
    with _careamics.model(0, epochs=1, steps=1) as careamist:
        careamist.train(train_data=image_of(256))
        x = torch.zeros(1, 1, 256, 256)
        network = careamist.model.model
        with torch.no_grad():
            macs = multiply_adds(network, 256 * 256, lambda: network(x))
        careamist.predict(image_of(256), tile_size=tile)
        found = _clocked(task["size"], lambda image: careamist.predict(image, tile_size=tile)[0][0])
    return found | {"macs": macs, "passes": 1}


def _clocked(size: int, predict: Callable[[np.ndarray], Any]) -> dict[str, Any]:
    image = image_of(size)
    before = peak_memory()
    started = time.perf_counter()
    result = predict(image)
    seconds = time.perf_counter() - started
    assert result.shape == image.shape
    peak = peak_memory()
    return {"seconds": seconds, "peak_gb": peak / 1e9, "own_gb": (peak - before) / 1e9}


def measure_difference(task: dict[str, Any]) -> dict[str, Any]:
    """Compare tiles of a quarter of the edge with the whole image at once."""
    denoiser = our_denoiser(None, task["precision"], task["device"])
    size = task["size"]
    image = image_of(size)
    whole = denoiser.predict(image, passes=1, tile=(size, size))
    tiled = denoiser.predict(image, passes=1, tile=(size // 4, size // 4))
    difference = float(np.abs(whole - tiled).max())
    return {"difference": difference, "largest": float(np.abs(whole).max())}


def answer_task(task: dict[str, Any]) -> dict[str, Any]:
    """Do one measurement in this process."""
    if task["threads"]:
        torch.set_num_threads(task["threads"])
    kinds = {
        "ours": measure_ours,
        "careamics": measure_careamics,
        "difference": measure_difference,
    }
    return kinds[task["kind"]](task)


def peak_rate(dtype: torch.dtype, device: torch.device, size: int) -> float:
    """Measure the multiply-adds a second of a product of `size` squared, the best of eight."""
    a = torch.randn(size, size, device=device).to(dtype)
    times = []
    for _ in range(8):
        started = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return size**3 / min(times)


def same_width(target: float) -> int:
    """Return the least width, a multiple of 8, at which ours costs at least `target` a pixel."""
    return next(width for width in range(8, 513, 8) if our_multiply_adds(width) >= target)


class Bench:
    """The measurements, with what each row is set against."""

    def __init__(self, options: argparse.Namespace, rates: Mapping[str, float]) -> None:
        self.options, self.rates = options, rates
        self.rows: list[dict[str, Any]] = []
        self.tiled: dict[int, float] = {}  # CAREamics' speed by size

    def add(self, task: dict[str, Any]) -> dict[str, Any]:
        """Measure `task` in a fresh process and keep the row."""
        row = task | measure(__file__, task | self.common())
        if "error" not in row:
            pixels = task["size"] ** 2
            row["speed"] = pixels / row["seconds"] / 1e6
            row["share"] = row["macs"] * row["passes"] * pixels / row["seconds"]
            row["share"] /= self.rates[task["precision"]]
            if task["output"] == "tiled":
                self.tiled[task["size"]] = row["speed"]
            if task["size"] in self.tiled:
                row["ratio"] = row["speed"] / self.tiled[task["size"]]
        self.rows.append(row)
        print(
            f"... {row['network']} {row['size']} {row['output']} {row['precision']}: "
            + (row.get("error") or f"{row['speed']:.2f} Mpx/s"),
            flush=True,
        )
        return row

    def common(self) -> dict[str, Any]:
        """Return what every task is told."""
        return {"threads": self.options.threads, "device": self.options.device}

    def careamics(self) -> float:
        """Measure the peer; return its multiply-adds a pixel."""
        task = {"kind": "careamics", "network": "CAREamics", "precision": "float32"}
        rows = [
            self.add(task | {"size": size, "output": output})
            for output in ["tiled"] + ["whole"] * self.options.whole
            for size in self.options.sizes
        ]
        return next((float(row["macs"]) for row in rows if "macs" in row), 0.0)

    def ours(self, network: str, width: int | None) -> None:
        """Measure a network of ours; in a precision that is not its own, a single pass alone."""
        task = {"kind": "ours", "network": network, "width": width}
        task["macs"] = our_multiply_adds(width)
        for number, precision in enumerate(self.rates):
            for output in self.options.outputs:
                if number and output != "single":
                    continue
                for size in self.options.sizes:
                    self.add(task | {"size": size, "output": output, "precision": precision})

    def differences(self) -> list[dict[str, Any]]:
        """Compare tiled and whole prediction in each precision."""
        size = self.options.difference
        tasks = [{"kind": "difference", "size": size, "precision": p} for p in self.rates]
        return [task | measure(__file__, task | self.common()) for task in tasks if size]


def main() -> None:
    """Parse the command line and run."""
    arguments = parser(__doc__)
    arguments.add_argument(
        "--sizes", type=comma_numbers, default=[512, 1024, 2048], help="default: 512,1024,2048"
    )
    arguments.add_argument(
        "--outputs", type=comma_list, default=list(OUTPUTS), help=f"default: {','.join(OUTPUTS)}"
    )
    arguments.add_argument("--peers", type=comma_list, default=[], help="careamics")
    arguments.add_argument("--whole", action="store_true", help="CAREamics without tiles as well")
    arguments.add_argument("--device", help="of ours; default: the fastest")
    arguments.add_argument(
        "--difference", type=int, default=2048, help="size to compare tiled with whole; 0: do not"
    )
    arguments.add_argument("--gemm", type=int, default=4096, help="size of the matrix product")
    options = arguments.parse_args()
    if set(options.peers) - {"careamics"} or set(options.outputs) - set(OUTPUTS):
        arguments.error(f"--peers takes careamics, --outputs some of {','.join(OUTPUTS)}")
    if options.peers:
        prepare(options.peers)
    here = begin(options)
    device = resolve_device(options.device)
    auto = str(compute_dtype(device, "auto")).removeprefix("torch.")
    rates = {
        name: peak_rate(getattr(torch, name), device, options.gemm)
        for name in dict.fromkeys([auto, "float32"])
    }
    for name, rate in rates.items():
        print(f"matrix product, {name}: {2 * rate / 1e9:,.0f} GFLOP/s")

    bench = Bench(options, rates)
    target = bench.careamics() if options.peers else 0.0
    bench.ours("default", None)
    if target:
        width = same_width(target)
        bench.ours(f"same size (width {width})", width)
    print_table(bench.rows, COLUMNS)
    differences = bench.differences()
    if differences:
        title = "Largest difference of tiled and whole (the input's standard deviation is 1)"
        print_table(differences, DIFFERENCE, title)
    save(options, here, {"rates": [rates], "rows": bench.rows, "differences": differences})


if __name__ == "__main__" and not answer(answer_task):
    main()
