"""What every benchmark says about itself: the machine, the settings, a table, a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
import torch

import napari_noise2self

Row = Mapping[str, Any]
PACKAGES = ("torch", "numpy", "scikit-image", "careamics", "bm3d")


def parser(doc: str) -> argparse.ArgumentParser:
    """Return a parser with what all benchmarks take; `doc` is the script's docstring."""
    made = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="save settings and rows here")
    made.add_argument("--threads", type=int, metavar="N", help="torch's threads; default: its own")
    return made


def comma_list(text: str) -> list[str]:
    """Split "a,b" for argparse."""
    return [part.strip() for part in text.split(",") if part.strip()]


def comma_numbers(text: str) -> list[int]:
    """Split "1,2" for argparse."""
    return [int(part) for part in comma_list(text)]


def machine() -> dict[str, Any]:
    """Describe the machine, its load before the run, and the versions."""
    versions = {"napari-noise2self": napari_noise2self.__version__}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "load": round(psutil.getloadavg()[0], 2),
        "python": platform.python_version(),
        "system": platform.platform(),
        "versions": versions,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def begin(arguments: argparse.Namespace) -> dict[str, Any]:
    """Set the threads, print the machine in a line, and return its description."""
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    here = machine()
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    gpu = here["gpu"] or "no GPU"
    cores = f"{here['cores']} cores, {here['threads']} threads"
    print(f"{here['processor']}, {cores}, {gpu}; Python {here['python']}, {versions}")
    if here["load"] > 0.5:
        print(
            f"NOTE: the load was {here['load']} before the run; "
            "timings of a busy machine are no results"
        )
    return here


def print_table(rows: Sequence[Row], columns: Mapping[str, str], title: str = "") -> None:
    """Print rows as a Markdown table.

    Parameters
    ----------
    rows
        Values by key; a missing one stays empty.
    columns
        Key to heading, with a format after a bar: ``{"psnr": "PSNR|.2f"}``.
    title
        Line above the table.
    """
    heads = {key: head.partition("|") for key, head in columns.items()}

    def cell(row: Row, key: str) -> str:
        return "" if row.get(key) is None else format(row[key], heads[key][2])

    cells = [[head for head, _, _ in heads.values()]]
    cells += [[cell(row, key) for key in heads] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(heads))]
    left = [not spec for _, _, spec in heads.values()]
    print(f"\n{title}\n" if title else "")
    rule = [
        "-" * w if to_left else "-" * (w - 1) + ":" for w, to_left in zip(widths, left, strict=True)
    ]
    for line in [cells[0], rule, *cells[1:]]:
        sides = zip(line, widths, left, strict=True)
        text = (c.ljust(w) if to_left else c.rjust(w) for c, w, to_left in sides)
        print("| " + " | ".join(text) + " |")


def save(
    arguments: argparse.Namespace, here: Mapping[str, Any], tables: Mapping[str, Sequence[Row]]
) -> None:
    """Write settings, machine and rows to ``--json``, if it was given."""
    if not arguments.json:
        return
    script, settings = Path(sys.argv[0]).name, vars(arguments)
    document = {"script": script, "settings": settings, "machine": here, **tables}
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(json.dumps(document, indent=1, default=str) + "\n")
    print(f"\nsaved {arguments.json}")
