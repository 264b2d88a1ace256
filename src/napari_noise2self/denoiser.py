"""The `Denoiser`: a model with its verbs. The only place where core and files meet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from os import PathLike
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import nn

from .core.analysis import Analysis, analyse_iter
from .core.config import Output, Progress, TrainingConfig, last_result
from .core.model import Model
from .core.prediction import predict_iter
from .core.record import TrainingRecord
from .io.bioimage import write_bioimageio_iter
from .io.models import read_model, write_model


class Denoiser(Model):
    """A network with its method, normalization, axes and training record.

    Make one with :meth:`for_image`, train it with :func:`napari_noise2self.api.train`,
    apply it with :meth:`predict`, keep it with :meth:`save`.

    Examples
    --------
    >>> from napari_noise2self import api
    >>> image = np.random.default_rng(0).normal(100, 10, (64, 64)).astype("float32")
    >>> denoiser = api.Denoiser.for_image(image, axes="YX")
    >>> denoiser.footprint, denoiser.trained
    ((1, 1), False)
    """

    @classmethod
    def for_image(
        cls, image: Any, axes: str | None = None, config: TrainingConfig | None = None
    ) -> Self:
        """Analyse an image and return an untrained denoiser for it.

        Parameters
        ----------
        image
            `Image` or array-like (numpy, dask, zarr), integer or real, of 2 to
            5 dimensions.
        axes
            One letter for each dimension: T (time) and S are samples, C
            channels, Z, Y, X space. None for the image's own, else a guess from
            the shape, which `axes` of the result tells.
        config
            None for the defaults.

        Raises
        ------
        AxesError
            If the axes do not fit the shape.
        ImageError
            If the image is constant, too small, or holds NaN or infinite
            values.

        Examples
        --------
        >>> from napari_noise2self import api
        >>> image = np.random.default_rng(0).normal(size=(5, 48, 64))
        >>> api.Denoiser.for_image(image).axes
        'TYX'
        """
        denoiser: Self = last_result(cls.for_image_iter(image, axes, config))
        return denoiser

    @classmethod
    def for_image_iter(
        cls, image: Any, axes: str | None = None, config: TrainingConfig | None = None
    ) -> Iterator[Progress]:
        """Do what :meth:`for_image` does, event by event; the last one's `result` is the denoiser.

        Yields
        ------
        Progress
            ``stage="analyse"``.
        """
        config = config or TrainingConfig()
        for event in analyse_iter(image, axes, config):
            if event.result is None:
                yield event
        yield replace(event, result=cls._from_analysis(event.result, config))

    @classmethod
    def _from_analysis(cls, found: Analysis, config: TrainingConfig) -> Self:
        denoiser = cls(
            network=nn.Identity(),
            method=found.method,
            normalization=found.normalization,
            guard=found.guard,
            axes=found.axes,
            config=config,
            record=TrainingRecord(image=found.image, noise=found.noise),
        )
        denoiser.network = denoiser.build()
        return denoiser

    def predict(
        self,
        image: Any,
        axes: str | None = None,
        output: Output = "best",
        *,
        device: str | None = None,
        out: Any = None,
        tile: tuple[int, ...] | None = None,
        passes: int | None = None,
        samples: Sequence[int] | None = None,
    ) -> NDArray[np.float32]:
        """Denoise an image.

        Parameters
        ----------
        image
            `Image` or array-like of the denoiser's channels and
            dimensionality; it need not be the image that was trained on.
        axes
            Axes of `image`; None for its own, else the denoiser's.
        output
            ``"best"``, or ``"j-invariant"`` for the strict gather, in which no
            pixel's value depends on its own noise.
        device
            Where to compute; None for the configuration's, else the fastest.
        out
            Array of the image's shape, real floating point, that accepts assignment (a
            memory map, a zarr array) to write into, and not the image itself; None for
            a new float32 array.
        tile
            Extent of a tile along each spatial axis; None takes it from the
            memory that is free.
        passes
            For a quick look: run only so many of the passes that make up
            "best", spread evenly; None runs them all.
        samples
            For a quick look: denoise only these of the samples (time points, or
            planes), counted in the order of the image's axes. Elsewhere `out` keeps
            what it held, and a new array holds NaN. None denoises them all.

        Returns
        -------
        numpy.ndarray
            float32 (or `out`), the image's shape, in its intensity units.

        Raises
        ------
        NotTrainedError
            If the denoiser has not been trained.
        ModelMismatchError
            If the image does not fit.
        ImageError
            If the image holds NaN or infinite values, or `out` is of another
            shape, holds integers or shares the image's memory.
        DeviceMemoryError
            If the device runs out of memory with the smallest tile.

        Warns
        -----
        UserWarning
            If the image is much unlike the one that was trained on, or the
            tiles had to be halved.

        Examples
        --------
        >>> from napari_noise2self import api
        >>> image = np.random.default_rng(0).normal(100, 10, (64, 64)).astype("float32")
        >>> denoiser = api.Denoiser.for_image(image)
        >>> for _ in api.train(denoiser, image, api.TrainingConfig(steps=2, width=4)):
        ...     pass
        >>> denoiser.predict(image, output="j-invariant").shape
        (64, 64)
        """
        result: NDArray[np.float32] = last_result(
            self.predict_iter(
                image,
                axes,
                output,
                device=device,
                out=out,
                tile=tile,
                passes=passes,
                samples=samples,
            )
        )
        return result

    def predict_iter(
        self,
        image: Any,
        axes: str | None = None,
        output: Output = "best",
        *,
        device: str | None = None,
        out: Any = None,
        tile: tuple[int, ...] | None = None,
        passes: int | None = None,
        samples: Sequence[int] | None = None,
    ) -> Iterator[Progress]:
        """Do what :meth:`predict` does, event by event; the last one's `result` is the output.

        Give `out` to keep the finished tiles when the iterator is closed early.

        Yields
        ------
        Progress
            ``stage="predict"``, one event for each pass of each tile.
        """
        return predict_iter(
            self,
            image,
            axes,
            output,
            device=device,
            out=out,
            tile=tile,
            passes=passes,
            samples=samples,
        )

    def save(self, path: str | PathLike[str]) -> None:
        """Write the denoiser to one ``.safetensors`` file, all of it or nothing.

        Parameters
        ----------
        path
            File to write; one that is there is replaced.

        Raises
        ------
        ModelFileError
            If the file cannot be written.

        Examples
        --------
        >>> import tempfile, pathlib
        >>> from napari_noise2self import api
        >>> image = np.random.default_rng(0).normal(size=(64, 64))
        >>> denoiser = api.Denoiser.for_image(image)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "model.safetensors"
        ...     denoiser.save(path)
        ...     api.Denoiser.load(path).axes
        'YX'
        """
        tensors, header = self.to_state()
        write_model(path, tensors, {"kind": "network", **header})

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read a denoiser from a file; nothing in the file is executed.

        Parameters
        ----------
        path
            File that :meth:`save` wrote.

        Raises
        ------
        ModelFileError
            If the file is missing, is no model, is damaged, or is of a newer
            format; the message says which and what would help.

        See Also
        --------
        save : with an example.
        """
        tensors, header = read_model(path)
        return cls.from_state(tensors, header)

    def export(
        self,
        path: str | PathLike[str],
        *,
        name: str | None = None,
        authors: Sequence[str] = (),
        license: str | None = None,
    ) -> None:
        """Write the denoiser as a BioImage.IO package, for Fiji and other programs.

        It holds the best output as TorchScript, from intensities to intensities, and a made
        image of noise with its result as a test: nothing of the image that was trained on. A
        denoiser that sees neighbouring frames or planes takes each image for the only one there.
        Needs bioimageio.spec: ``pip install "napari-noise2self[bioimageio]"``.

        Parameters
        ----------
        path
            File to write, ``.zip``; one that is there is replaced.
        name
            What to call it; None for a name made of its image's.
        authors
            Names of those who made it.
        license
            Identifier from the SPDX list, for example ``"CC-BY-4.0"``; None to say nothing.

        Raises
        ------
        NotTrainedError
            If the denoiser has not been trained.
        ConfigError
            If bioimageio.spec is missing, the file is no ``.zip``, or name, authors or license
            are not what the format allows.
        ModelFileError
            If the file cannot be written.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> from napari_noise2self import api
        >>> image = np.random.default_rng(0).normal(size=(64, 64))
        >>> config = api.TrainingConfig(steps=2, width=4, depth=1)
        >>> denoiser = api.Denoiser.for_image(image, config=config)
        >>> for _ in api.train(denoiser, image, config):
        ...     pass
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder) / "denoiser.zip"
        ...     denoiser.export(path, authors=["A. Microscopist"], license="CC-BY-4.0")
        ...     path.is_file()
        True

        References
        ----------
        Ouyang et al., "BioImage Model Zoo", bioRxiv 2022, and https://bioimage.io.
        """
        last_result(self.export_iter(path, name=name, authors=authors, license=license))

    def export_iter(
        self,
        path: str | PathLike[str],
        *,
        name: str | None = None,
        authors: Sequence[str] = (),
        license: str | None = None,
    ) -> Iterator[Progress]:
        """Do what :meth:`export` does, event by event; nothing is written before the last one.

        Yields
        ------
        Progress
            ``stage="export"``, while the test is computed; the last one's `result` is the path.
        """
        return write_bioimageio_iter(path, self, name=name, authors=authors, license=license)
