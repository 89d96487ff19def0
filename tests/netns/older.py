"""A kernel that has less than the one that runs."""

from __future__ import annotations

from pathlib import Path

import pytest


def as_before_linux_6_9(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each daemon that starts from now on is told by the kernel that it has no tables with an owner."""
    told = folder / "older"
    told.mkdir()
    (told / "sitecustomize.py").write_text("from ipsecd.io.owner import Owner\nOwner.able = lambda owner: False\n")
    monkeypatch.setenv("PYTHONPATH", str(told))
