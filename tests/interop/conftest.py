"""What tests of several modules share, as it takes a second to make."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.interop.kernel_gateway import Gateway, gateway
from tests.interop.kernel_static import Static, static


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Static]:
    """A guest for keys given by hand; its tests are in the group ``kernel``, so that there is but one."""
    with static(tmp_path_factory.mktemp("kernel") / "guest") as built:
        yield built


@pytest.fixture(scope="session")
def kernel_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A guest for a strongSwan; its tests are in the group ``kernel strongswan``, so that there is but one."""
    with gateway(tmp_path_factory.mktemp("gateway") / "guest") as built:
        yield built
