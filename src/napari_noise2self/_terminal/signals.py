"""What asks the program to end: Ctrl-C, a scheduler (SIGTERM), a terminal that closes (SIGHUP)."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

ENDINGS = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name))
"""Signals that end a program, beside that of Ctrl-C; Windows knows one of them."""


@contextmanager
def endings_interrupt() -> Iterator[list[int]]:
    """Have SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does; yield those that came.

    The first one raises, and repetitions are ignored: ``timeout`` sends two of
    them, and what there is to keep takes its time. One that is ignored
    (``nohup``) or handled elsewhere stays so.
    """
    came: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield came
        return

    def handle(number: int, _frame: object) -> None:
        came.append(number)
        if len(came) == 1:
            raise KeyboardInterrupt

    heard = [number for number in ENDINGS if signal.getsignal(number) == signal.SIG_DFL]
    with _handled(heard, handle):
        yield came


@contextmanager
def ctrl_c_is_a_request() -> Iterator[threading.Event]:
    """Yield a flag that the first Ctrl-C sets; a second one raises KeyboardInterrupt.

    So does any signal that raised KeyboardInterrupt before. Where Ctrl-C is
    ignored (``nohup``) or this is not the main thread, the flag stays unset.
    """
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked
        return
    signals = (signal.SIGINT, *ENDINGS)
    before = {number: signal.getsignal(number) for number in signals}

    def handle(number: int, frame: FrameType | None) -> None:
        try:
            interrupt = before[number]
            assert callable(interrupt)
            interrupt(number, frame)
        except KeyboardInterrupt:
            if asked.is_set():
                raise
            asked.set()

    heard = [number for number in signals if callable(before[number])]
    with _handled(heard, handle):
        yield asked


@contextmanager
def _handled(
    numbers: Sequence[int], handle: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Have `handle` handle these signals, and after the block whoever did before."""
    before = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
