"""How a verb of the command line ends: a report, one line for an error, an exit code."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ParamSpec, TextIO

import typer

from ..core.errors import ConfigError, Noise2SelfError
from .signals import endings_interrupt

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0."""

EPILOG = (
    f"Exit codes: 0 done; {FAILED} something about the files or this computer is in the way; "
    f"{MISUSED} the command was not understood; {INTERRUPTED} Ctrl-C (129 SIGHUP, 143 SIGTERM)."
)

NOTHING = "nothing is left half-written"
"""What there is to say after Ctrl-C, or SIGTERM, where nothing was kept."""

OPTIONS = {
    "api.fill_nan(image)": "--fill-nan",
    "api.fill_nan(target)": "--fill-nan",
    "device='cpu'": "--device cpu",
    'dtype="float32"': "--dtype float32",
    "footprint=(1, 1)": "--footprint 1x1",
    "footprint=(1, 1, 1)": "--footprint 1x1x1",
}
"""What errors and notices advise in Python, and its counterpart here."""

P = ParamSpec("P")


class Interrupted(Exception):
    """Ctrl-C came, and there is something to report.

    Parameters
    ----------
    kept
        One sentence that says what was kept.
    facts
        The same for ``--json``.
    """

    def __init__(self, kept: str, facts: Mapping[str, Any]) -> None:
        super().__init__(kept)
        self.facts = facts


def verb(function: Callable[P, None]) -> Callable[P, None]:
    """Let `function`, which has options ``as_json`` and ``debug``, end with an exit code."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with endings_interrupt() as came:
            try:
                function(*args, **kwargs)
            except KeyboardInterrupt:
                complain(f"interrupted; {NOTHING}")
                raise typer.Exit(_interrupted(came)) from None
            except Interrupted as stop:
                complain(f"interrupted; {stop}")
                report({**stop.facts, "interrupted": True}, as_json=bool(kwargs["as_json"]))
                raise typer.Exit(_interrupted(came)) from None
            except (Noise2SelfError, MemoryError) as error:
                if kwargs["debug"]:
                    raise
                text = in_options(error)
                complain(f"error: {text}")
                report({"error": text}, as_json=bool(kwargs["as_json"]))
                raise typer.Exit(MISUSED if isinstance(error, ConfigError) else FAILED) from None

    return run


def _interrupted(came: Sequence[int]) -> int:
    """Return the exit code after the signals that `came`; none of them means Ctrl-C."""
    return 128 + (came[0] if came else signal.SIGINT)


def in_options(error: Noise2SelfError | MemoryError) -> str:
    """Return the message of an error in terms of this program's options."""
    if isinstance(error, MemoryError):
        why = f" ({error})" if str(error) else ""  # Python's own says nothing
        return f"out of memory{why}; close programs, or take a part of the image"
    return as_options(str(error))


def as_options(text: str) -> str:
    """Return what the engine says, with this program's options for what it advises in Python."""
    for python, option in OPTIONS.items():
        text = text.replace(python, option)
    return text


def complain(text: str) -> None:
    """Write a line to stderr, ``--quiet`` or not."""
    tell(sys.stderr, text)


def report(
    facts: Mapping[str, Any], text: str = "", *, as_json: bool = False, quiet: bool = False
) -> None:
    """Print what came out on stdout: one JSON object, else `text` unless quiet."""
    if as_json:
        tell(sys.stdout, json.dumps(facts, allow_nan=False))
    elif text and not quiet:
        tell(sys.stdout, text)


def tell(stream: TextIO, text: str) -> None:
    """Write a line to stdout or stderr, if anybody listens."""
    guarded = Guarded(stream)
    guarded.write(text + "\n")
    guarded.flush()


class Guarded:
    """A stream that is closed, or on a full disk, without harm to the work that it speaks of.

    Parameters
    ----------
    stream
        Where to write as long as it goes well.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write, or drop it."""
        try:
            return self._stream.write(text)
        except (OSError, ValueError):
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Send on what was written, or drop it."""
        try:
            self._stream.flush()
        except (OSError, ValueError):
            self._give_up()

    def _give_up(self) -> None:
        # what is left in the buffer would fail again, when Python ends
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            try:
                os.dup2(nowhere, self._stream.fileno())
            finally:
                os.close(nowhere)
