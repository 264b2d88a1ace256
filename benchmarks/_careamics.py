"""CAREamics' Noise2Void at its shipped defaults: 30 epochs, patches of 64, batches of 16."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

Array = NDArray[np.float32]
TILE = (256, 256)  # of its tiled prediction; the overlap is its default, 48


def load() -> None:
    """Import CAREamics and quiet it.

    It imports torchvision, which N2V does not use. Where torchvision was built
    for another torch, declaring the one operator that it misses is enough.
    """
    try:
        import torchvision  # noqa: F401
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        torch.library.define("torchvision::nms", "(Tensor a, Tensor b, float c) -> Tensor")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import careamics  # noqa: F401
    logging.disable(logging.INFO)


@contextmanager
def model(
    seed: int,
    *,
    n2v2: bool = False,
    epochs: int = 30,
    steps: int | None = None,
    each_batch: Callable[[Any, Any], None] | None = None,
) -> Iterator[Any]:
    """Make a CAREamist with the defaults, in a folder that is removed afterwards.

    Parameters
    ----------
    seed
        From 0 on.
    n2v2
        Use N2V2.
    epochs, steps
        Of the training; `steps` an epoch, None for the whole data.
    each_batch
        Called with the trainer and the module after each optimiser step.
    """
    from careamics import CAREamist
    from careamics.config.factories import create_advanced_n2v_config
    from lightning.pytorch import Callback

    class EachBatch(Callback):
        def on_train_batch_end(self, trainer: Any, module: Any, *_: Any) -> None:
            if each_batch is not None:
                each_batch(trainer, module)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        config = create_advanced_n2v_config(
            "benchmark",
            "array",
            "YX",
            (64, 64),
            16,
            num_epochs=epochs,
            num_steps=steps,
            use_n2v2=n2v2,
            trainer_params={"enable_model_summary": False},
            seed=seed + 1,  # it takes no 0
        )
        yield CAREamist(config, work_dir=folder, enable_progress_bar=False, callbacks=[EachBatch()])


def denoise(image: Array, seed: int, *, n2v2: bool = False) -> Array:
    """Train on `image` and predict it whole, by the public calls."""
    with model(seed, n2v2=n2v2) as careamist:
        careamist.train(train_data=image)
        (result,), _ = careamist.predict(image)
    return np.asarray(result, np.float32)


def denoise_within(image: Array, seed: int, seconds: float) -> Array:
    """Train until `seconds` after the call, however many epochs that is, and predict."""
    end = time.perf_counter() + seconds

    def stop(trainer: Any, module: Any) -> None:
        if time.perf_counter() > end:
            trainer.should_stop = True

    with model(seed, epochs=100_000, each_batch=stop) as careamist:
        careamist.train(train_data=image)
        return forward(careamist.trainer, careamist.model, image)


@torch.no_grad()
def forward(trainer: Any, module: Any, image: Array) -> Array:
    """Predict with the weights of this moment, at no more than the network's own cost."""
    normalization = trainer.datamodule.train_dataset.normalization
    pads = [-n % 4 for n in image.shape]  # two poolings
    padded = np.pad(image, [(0, p) for p in pads], mode="reflect")
    normal, _ = normalization(padded[None])
    training = module.training
    module.eval()
    output = normalization.denormalize(module(torch.from_numpy(normal)[None].to(module.device)))
    module.train(training)
    return output[0, 0, : image.shape[0], : image.shape[1]].cpu().numpy()
