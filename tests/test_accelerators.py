"""On every GPU that is there: the same results as on the CPU, and a way on when memory ends.

Skipped where there is no GPU. Convolutions of a GPU may use TF32 for float32, which
keeps ten bits; what is compared with the CPU is compared as closely as that allows.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_noise2self import api, samples
from napari_noise2self.core import training
from napari_noise2self.core.axes import Stack
from napari_noise2self.core.devices import available_devices
from napari_noise2self.core.graphs import Recorded, can_record
from napari_noise2self.core.masks import Grid
from napari_noise2self.core.normalization import Normalization
from napari_noise2self.core.patches import Crops, HeldOut

GPUS = [name for name in available_devices() if name != "cpu"]

pytestmark = [
    pytest.mark.skipif(not GPUS, reason="there is no GPU"),
    pytest.mark.parametrize("gpu", GPUS),
    # Of an image that is unlike what the denoiser's statistics say.
    pytest.mark.filterwarnings("ignore:channel . has mean"),
]

Build = Callable[..., api.Denoiser]
Noise = Callable[..., NDArray[np.float32]]


def _psnr(truth: NDArray[Any], image: NDArray[Any]) -> float:
    error = float(np.mean((truth.astype(np.float64) - image) ** 2))
    return float(10 * np.log10(np.ptp(truth.astype(np.float64)) ** 2 / error))


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX"])
@pytest.mark.parametrize("output", ["best", "j-invariant"])
def test_predicts_what_the_cpu_predicts(
    gpu: str, axes: str, output: Any, random_denoiser: Build, noise: Noise
) -> None:
    channels = 3 if "C" in axes else 1
    denoiser = random_denoiser(axes, channels=channels, width=16, depth=2)
    image = noise(*(40, 52) if axes == "YX" else (3, 40, 52))
    expected = denoiser.predict(image, axes=axes, output=output)
    result = denoiser.predict(image, axes=axes, output=output, device=gpu)
    np.testing.assert_allclose(result, expected, atol=0.02 * image.std())
    assert denoiser.device.type == "cpu"  # its own weights stay where they are


def test_tiles_equal_the_whole(gpu: str, random_denoiser: Build, noise: Noise) -> None:
    denoiser, image = random_denoiser(width=16, depth=2), noise(200, 150)
    whole = denoiser.predict(image, device=gpu, tile=(200, 150))
    tiled = denoiser.predict(image, device=gpu, tile=(48, 64))
    np.testing.assert_allclose(tiled, whole, atol=0.02 * image.std())


def test_strict_output_does_not_see_its_pixel(
    gpu: str, random_denoiser: Build, noise: Noise
) -> None:
    denoiser, image = random_denoiser(width=16, depth=2, device=gpu), noise(64, 64)
    other = image.copy()
    other[31, 30] += 1e5
    before = denoiser.predict(image, output="j-invariant")
    after = denoiser.predict(other, output="j-invariant")
    assert after[31, 30] == before[31, 30]
    assert (after != before).any()


def test_draws_the_crops_of_the_cpu(gpu: str, noise: Noise) -> None:
    stack = Stack.of(api.Image(noise(80, 90), "YX"))
    drawn = []
    for device in ("cpu", gpu):
        crops = Crops(
            [stack],
            Normalization((100.0,), (10.0,)),
            (32, 32),
            HeldOut(Grid((3, 3), (1, 1)), (1, 2)),
            seed=0,
            device=torch.device(device),
        )
        crops.renew(0)
        drawn.append(crops.cut(crops.draw(4, torch.Generator().manual_seed(3), turns=True)))
    one, other = drawn
    torch.testing.assert_close(other.noisy.cpu(), one.noisy)
    assert torch.equal(other.counted.cpu(), one.counted)
    assert torch.equal(other.offsets.cpu(), one.offsets)


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_denoises_as_well_as_the_cpu(gpu: str, precision: Any) -> None:
    sample = samples.cells(size=160)
    truth = np.asarray(sample.truth.data)
    quality = []
    for device in ("cpu", gpu):
        config = api.TrainingConfig(steps=60, device=device, precision=precision)
        denoiser = api.Denoiser.for_image(sample.noisy, config=config)
        assert list(api.train(denoiser, sample.noisy, config))[-1].step == 60
        quality.append(_psnr(truth, denoiser.predict(sample.noisy)))
    assert quality[1] > quality[0] - 0.3
    assert quality[1] > _psnr(truth, np.asarray(sample.noisy.data)) + 3


def test_goes_on_where_another_device_stopped(
    gpu: str, tiny: Callable[..., api.TrainingConfig], noise: Noise, tmp_path: Path
) -> None:
    image = noise(64, 64)
    denoiser = api.Denoiser.for_image(image, axes="YX", config=tiny())
    for device, steps in (("cpu", 4), (gpu, 8), ("cpu", 12)):
        last = list(api.train(denoiser, image, tiny(device=device, steps=steps)))[-1]
        assert last.step == steps
    assert np.isfinite(denoiser.predict(image, device=gpu)).all()
    denoiser.save(tmp_path / "model.safetensors")
    loaded = api.Denoiser.load(tmp_path / "model.safetensors")
    np.testing.assert_array_equal(
        loaded.predict(image, device="cpu"), denoiser.predict(image, device="cpu")
    )


# Recorded steps


@pytest.fixture
def recording(gpu: str) -> torch.device:
    """Return a GPU that records."""
    if not can_record(torch.device(gpu)):
        pytest.skip(f"{gpu} records nothing")
    return torch.device(gpu)


def test_a_recorded_function_is_that_function(recording: torch.device) -> None:
    weight = torch.ones(3, device=recording)

    def step(x: torch.Tensor, rate: torch.Tensor) -> torch.Tensor:
        weight.add_(rate * x)
        return weight.sum()

    recorded = Recorded(step, recording)
    sums = []
    for number in range(8):
        x = torch.full((3,), float(number), device=recording)
        sums.append(float(recorded(x, torch.tensor(2.0, device=recording))))
    assert recorded.failure is None
    assert sums == [3 + 3 * 2 * sum(range(number + 1)) for number in range(8)]


@pytest.mark.parametrize("axes", ["YX", "ZYX", "CYX"])
def test_recorded_steps_train_as_single_ones_do(
    recording: torch.device,
    axes: str,
    tiny: Callable[..., api.TrainingConfig],
    noise: Noise,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = noise(*(64, 64) if axes == "YX" else (3, 64, 64))
    config = tiny(steps=30, device=str(recording), precision="float32")
    losses = []
    for recorded in (True, False):
        if not recorded:
            monkeypatch.setattr(training, "can_record", lambda device: False)
        denoiser = api.Denoiser.for_image(image, axes=axes, config=config)
        events = list(api.train(denoiser, image, config))
        assert not any(event.notice for event in events)
        losses.append([event.loss for event in events if event.loss is not None])
    np.testing.assert_allclose(*losses, rtol=0.02)


UNRECORDABLE = """
import numpy as np
import torch
from napari_noise2self import api
from napari_noise2self.core import training

def waits(parameters, limit):
    for parameter in parameters:
        parameter.grad.clamp_(-limit, float(parameter.grad.abs().max()))

training.nn.utils.clip_grad_norm_ = waits
image = np.random.default_rng(0).normal(100, 10, (64, 64)).astype("float32")
config = api.TrainingConfig(steps=6, width=4, device="{gpu}")
for _ in range(2):
    denoiser = api.Denoiser.for_image(image, axes="YX", config=config)
    for event in api.train(denoiser, image, config):
        if event.notice:
            print(event.notice)
    print(event.step, np.isfinite(denoiser.predict(image)).all())
"""


def test_a_training_that_cannot_be_recorded_says_so_and_goes_on(recording: torch.device) -> None:
    """In a process of its own: torch does not recover from it altogether."""
    code = UNRECORDABLE.format(gpu=recording)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    notice, *others = done.stdout.splitlines()
    assert "could not record a training step" in notice
    assert others == ["6 True", "6 True"]  # the second does not try again


def test_a_recording_gives_its_memory_back(
    recording: torch.device, tiny: Callable[..., api.TrainingConfig], noise: Noise
) -> None:
    image, config = noise(256, 256), tiny(steps=6, device=str(recording))
    denoiser = api.Denoiser.for_image(image, axes="YX", config=config)
    list(api.train(denoiser, image, config))  # what the libraries keep for good is there now
    held = []
    for steps in (12, 18):
        list(api.train(denoiser, image, replace(config, steps=steps)))
        torch.cuda.empty_cache()
        held.append(torch.cuda.memory_reserved(recording))
    assert held[1] <= held[0]


@pytest.fixture
def little_memory(gpu: str) -> Iterator[None]:
    """Leave torch 256 MB of the GPU."""
    device = torch.device(gpu)
    if device.type != "cuda":
        pytest.skip("only CUDA can be told to use less memory")
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(device).total_memory
    torch.cuda.set_per_process_memory_fraction(256e6 / total, device)
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, device)


@pytest.mark.usefixtures("little_memory")
def test_prediction_goes_on_with_smaller_tiles(
    gpu: str, random_denoiser: Build, noise: Noise
) -> None:
    denoiser, image = random_denoiser(width=32, depth=2), noise(1024, 1024)
    events = list(denoiser.predict_iter(image, device=gpu, tile=(1024, 1024)))
    assert any(e.notice and "ran out of memory" in e.notice for e in events)
    expected = denoiser.predict(image, device="cpu")
    np.testing.assert_allclose(events[-1].result, expected, atol=0.02 * image.std())


@pytest.mark.usefixtures("little_memory")
def test_training_without_memory_names_the_mend_and_can_go_on(gpu: str, noise: Noise) -> None:
    image = noise(1024, 1024)
    config = api.TrainingConfig(steps=4, device=gpu, patch_size=1024, pixels_per_step=2**22)
    denoiser = api.Denoiser.for_image(image, axes="YX", config=config)
    with pytest.raises(api.DeviceMemoryError, match="smaller patch or width"):
        list(api.train(denoiser, image, config))
    small = replace(config, patch_size=64, pixels_per_step=4096)
    assert list(api.train(denoiser, image, small))[-1].step == 4
