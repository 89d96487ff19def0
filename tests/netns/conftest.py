"""Two sites for each test of the kernel's part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.netns.sites import Sites


@pytest.fixture
def sites() -> Iterator[Sites]:
    with Sites() as built:
        yield built
