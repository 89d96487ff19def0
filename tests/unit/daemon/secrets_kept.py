"""A recorder of every secret that is made in this process, and what it looks for in what the process says."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator
from unittest import mock

from ipsecd.crypto import keymat
from ipsecd.crypto.secret import Secret

_SHORT = 8  # octets; less may stand anywhere by chance


class Recorder:
    """While it is entered, remembers what every Secret is made from, and all that PRFs give: SKEYSEED, SK_*, KEYMAT."""

    def __init__(self) -> None:
        self.secrets: set[bytes] = set()

    @contextlib.contextmanager
    def recording(self) -> Iterator[None]:
        made, prf, prf_plus = Secret.__init__, keymat.prf, keymat.prf_plus

        def make(secret: Secret, octets: bytes | bytearray | memoryview) -> None:
            self._keep(bytes(octets))
            made(secret, octets)

        with (
            mock.patch.object(Secret, "__init__", make),
            mock.patch.object(keymat, "prf", lambda *given: self._keep(prf(*given))),
            mock.patch.object(keymat, "prf_plus", lambda *given: self._keep(prf_plus(*given))),
        ):
            yield

    def _keep(self, octets: bytes) -> bytes:
        if len(octets) >= _SHORT:
            self.secrets.add(octets)
        return octets

    def found_in(self, said: bytes) -> list[tuple[str, bytes]]:
        """The secrets that stand in there, and in which form: as they are, as Python shows octets, in hexadecimal
        digits with anything between them, in base64."""
        digits = said.lower().translate(None, b" :-\\,\n")
        forms = {
            "raw": lambda secret: secret in said,
            "shown": lambda secret: repr(secret)[2:-1].encode() in said,
            "hex": lambda secret: secret.hex().encode() in digits,
            "base64": lambda secret: any(_base64(secret, offset, said) for offset in range(3)),
        }
        return [(name, secret) for secret in self.secrets for name, holds in forms.items() if holds(secret)]


def _base64(secret: bytes, offset: int, said: bytes) -> bool:
    """Whether the secret stands in there as base64, as part of something that begins ``offset`` octets before it."""
    whole = bytes(offset) + secret
    text = base64.b64encode(whole[: len(whole) // 3 * 3])[4 if offset else 0 :]
    return text in said or text.replace(b"+", b"-").replace(b"/", b"_") in said
