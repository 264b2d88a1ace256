"""Everything that belongs together: network, method, normalization, axes, record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import Tensor, nn

from .analysis import said_of_given, said_of_neighbours
from .axes import Stack, check_axes, check_size
from .config import TrainingConfig, sizes_in_words
from .errors import ConfigError, ModelFileError, ModelMismatchError
from .guard import Guard
from .masks import Grid, check_footprint
from .methods import (
    METHODS,
    Method,
    Noise2Self,
    method_from_dict,
    method_to_dict,
    with_recorruption,
)
from .networks import build_network, outline
from .normalization import Normalization
from .patches import check_context, check_hole, patch_shape
from .record import TrainingRecord
from .recorruption import Recorruption

if TYPE_CHECKING:
    from .state import TrainingState


@dataclass(kw_only=True, eq=False, repr=False)
class Model:
    """A network with all that it takes to train it on, and apply it to, an image.

    Attributes
    ----------
    network
        The averaged weights: what prediction uses, at every moment.
    method
        How to train and how to apply.
    normalization
        Statistics of the image that it was made for, frozen.
    axes
        Axes of that image.
    config
        Configuration of the latest training.
    record
        How far the training came.
    guard
        Gives back to the best output what the noise cannot explain; None where
        the noise level is not known.
    training
        Raw weights, optimiser and generator of a training that can go on; not
        saved.
    """

    network: nn.Module
    method: Method
    normalization: Normalization
    axes: str
    config: TrainingConfig
    record: TrainingRecord = field(default_factory=TrainingRecord)
    guard: Guard | None = None
    training: TrainingState | None = field(default=None, repr=False)

    @property
    def channels(self) -> int:
        """Number of channels of the images it takes."""
        return len(self.normalization.mean)

    @property
    def ndim(self) -> int:
        """2 for a network on planes, those of a z-stack too; 3 for one on volumes."""
        return len(self.footprint)

    @property
    def footprint(self) -> tuple[int, ...]:
        """Width of the hole that hides a pixel, along each spatial axis."""
        return self.method.grid.footprint

    @property
    def context(self) -> int:
        """How many neighbouring frames or planes on each side the network sees."""
        return self.method.context

    @property
    def context_axis(self) -> str:
        """The axis along which they are neighbours: Z where planes of a z-stack are, else T."""
        return "Z" if self.ndim == 2 and "Z" in self.axes else "T"

    @property
    def recorruption(self) -> Recorruption | None:
        """What training makes of the known noise; None where it is not known, or not used."""
        return self.method.recorruption if isinstance(self.method, Noise2Self) else None

    def __repr__(self) -> str:
        steps = f"trained {self.record.steps} steps" if self.trained else "not trained"
        kind = f"{self.config.network}, {self.ndim}-D, {self.channels} channels"
        return f'<{type(self).__name__} for "{self.axes}": {kind}, {steps}>'

    @property
    def trained(self) -> bool:
        """Whether it has seen a training step."""
        return self.record.steps + self.record.earlier_steps > 0

    @property
    def in_training(self) -> bool:
        """Whether a call of `train` has it in hand."""
        return self.training is not None and self.training.loop is not None

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.network.parameters()).device

    def build(self) -> nn.Module:
        """Build a network of this architecture, its weights seeded by the configuration."""
        network: nn.Module = build_network(
            self.config.network, self.config.seed, **self._architecture
        )
        return network

    @property
    def _architecture(self) -> dict[str, int]:
        return {
            "ndim": self.ndim,
            "channels": self.channels,
            "width": self.config.width,
            "depth": self.config.depth,
            "inputs": self.channels * (1 + 2 * self.context),
        }

    def adopt(self, config: TrainingConfig, stack: Stack) -> None:
        """Take over `config`; a network that has not trained yet is rebuilt to its architecture.

        A training of the model that was left lying unfinished is put to rest.

        Parameters
        ----------
        config
            How to train.
        stack
            On what.

        Raises
        ------
        ConfigError
            If footprint or context do not fit the image, or the dimensions are not the model's.
        ModelMismatchError
            If the model has been trained with another architecture or method.
        """
        footprint = config.footprint or self.footprint
        check_footprint(footprint, self.axes)
        dimensions = config.dimensions or len(footprint)
        if dimensions != self.ndim:
            raise ConfigError(
                f"dimensions={dimensions}, and the denoiser was made for {self.ndim}; give this "
                "configuration to Denoiser.for_image as well"
            )
        check_hole(footprint, patch_shape(stack.spatial, config))
        grid = Grid.for_footprint(footprint, config.stride)
        context = self.context if config.context is None else config.context
        if METHODS[config.method].takes_target:
            context = 0  # a network that trains on pairs sees the image alone
        check_context(context, stack)
        recorruption = self.recorruption if config.noise_model else None
        if max(footprint) > 1:
            recorruption = None  # it knows of no correlated noise
        had = self.config
        wanted = _fixed_by_training(config, grid, context, recorruption)
        have = _fixed_by_training(had, self.method.grid, self.context, self.recorruption)
        differ = [name for name in wanted if wanted[name] != have[name]]
        if self.trained and differ:
            asked = ", ".join(f"{name} {wanted[name]} instead of {have[name]}" for name in differ)
            raise ModelMismatchError(
                f"the configuration asks for another model than the one that was trained: {asked}; "
                "keep the model's with dataclasses.replace(denoiser.config, ...), or begin a new "
                "Denoiser"
            )
        if self.training is not None and self.training.loop is not None:
            # an iterator that was left lying: before its weights may be replaced
            self.training.loop.rest(look=True)
        self.config = config
        if not self.trained:
            if footprint != self.footprint:
                noise = said_of_given(footprint) + said_of_neighbours(context, stack)
                self.record = replace(self.record, noise=noise)
                self.guard = self.guard and self.guard.behind(shared=max(footprint) > 1)
            self.method = with_recorruption(METHODS[config.method](grid, context), recorruption)
            self.training = None
            self.network = self.build()

    def see(self, image: Any, axes: str | None = None) -> Stack:
        """See `image` as a stack that fits this model.

        Where `axes` is None and the image brings none, the model's own are
        taken if they fit the number of dimensions; a guess comes last.

        Raises
        ------
        ImageError
            If the image is smaller than 32 pixels along Y or X.
        ModelMismatchError
            If the image's channels or dimensionality are not the model's.
        """
        stack = Stack.of(image, axes, like=self.axes, planes=self.ndim == 2)
        if len(stack.spatial) != self.ndim:
            raise ModelMismatchError(
                "the model was trained on volumes (3-D, axes with Z) and the image has axes "
                f'"{stack.axes}"; give a volume, axes "ZYX", or train a model on this image'
            )
        if stack.channels != self.channels:
            raise ModelMismatchError(
                f"the model was trained on {self.channels} channel(s) and the image has "
                f'{stack.channels} (axes "{stack.axes}", shape {tuple(stack.data.shape)}); pick '
                "matching channels, correct the axes, or train a model on this image"
            )
        check_size(stack.spatial)
        return stack

    def to_state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return the weights and, in JSON's types, everything else."""
        tensors = {k: v.detach().cpu().contiguous() for k, v in self.network.state_dict().items()}
        header = {
            "network": {
                "name": self.config.network,
                "ndim": self.ndim,
                "channels": self.channels,
                "width": self.config.width,
                "depth": self.config.depth,
            },
            "method": method_to_dict(self.method),
            "normalization": {
                "mean": list(self.normalization.mean),
                "std": list(self.normalization.std),
            },
            "guard": None if self.guard is None else self.guard.to_dict(),
            "axes": self.axes,
            "config": asdict(self.config),
            "record": self.record.to_dict(),
        }
        return tensors, header

    @classmethod
    def from_state(cls, tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> Self:
        """Rebuild a model; the inverse of :meth:`to_state`.

        Raises
        ------
        ModelFileError
            If a part is missing or does not fit the others.
        """
        try:
            values = {f.name for f in fields(TrainingConfig)} & set(header["config"])
            config = {name: header["config"][name] for name in values}
            if config.get("footprint") is not None:
                config["footprint"] = tuple(config["footprint"])
            config["device"] = None  # of the machine that trained it
            model = cls(
                network=nn.Identity(),
                method=method_from_dict(header["method"]),
                normalization=Normalization(
                    tuple(map(float, header["normalization"]["mean"])),
                    tuple(map(float, header["normalization"]["std"])),
                ),
                guard=None if header.get("guard") is None else Guard.from_dict(header["guard"]),
                axes=str(header["axes"]),
                config=TrainingConfig(**config),
                record=TrainingRecord.from_dict(header["record"]),
            )
            check_axes((1,) * len(model.axes), model.axes)
            check_footprint(model.footprint, model.axes)
            for known in (model.recorruption, model.guard):
                if known is not None and len(known.gain) != model.channels:
                    raise ValueError(f"noise of {len(known.gain)} channels, not {model.channels}")
            wanted = {**header["network"]}
            have = {
                "name": model.config.network,
                "ndim": model.ndim,
                "channels": model.channels,
                "width": model.config.width,
                "depth": model.config.depth,
            }
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelFileError(
                f"the model's header is incomplete or altered ({type(error).__name__}: {error}); "
                "save it again from the original, or train anew"
            ) from error
        if wanted != have:
            raise ModelFileError(
                f"the model's header contradicts itself: network {wanted}, the rest says {have}; "
                "save it again from the original, or train anew"
            )
        # no memory for a network that a header only claims
        claimed = outline(model.config.network, **model._architecture)
        expected = {k: tuple(v.shape) for k, v in claimed.state_dict().items()}
        found = {k: tuple(v.shape) for k, v in tensors.items()}
        if expected != found:
            odd = sorted(
                k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)
            )
            raise ModelFileError(
                f"{len(odd)} weight(s) do not fit the network in the header, the first is "
                f'"{odd[0]}": expected shape {expected.get(odd[0])}, found {found.get(odd[0])}; '
                "the file was altered: save it again from the original, or train anew"
            )
        for name, weight in tensors.items():
            if weight.dtype != torch.float32 or not bool(weight.isfinite().all()):
                raise ModelFileError(
                    f'the weight "{name}" holds values that are NaN, infinite or not of float32; '
                    "take an earlier copy of the file, or train anew"
                )
        model.network = model.build()
        model.network.load_state_dict(dict(tensors))
        return model


def _fixed_by_training(
    config: TrainingConfig, grid: Grid, context: int, recorruption: Recorruption | None
) -> dict[str, Any]:
    """Return, by name, what cannot change once a network has been trained."""
    return {
        "method": config.method,
        "network": config.network,
        "width": config.width,
        "depth": config.depth,
        "context": context,
        "footprint": sizes_in_words(grid.footprint),
        "stride": sizes_in_words(grid.stride),
        "use of the noise level": "no" if recorruption is None else "yes",
    }
