"""The published vectors under tests/vectors, as parameters of tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "vectors"


def vectors(name: str) -> dict[str, Any]:
    """One file of vectors, as it stands."""
    loaded: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return loaded


def cases(name: str) -> list[dict[str, Any]]:
    """The cases of one file."""
    found: list[dict[str, Any]] = vectors(name)["cases"]
    return found


def octets(text: str) -> bytes:
    return bytes.fromhex(text)
