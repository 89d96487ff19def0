"""ESP and AH of our modules with those of a Linux kernel, by keys given to both: each opens what the other seals.

Each form is tried in IPv4 and IPv6, inside and outside; with ESN the numbers go on into another upper half.
"""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.interop.kernel_static import FORMS, Ah, Esp, Method, Static
from tests.unit.crypto.suites import EACH, INTEGRITIES

pytestmark = [pytest.mark.root, pytest.mark.peer, pytest.mark.xdist_group("kernel")]

ESP = {suite.name: suite for suite in EACH}
AH = {integrity.name: integrity for integrity in INTEGRITIES}


def echo_in_each_form(kernel: Static, methods: Sequence[Method]) -> None:
    for number, (form, ends) in enumerate(zip(FORMS, kernel.key(methods), strict=True)):
        with kernel.about(form):
            kernel.echoes(ends, form, number)


@pytest.mark.parametrize("name", ESP)
def test_esp(kernel: Static, name: str) -> None:
    echo_in_each_form(kernel, [Esp(ESP[name])])


@pytest.mark.parametrize("name", AH)
def test_ah(kernel: Static, name: str) -> None:
    echo_in_each_form(kernel, [Ah(AH[name])])


@pytest.mark.parametrize(
    ("inner", "outer"), [("aes128gcm16", "sha256"), ("aes128-sha1", "aesxcbc"), ("null-sha256", "md5")]
)
def test_ah_around_esp(kernel: Static, inner: str, outer: str) -> None:
    echo_in_each_form(kernel, [Esp(ESP[inner]), Ah(AH[outer])])
