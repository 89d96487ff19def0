"""What tests of several modules share, as it takes a second to make."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.interop import v1_terms
from tests.interop.kernel_gateway import Gateway, gateway
from tests.interop.kernel_static import Static, static
from tests.interop.standing import Standing, standing


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


@pytest.fixture(scope="session")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """Two gateways that speak IKEv1; its tests are in the group ``v1``, so that there is but one."""
    with standing(tmp_path_factory.mktemp("v1"), v1_terms.BASE) as built:
        yield built


@pytest.fixture(scope="session")
def v1_inline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Standing]:
    """The same for what is about the negotiation alone: ipsecd carries packets itself. The group is ``v1 inline``."""
    with contextlib.ExitStack() as held:
        with pytest.MonkeyPatch.context() as patch:  # for its start alone: other tests run meanwhile
            patch.setenv("IPSECD_DATA_PLANE", "inline")
            built = held.enter_context(standing(tmp_path_factory.mktemp("v1-inline"), v1_terms.BASE))
        yield built
