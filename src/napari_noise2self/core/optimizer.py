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
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

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


class Muon(torch.optim.Optimizer):
    """Steps along the orthogonalized momentum.

    (``torch.optim.Muon`` takes matrices alone, not the weights of convolutions.)

    Parameters
    ----------
    weights
        Of convolutions, (outputs, inputs, *kernel).
    lr
        Learning rate of AdamW beside it. A step is `SPECTRAL` times as long, in
        spectral norm, for a weight with no more outputs than inputs * kernel.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float) -> None:
        super().__init__(weights, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        """Take a step; the weights must have their gradients."""
        for group in self.param_groups:
            weights: list[Tensor] = group["params"]
            gradients: Any = [weight.grad for weight in weights]
            momenta = [self._momentum(weight) for weight in weights]
            torch._foreach_lerp_(momenta, gradients, 1 - MOMENTUM)
            ahead = torch._foreach_lerp(gradients, momenta, MOMENTUM)  # Nesterov's
            alike = defaultdict(list)  # in one batch each: on a GPU every call costs, however small
            for weight, direction in zip(weights, ahead, strict=True):
                rows = direction.flatten(1)  # (outputs, inputs * kernel)
                alike[rows.shape].append((weight, rows))
            for (outputs, inputs), pairs in alike.items():
                steps = orthogonalized(torch.stack([rows for _, rows in pairs]))
                length = SPECTRAL * group["lr"] * max(1.0, outputs / inputs) ** 0.5
                for (weight, _), step in zip(pairs, steps, strict=True):
                    weight.sub_(step.reshape(weight.shape), alpha=length)

    def _momentum(self, weight: Tensor) -> Tensor:
        state = self.state[weight]
        if not state:
            state["momentum"] = torch.zeros_like(weight)
        momentum: Tensor = state["momentum"]
        return momentum


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


def optimizers(network: nn.Module, learning_rate: float) -> tuple[torch.optim.Optimizer, ...]:
    """Return the optimisers that share the parameters of `network`.

    Parameters
    ----------
    network
        What is to be trained.
    learning_rate
        Of both.
    """
    matrices: list[Tensor] = []
    others: list[Tensor] = []
    for parameter in network.parameters():
        large = parameter.ndim > 1 and min(len(parameter), parameter[0].numel()) >= FEWEST
        (matrices if large else others).append(parameter)
    adam = torch.optim.AdamW(others, lr=learning_rate)
    return (Muon(matrices, lr=learning_rate), adam) if matrices else (adam,)
