"""A script of the project in a session of its own, and what it leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def session(module: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """``python -m module``; its output is text."""
    command = [sys.executable, "-m", module, *arguments]
    with subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def left_behind(process: subprocess.Popen[str]) -> list[str]:
    """Namespaces of that script, and processes of its session."""
    namespaces = [path.name for path in Path("/run/netns").glob(f"ipsecd-{process.pid}-*")]
    return namespaces + [str(pid) for pid in _processes() if _session_of(pid) == process.pid]


def _processes() -> Iterator[int]:
    yield from (int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit())


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None
