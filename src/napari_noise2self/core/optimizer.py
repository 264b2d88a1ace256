"""The optimisers: Muon for the weights of the convolutions, AdamW for everything else.

The gradient of a convolution, as a matrix of (outputs, inputs * kernel), is dominated by a few
directions, and a step along it hardly touches the others. Muon steps along the nearest matrix
whose directions all count alike. On single frames this takes half as many steps as AdamW alone.

References
----------
Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024,
https://kellerjordan.github.io/posts/muon.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

FEWEST = 16
"""Rows and columns from which on a weight is taken for a matrix: fewer directions need no balance,
as in the layers that read the image and write it."""
SPECTRAL = 20.0
"""Spectral norm of a step of Muon over the learning rate, which is the length of AdamW's."""
MOMENTUM = 0.95
_QUINTIC = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration, which trade exactness for speed: it leaves singular values
between 0.7 and 1.2."""
_ITERATIONS = 5


class Muon:
    """Steps along the orthogonalized momentum.

    Parameters
    ----------
    parameters
        Weights of convolutions, (outputs, inputs, *kernel).
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.momenta = _zeros(parameters)

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Take a step; the parameters must have their gradients.

        Parameters
        ----------
        rate
            Learning rate of AdamW beside it, for a step that is recorded a scalar on the
            parameters' device. A step is `SPECTRAL` times as long, in spectral norm, for
            a weight with no more outputs than inputs * kernel.
        """
        gradients = _gradients(self.parameters)
        torch._foreach_lerp_(self.momenta, gradients, 1 - MOMENTUM)
        ahead = torch._foreach_lerp(gradients, self.momenta, MOMENTUM)  # Nesterov's
        alike = defaultdict(list)  # in one batch each: on a GPU every call costs, however small
        for weight, direction in zip(self.parameters, ahead, strict=True):
            rows = direction.flatten(1)  # (outputs, inputs * kernel)
            alike[rows.shape].append((weight, rows))
        for (outputs, inputs), pairs in alike.items():
            steps = orthogonalized(torch.stack([rows for _, rows in pairs]))
            length = SPECTRAL * rate * max(1.0, outputs / inputs) ** 0.5
            if isinstance(length, Tensor):
                steps, length = steps * length, 1.0
            for (weight, _), step in zip(pairs, steps, strict=True):
                weight.sub_(step.reshape(weight.shape), alpha=length)

    def to(self, device: torch.device) -> None:
        """Follow the weights to `device`."""
        self.momenta = [momentum.to(device) for momentum in self.momenta]


class AdamW:
    """torch's AdamW, with its defaults.

    By its function, not its class: the first object of that imports torch's compiler,
    which takes 2 to 6 seconds and which nobody here uses.

    Parameters
    ----------
    parameters
        Any.
    """

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.means, self.squares = _zeros(parameters), _zeros(parameters)
        self.steps = [torch.zeros((), dtype=torch.float32) for _ in parameters]
        if parameters:
            self.to(parameters[0].device)

    @torch.no_grad()
    def step(self, rate: float | Tensor) -> None:
        """Take a step with the learning rate `rate`; the parameters must have their gradients."""
        adamw(
            self.parameters,
            _gradients(self.parameters),
            self.means,
            self.squares,
            [],
            self.steps,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=rate,
            weight_decay=0.01,
            eps=1e-8,
            maximize=False,
            capturable=any(step.is_cuda for step in self.steps),
        )

    def to(self, device: torch.device) -> None:
        """Follow the parameters to `device`."""
        self.means = [mean.to(device) for mean in self.means]
        self.squares = [square.to(device) for square in self.squares]
        # Elsewhere the host counts the steps; there that could not be recorded.
        counting = device if device.type == "cuda" else torch.device("cpu")
        self.steps = [step.to(counting) for step in self.steps]


class Optimizer:
    """Both, each for its own parameters.

    Parameters
    ----------
    network
        What is to be trained.
    """

    def __init__(self, network: nn.Module) -> None:
        matrices: list[Tensor] = []
        others: list[Tensor] = []
        for parameter in network.parameters():
            large = parameter.ndim > 1 and min(len(parameter), parameter[0].numel()) >= FEWEST
            (matrices if large else others).append(parameter)
        self.parts: list[AdamW | Muon] = [AdamW(others)]
        if matrices:
            self.parts.append(Muon(matrices))

    def step(self, rate: float | Tensor) -> None:
        """Take a step with the learning rate `rate`, a number or a scalar on the device."""
        for part in self.parts:
            part.step(rate)

    def to(self, device: torch.device) -> None:
        """Follow the parameters to `device`."""
        for part in self.parts:
            part.to(device)


def orthogonalized(matrices: Tensor) -> Tensor:
    """Return, roughly, the orthogonal matrix nearest to each: its singular values become 1.

    Parameters
    ----------
    matrices
        Float32 of shape (N, rows, columns).

    Examples
    --------
    >>> matrices = torch.tensor([[[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]]])
    >>> bool((torch.linalg.svdvals(orthogonalized(matrices)) - 1).abs().max() < 0.35)
    True
    """
    a, b, c = _QUINTIC
    tall = matrices.shape[1] > matrices.shape[2]
    x: Tensor = matrices.mT if tall else matrices
    x = x / (torch.linalg.matrix_norm(x, keepdim=True) + 1e-12)
    for _ in range(_ITERATIONS):
        square = torch.bmm(x, x.mT)
        polynomial = torch.baddbmm(square, square, square, beta=b, alpha=c)
        x = torch.baddbmm(x, polynomial, x, beta=a)
    return x.mT if tall else x


def _zeros(parameters: list[Tensor]) -> list[Tensor]:
    return [torch.zeros_like(parameter) for parameter in parameters]


def _gradients(parameters: list[Tensor]) -> list[Tensor]:
    gradients: list[Any] = [parameter.grad for parameter in parameters]
    return gradients
