"""One measurement in a process of its own, so that its peak memory is its own.

A script calls `measure` with what to do; the same script, started anew, answers
through `answer`.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

FLAG = "--measure"


def measure(script: str, task: dict[str, Any]) -> dict[str, Any]:
    """Run `task` in a fresh process of `script`; a failed one returns its last words as "error"."""
    command = [sys.executable, script, FLAG, json.dumps(task)]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = done.stdout.strip().splitlines()
    if done.returncode != 0 or not lines:
        words = done.stderr.strip().splitlines()
        return {"error": words[-1] if words else f"ended with status {done.returncode}"}
    found: dict[str, Any] = json.loads(lines[-1])
    return found


def answer(tasks: Callable[[dict[str, Any]], dict[str, Any]]) -> bool:
    """Do the task on the command line and print its numbers; False if there is none."""
    if len(sys.argv) != 3 or sys.argv[1] != FLAG:
        return False
    print(json.dumps(tasks(json.loads(sys.argv[2]))))
    return True


def peak_memory() -> int:
    """Bytes of the most memory that this process has held, everything that it loaded included."""
    status = Path("/proc/self/status")
    if status.is_file():  # ru_maxrss also counts what the parent held before exec
        for line in status.read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
