"""The best output as one module, from intensities to intensities: what other programs can run."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .empty import constant_around
from .errors import NotTrainedError
from .model import Model
from .prediction import guard_of, keeps_empty


class WholeImage(nn.Module):
    """What `predict` does with an image that is a single tile, without a look at memory.

    Parameters
    ----------
    model
        A trained model; its weights are copied, to the CPU. One that sees neighbouring frames
        or planes takes each for the only one.

    Raises
    ------
    NotTrainedError
        If the model has not trained yet.
    """

    def __init__(self, model: Model) -> None:
        super().__init__()
        if not model.trained:
            raise NotTrainedError("the denoiser has not been trained yet; call api.train first")
        self.network: Any = copy.deepcopy(model.network).to("cpu").requires_grad_(False)
        self._normalization, self._method = model.normalization, model.method
        self._passes = model.method.passes("best")
        self._guard, self._keeps_empty = guard_of(model, "best"), keeps_empty(model, "best")
        unseen = torch.tensor(np.equal(model.normalization.std, 0.0))
        self._unseen = unseen.view(1, -1, *(1,) * model.ndim)

    def forward(self, image: Tensor) -> Tensor:
        """Denoise float32 (N, C, *spatial); the extents are multiples of the network's divisor."""
        own = noisy = self._normalization.apply(image)
        if self._method.context:
            missing = torch.full_like(own, torch.nan)
            noisy = torch.cat([own, *[missing] * (2 * self._method.context)], 1)
        total = torch.zeros_like(own)
        for which in self._passes:
            total = total + self._method.run_pass(self.network, noisy, which, "best")[0]
        mean = total / len(self._passes)
        if self._guard is not None:
            mean = self._guard.give_back(own, mean)
        result = self._normalization.invert(mean)
        if self._keeps_empty:
            result = torch.where(constant_around(image) | self._unseen, image, result)
        return result


def recorded(whole: WholeImage, example: Tensor) -> torch.jit.ScriptModule:
    """Record what the module does, for images of other sizes too.

    Parameters
    ----------
    whole
        The module.
    example
        float32 of shape (1, C, *spatial), of a size that it takes.
    """
    # With gradients no rows are taken in strips, whose height would be recorded.
    with torch.enable_grad(), warnings.catch_warnings():
        # TorchScript is on its way out, and what Fiji reads; the conditions on the size that are
        # warned of hold for all sizes that are allowed.
        warnings.simplefilter("ignore")
        script: torch.jit.ScriptModule = torch.jit.trace(  # type: ignore[no-untyped-call]
            whole.eval(), example, check_trace=False
        )
    return script
