"""What binds a dock to its viewer and to its worker, so that it can be cut in one place."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any
from weakref import WeakMethod

from .worker import Job


class Ties:
    """Connections to emitters of the viewer, and the job that runs.

    Keeps no dock alive, and can be used when its Qt object is already gone.
    """

    def __init__(self) -> None:
        self._connections: list[tuple[Any, WeakMethod[Callable[..., Any]]]] = []
        self.job: Job | None = None

    @property
    def connected(self) -> bool:
        """Whether the viewer is listened to."""
        return bool(self._connections)

    def connect(self, connections: Iterable[tuple[Any, Callable[..., Any]]]) -> None:
        """Connect emitters to bound methods."""
        for emitter, callback in connections:
            emitter.connect(callback)
            self._connections.append((emitter, WeakMethod(callback)))

    def release(self) -> None:
        """Disconnect everything and stop the job."""
        for emitter, weak in self._connections:
            callback = weak()
            if callback is not None:
                emitter.disconnect(callback)
        self._connections.clear()
        if self.job is not None:
            self.job.stop()
