"""On what a run was made."""

from __future__ import annotations

import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from scripts.measuring.contestants.contestant import first_line


def machine() -> dict[str, str]:
    system = platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": f"{os.cpu_count()} x {processor(Path('/proc/cpuinfo').read_text())}",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / (1 << 30):.1f} GiB",
        "kernel": platform.release(),
        "system": system,
        "python": f"{platform.python_version()}, {Path(sys.executable).resolve()}",
        "iperf3": first_line("iperf3", "--version"),
    }


def processor(cpuinfo: str) -> str:
    """The model in /proc/cpuinfo; not all machines tell one."""
    found = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    return found[1] if found else platform.machine()
