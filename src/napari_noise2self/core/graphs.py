"""A GPU records a training step once and replays it: CUDA graphs.

The hundreds of kernels of a training step take a fast GPU less time than a host takes to ask
for them. Asked for once, and recorded, they are repeated by a single request.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import torch
from torch import Tensor

from .devices import RECORDING, give_memory_back, is_out_of_memory

UNRECORDED = 3
"""Calls before the recording: the first few choose algorithms and lay out what they keep."""

_idle: defaultdict[torch.device, list[torch.cuda.Stream]] = defaultdict(list)
"""Streams that nothing is recorded on. cuBLAS keeps 32 MB for every stream that it has met."""

_failed: set[torch.device] = set()
"""Where a recording failed other than by memory. torch's allocator (2.11 and before) takes it for
unfinished then: it gives no memory back when it runs short, and may refuse to when it is asked."""


def can_record(device: torch.device) -> bool:
    """Whether work on `device` can be recorded. AMD's GPUs, "cuda" to torch, were never tried."""
    return device.type == "cuda" and torch.version.hip is None and device not in _failed


class Recorded:
    """A function of tensors on a GPU, recorded at its fourth call and repeated from then on.

    The function must do the same at every call: what changes between two calls has to be one
    of its arguments, or be changed in place, and the host may decide nothing by their values.

    Parameters
    ----------
    function
        Takes tensors, whose shapes never change, and returns one.
    device
        Where all of them lie, one for which `can_record`.

    Attributes
    ----------
    failure
        Why the recording failed, if it did. The function then runs as it always did.

    Examples
    --------
    >>> if torch.cuda.is_available():
    ...     twice = Recorded(lambda x: 2 * x, torch.device("cuda"))
    ...     for number in range(5):
    ...         assert twice(torch.tensor(number, device="cuda")) == 2 * number
    """

    def __init__(self, function: Callable[..., Tensor], device: torch.device) -> None:
        self.function, self.device = function, device
        self.failure: str | None = None
        self._calls = 0
        self._inputs: tuple[Tensor, ...] = ()
        self._output: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        idle = _idle[device]
        self._stream = idle.pop() if idle else torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def __call__(self, *inputs: Tensor) -> Tensor:
        """Return the function of `inputs`; what it returns lasts until the next call."""
        self._calls += 1
        if self._graph is None and self.failure is None and self._calls > UNRECORDED:
            self._record(inputs)
        if self._graph is None or self._output is None:
            return self._aside(inputs)
        for kept, value in zip(self._inputs, inputs, strict=True):
            kept.copy_(value)
        self._graph.replay()
        return self._output

    def close(self) -> None:
        """Give the memory of the recording back; it is not called any more."""
        torch.cuda.synchronize(self.device)
        self._graph, self._inputs, self._output = None, (), None
        _idle[self.device].append(self._stream)

    def _aside(self, inputs: tuple[Tensor, ...]) -> Tensor:
        """Run the function on the stream that it is recorded on."""
        here = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            output = self.function(*inputs)
        here.wait_stream(self._stream)
        return output

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        """Record the function, which computes nothing yet.

        torch.cuda.graph would do it, but collects Python's garbage before, which in a
        viewer must not happen in just any thread.
        """
        self._inputs = tuple(value.clone() for value in inputs)
        graph = torch.cuda.CUDAGraph()
        give_memory_back(self.device)  # a recording has memory of its own
        try:
            with RECORDING, torch.cuda.stream(self._stream):
                torch.cuda.synchronize()
                graph.capture_begin(capture_error_mode="thread_local")  # others may go on
                try:
                    self._output = self.function(*self._inputs)
                finally:
                    graph.capture_end()
        except RuntimeError as error:
            cause = error.__context__ or error  # what came before is why it could not be ended
            if is_out_of_memory(cause):
                self.failure = "too little memory"
            else:
                self.failure = str(cause).partition("\n")[0]
                _failed.add(self.device)
            self._inputs, self._output = (), None
        else:
            self._graph = graph
