from __future__ import annotations

import pytest

from ipsecd.crypto import algorithms


@pytest.fixture
def nothing_withdrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test withdraws is offered again after it."""
    monkeypatch.setattr(algorithms, "_withdrawn", set())
