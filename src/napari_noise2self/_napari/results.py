"""Result layers: named, placed and coloured like their source, and never in place of another."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .jobs import Filled, Filling
from .layers import METADATA_KEY, Source, pixels_for_display, result_name
from .outputs import in_words, read_back


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

    def take(self, event: Filling | Filled) -> None:
        """Follow one output; a complete one becomes a layer."""
        if isinstance(event, Filling):
            self._open[event.key] = event
        else:
            self._open.pop(event.key, None)
            self._add(event.key, event.data)

    @property
    def keeps(self) -> str:
        """What a stop would keep where it is finished; "" where it would keep nothing."""
        filling = next(reversed(self._open.values()), None)
        if filling is not None and filling.tally.samples > 1:
            return f"{filling.tally.sample_name}s"
        return "layers" if len(self.sources) > 1 else ""

    def summary(self) -> str:
        """Add what is half finished, and say what was made."""
        parts = [f'"{layer.name}" is ready.' for layer in self.layers]
        for key, filling in self._open.items():
            tally, image = filling.tally, self.sources[key].image
            done = tally.finished()
            if done:
                folder, axes = filling.folder, image.axes
                assert axes is not None
                layer = self._add(key, tally.data if folder is None else read_back(folder, axes))
                parts.append(
                    f'"{layer.name}" holds {tally.sample_name}s '
                    f"{in_words(done, tally.samples)}; "
                    "the others are empty."
                )
            else:
                part = f"a {tally.sample_name} of " if tally.samples > 1 else ""
                parts.append(f"Stopped before {part}{image.name} was finished.")
        self._open.clear()
        return " ".join(parts) or "Nothing was denoised."

    def _add(self, key: int, data: Any) -> Any:
        source = self.sources[key]
        layers = self.viewer.layers
        active = layers.selection.active
        layer = self.viewer.add_image(
            pixels_for_display(data, source),
            name=result_name(
                source.image.name, {layer.name for layer in layers}, suffix=self.suffix
            ),
            rgb=source.rgb,
            metadata={METADATA_KEY: {**self.record, "source": source.image.name}},
            **source.appearance,
        )
        if active is not None and active in layers:
            layers.selection.active = active  # the next click means the same image again
        self.layers.append(layer)
        return layer
