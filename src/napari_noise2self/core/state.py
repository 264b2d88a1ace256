"""What a training keeps between two calls, so that going on equals never having stopped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from .devices import describe_device
from .looks import Look
from .model import Model
from .optimizer import Optimizer
from .record import TrainingRecord

if TYPE_CHECKING:
    from .training import Loop


@dataclass
class TrainingState:
    """What a training needs to go on as if it had never stopped."""

    seed: int  # of the held-out pixels and the pool, whatever a later configuration says
    network: nn.Module  # raw weights
    optimizer: Optimizer
    generator: torch.Generator
    average: list[Tensor]  # the averaged weights at `step`, kept while the model holds the best
    best: list[Tensor]
    best_loss: float = math.inf
    best_step: int = 0
    lowest: Look | None = None  # the look with the lowest loss, at these weights or earlier ones
    baseline_loss: float = math.nan
    step: int = 0
    stale: int = 0  # looks at the held-out pixels since the lowest
    curve: tuple[tuple[int, float], ...] = ()  # (step, validation loss)
    seconds: float = 0.0
    loop: Loop | None = None  # the call of `train` that is under way

    def to(self, device: torch.device) -> None:
        """Move everything to `device`, where it is not there already."""
        self.network.to(device)
        self.average = [v.to(device) for v in self.average]
        self.best = [v.to(device) for v in self.best]
        self.optimizer.to(device)


def begin(model: Model, device: torch.device) -> TrainingState:
    """Start from the model's weights: seeded ones, or those of a model that was loaded."""
    raw = model.build().to(device)
    raw.load_state_dict(model.network.state_dict())
    had = model.record
    model.record = TrainingRecord(
        image=had.image,
        noise=had.noise,
        device=describe_device(device),
        earlier_steps=had.earlier_steps + had.steps,
    )
    weights = snapshot(model.network)
    return TrainingState(
        seed=model.config.seed,
        network=raw,
        optimizer=Optimizer(raw),
        generator=torch.Generator().manual_seed(model.config.seed),
        average=weights,
        best=weights,
    )


def snapshot(network: nn.Module) -> list[Tensor]:
    """Copy the weights."""
    return [parameter.detach().clone() for parameter in network.parameters()]


def restore(network: nn.Module, weights: list[Tensor]) -> None:
    """Put `weights`, from :func:`snapshot`, back."""
    with torch.no_grad():
        for parameter, value in zip(network.parameters(), weights, strict=True):
            parameter.copy_(value)
