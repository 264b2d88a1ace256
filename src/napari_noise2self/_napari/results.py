"""Result layers: named, placed and coloured like their source, and never in place of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from napari.utils.notifications import show_info

from ..io.on_disk import read_back
from .jobs import Filled, Filling, LeftOut
from .layers import METADATA_KEY, Source, pixels_for_display, result_name
from .outputs import in_words
from .placing import selection_kept, stand_in
from .words import as_here
from .worker import Ended


@dataclass
class Results:
    """What one Denoise makes.

    Attributes
    ----------
    viewer
        Where the layers go.
    sources
        What is denoised, by key.
    record
        How they are made; each result keeps it in its metadata, with the name of
        its source.
    suffix
        What follows the name of the source.
    """

    viewer: Any
    sources: Mapping[int, Source]
    record: Mapping[str, Any]
    suffix: str = "denoised"
    layers: list[Any] = field(default_factory=list)
    _open: dict[int, Filling] = field(default_factory=dict)
    _told: list[str] = field(default_factory=list)
    _hidden: list[str] = field(default_factory=list)

    def take(self, event: Filling | Filled | LeftOut) -> None:
        """Follow one output; a complete one becomes a layer."""
        if isinstance(event, Filling):
            self._open[event.key] = event
        elif isinstance(event, LeftOut):
            told = len(self._told)
            self._end(event.key)
            rest = "the rest of " if len(self._told) > told else ""
            self.leave_out(self.sources[event.key].image.name, event.reason, rest)
        else:
            layer = self._add(event.key, event.data)
            self._open.pop(event.key, None)  # not before: what cannot be shown is tried again
            self._told.append(f'"{layer.name}" is ready.')

    def leave_out(self, name: str, reason: str, part: str = "") -> None:
        """Say in the summary that an image, or this part of it, is not denoised."""
        text = f'{part}"{name}" was left out: {as_here(reason)}.'
        self._told.append(text[:1].upper() + text[1:])

    @property
    def keeps(self) -> str:
        """What a stop would keep where it is finished; "" where it would keep nothing."""
        filling = next(reversed(self._open.values()), None)
        if filling is not None and filling.tally.samples > 1:
            return f"{filling.tally.sample_name}s"
        return "layers" if len(self.sources) > 1 else ""

    def summary(self, ended: Ended) -> str:
        """Add what is half finished, and say what was made.

        After an error a notification says it too: the state line is the error's.
        """
        for key in tuple(self._open):
            self._end(key, stopped=ended.stopped and ended.error is None)
        if self._hidden:
            are = "is" if len(self._hidden) == 1 else "are"
            names = ", ".join(self._hidden)
            self._told.append(f"{names} {are} hidden: noisy and denoised would add up.")
        text = " ".join(self._told) or "Nothing was denoised."
        if ended.error is not None and self.layers:
            show_info(text)
        return text

    def _end(self, key: int, *, stopped: bool = False) -> None:
        """Add what there is of an output that will not be completed."""
        filling = self._open.pop(key, None)
        if filling is None:
            return
        tally, image, folder = filling.tally, self.sources[key].image, filling.folder
        done = tally.finished() if tally.kept else []
        if done:
            assert image.axes is not None
            data = tally.data if folder is None else read_back(folder, image.axes)
            name = self._add(key, data).name
            parts = f"{tally.sample_name}s {in_words(done, tally.samples)}"
            whole = len(done) == tally.samples  # the end came with the last of them
            what = "is ready" if whole else f"holds {parts}; the others are empty"
            self._told.append(f'"{name}" {what}.')
        elif stopped:
            part = f"a {tally.sample_name} of " if tally.samples > 1 else ""
            self._told.append(f"Stopped before {part}{image.name} was finished.")

    def _add(self, key: int, data: Any) -> Any:
        source = self.sources[key]
        taken = {layer.name for layer in self.viewer.layers}
        with selection_kept(self.viewer.layers):
            layer = self.viewer.add_image(
                pixels_for_display(data, source),
                name=result_name(source.image.name, taken, suffix=self.suffix),
                rgb=source.rgb,
                metadata={METADATA_KEY: {**self.record, "source": source.image.name}},
                **source.appearance,
            )
        hidden = stand_in(self.viewer.layers, layer, source.layer())
        self._hidden += [f'"{other.name}"' for other in hidden]
        self.layers.append(layer)
        return layer
