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
            for weight in group["params"]:
                state = self.state[weight]
                if not state:
                    state["momentum"] = torch.zeros_like(weight)
                state["momentum"].lerp_(weight.grad, 1 - MOMENTUM)
                ahead = weight.grad.lerp(state["momentum"], MOMENTUM)  # Nesterov's
                rows = ahead.flatten(1)  # (outputs, inputs * kernel)
                scale = max(1.0, rows.shape[0] / rows.shape[1]) ** 0.5
                length = SPECTRAL * group["lr"] * scale
                weight.sub_(orthogonalized(rows).view_as(weight), alpha=length)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Return, roughly, the orthogonal matrix nearest to `matrix`: its singular values become 1.

    Examples
    --------
    >>> matrix = torch.tensor([[3.0, 0.0, 0.0], [0.0, 0.5, 0.0]])
    >>> bool((torch.linalg.svdvals(orthogonalized(matrix)) - 1).abs().max() < 0.35)
    True
    """
    a, b, c = _QUINTIC
    tall = matrix.shape[0] > matrix.shape[1]
    x: Tensor = matrix.T if tall else matrix
    x = x / (torch.linalg.matrix_norm(x) + 1e-12)
    for _ in range(_ITERATIONS):
        square = x @ x.T
        x = a * x + (b * square + c * square @ square) @ x
    return x.T if tall else x


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
