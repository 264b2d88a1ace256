"""One consumer of `Progress` events for every verb of the command line: bar, notes, Ctrl-C."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, Protocol, cast

from ..core.config import Progress
from .exits import Guarded, as_options, tell
from .signals import ctrl_c_is_a_request

if TYPE_CHECKING:
    from rich.progress import Progress as Bars

STAGES = {
    "analyse": "Analysing",
    "read": "Reading",
    "train": "Training",
    "predict": "Denoising",
    "calibrate": "Calibrating",
    "diagnose": "Diagnosing",
    "inspect": "Comparing",
    "export": "Exporting",
}
"""What each stage is called on screen."""


@dataclass(frozen=True)
class Outcome:
    """What came of events that were followed.

    Attributes
    ----------
    result
        The last event's result; None if it did not come to that.
    interrupted
        Whether Ctrl-C was pressed, be it in the last moment: stop means stop.
    """

    result: Any
    interrupted: bool


class View(Protocol):
    """Something that shows events."""

    def show(self, progress: Progress) -> None: ...


class Terminal:
    """What a person sees on stderr while a verb runs, and the notes to hand on.

    Parameters
    ----------
    quiet
        Show nothing but errors; notes are kept all the same.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.notices: list[str] = []

    def say(self, text: str) -> None:
        """Show a line, unless quiet."""
        if not self.quiet:
            tell(sys.stderr, text)

    def note(self, text: str) -> None:
        """Show a notice, and keep it for ``--json``; once if it is repeated."""
        text = as_options(text)
        if text not in self.notices:
            self.notices.append(text)
            self.say(f"note: {text}")

    def follow(self, events: Iterator[Progress]) -> Outcome:
        """Advance `events` to the end, or to the first Ctrl-C, and close them.

        The first Ctrl-C is looked at between two events, where a denoiser is at
        rest; a second one interrupts at once.
        """
        result = None
        try:
            with self._view() as view, ctrl_c_is_a_request() as asked:
                for progress in events:
                    if progress.notice:
                        self.note(progress.notice)
                    result = progress.result
                    view.show(progress)
                    if asked.is_set():
                        break
                return Outcome(result, asked.is_set())
        finally:
            if isinstance(events, Generator):
                events.close()

    def _view(self) -> AbstractContextManager[View]:
        if self.quiet:
            return nullcontext(_Nothing())
        if sys.stderr.isatty():
            return _bar()
        return nullcontext(_Lines(self.say))


@contextmanager
def terminal(*, quiet: bool) -> Iterator[Terminal]:
    """Yield a terminal that shows the package's warnings and log as notes meanwhile."""
    screen = Terminal(quiet=quiet)
    listener, logger = _Listener(screen), logging.getLogger("napari_noise2self")
    logger.addHandler(listener)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: screen.note(str(message))
            yield screen
    finally:
        logger.removeHandler(listener)


class _Listener(logging.Handler):
    def __init__(self, screen: Terminal) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.note(record.getMessage())


def in_words(seconds: float) -> str:
    """Return a duration as a person says it.

    Examples
    --------
    >>> in_words(0.4), in_words(42), in_words(200), in_words(4000)
    ('0.4 s', '42 s', '3 min 20 s', '1 h 06 min')
    """
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def _facts(progress: Progress) -> str:
    """Return the time left, where there is an estimate and an end to come."""
    left = progress.seconds_left
    return "" if left is None or progress.step >= progress.steps else f"{in_words(left)} left"


class _Nothing:
    """The view of ``--quiet``."""

    def show(self, progress: Progress) -> None:
        """Show nothing."""


class _Lines:
    """Plain lines for a log file: one at the start of a stage and at each tenth of it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._shown: tuple[str, int] | None = None
        self._loss = ""

    def show(self, progress: Progress) -> None:
        """Write a line if the last one is a tenth of the way behind."""
        if progress.validation_loss is not None:
            self._loss = f", held-out loss {progress.validation_loss:.4g}"
        here = (progress.stage, 10 * progress.step // max(1, progress.steps))
        if here == self._shown:
            return
        self._shown = here
        loss = self._loss if progress.stage == "train" else ""
        facts = _facts(progress)
        self._say(
            f"{STAGES.get(progress.stage, progress.stage)} {progress.step}/{progress.steps}"
            + loss
            + (f", {facts}" if facts else "")
        )


@contextmanager
def _bar() -> Iterator[View]:
    """Show a bar with the time left while the block runs."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    console = Console(file=cast(IO[str], Guarded(sys.stderr)))
    with Bars(
        TextColumn("{task.description:<10}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TextColumn("{task.fields[facts]:<14}"),
        console=console,
    ) as bars:
        yield _Bar(bars)


class _Bar:
    """A bar for each stage, below one another."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._stage: str | None = None
        self._loss = ""

    def show(self, progress: Progress) -> None:
        """Move the stage's bar."""
        if progress.stage != self._stage:
            self._stage = progress.stage
            title = STAGES.get(progress.stage, progress.stage)
            self._task = self._bars.add_task(title, total=progress.steps, loss="", facts="")
        if progress.validation_loss is not None:
            self._loss = f"held-out loss {progress.validation_loss:.4g}"
        self._bars.update(
            self._task,
            completed=progress.step,
            total=progress.steps,
            loss=self._loss if progress.stage == "train" else "",
            facts=_facts(progress),
        )
