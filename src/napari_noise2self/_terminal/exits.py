"""How a verb of the command line ends: a report, one line for an error, an exit code."""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, ParamSpec

import typer

from ..core.errors import ConfigError, Noise2SelfError

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
"""Exit codes beside 0."""

EPILOG = (
    f"Exit codes: 0 done; {FAILED} something about the files or this computer is in the way; "
    f"{MISUSED} the command was not understood; {INTERRUPTED} Ctrl-C."
)

NOTHING = "nothing is left half-written"
"""What there is to say after Ctrl-C where nothing was kept."""

OPTIONS = {
    "api.fill_nan(image)": "--fill-nan",
    "api.fill_nan(target)": "--fill-nan",
    "device='cpu'": "--device cpu",
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
        try:
            function(*args, **kwargs)
        except KeyboardInterrupt:
            complain(f"interrupted; {NOTHING}")
            raise typer.Exit(INTERRUPTED) from None
        except Interrupted as stop:
            complain(f"interrupted; {stop}")
            report({**stop.facts, "interrupted": True}, as_json=bool(kwargs["as_json"]))
            raise typer.Exit(INTERRUPTED) from None
        except (Noise2SelfError, MemoryError) as error:
            if kwargs["debug"]:
                raise
            text = in_options(error)
            complain(f"error: {text}")
            report({"error": text}, as_json=bool(kwargs["as_json"]))
            raise typer.Exit(MISUSED if isinstance(error, ConfigError) else FAILED) from None

    return run


def in_options(error: Noise2SelfError | MemoryError) -> str:
    """Return the message of an error in terms of this program's options."""
    if isinstance(error, MemoryError):
        return f"out of memory ({error}); close programs, or take a part of the image"
    return as_options(str(error))


def as_options(text: str) -> str:
    """Return what the engine says, with this program's options for what it advises in Python."""
    for python, option in OPTIONS.items():
        text = text.replace(python, option)
    return text


def complain(text: str) -> None:
    """Write a line to stderr, ``--quiet`` or not."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def report(
    facts: Mapping[str, Any], text: str = "", *, as_json: bool = False, quiet: bool = False
) -> None:
    """Print what came out on stdout: one JSON object, else `text` unless quiet."""
    if as_json:
        typer.echo(json.dumps(facts, allow_nan=False))
    elif text and not quiet:
        typer.echo(text)
