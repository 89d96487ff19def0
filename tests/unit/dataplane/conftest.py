"""Roads in processes of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.dataplane.apart import World


@pytest.fixture
def out() -> Iterator[World]:
    world = World("out")
    yield world
    world.close()


@pytest.fixture
def into() -> Iterator[World]:
    world = World("in")
    yield world
    world.close()


@pytest.fixture(params=["out", "in"])
def either(request: pytest.FixtureRequest) -> Iterator[World]:
    world = World(request.param)
    yield world
    world.close()
