"""Keys and policies of the kernel's IPsec, as lines of `ip -batch`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ipsecd.crypto.algorithms import Integrity
from ipsecd.wire.registry import Encr
from tests.unit.crypto.suites import Suite

_AEADS = {
    **dict.fromkeys((Encr.AES_GCM_8, Encr.AES_GCM_12, Encr.AES_GCM_16), "rfc4106(gcm(aes))"),
    **dict.fromkeys((Encr.AES_CCM_8, Encr.AES_CCM_12, Encr.AES_CCM_16), "rfc4309(ccm(aes))"),
    Encr.NULL_AUTH_AES_GMAC: "rfc4543(gcm(aes))",
    Encr.CHACHA20_POLY1305: "rfc7539esp(chacha20,poly1305)",
}
_CIPHERS = {
    Encr.AES_CBC: "cbc(aes)",
    Encr.AES_CTR: "rfc3686(ctr(aes))",
    Encr.CAMELLIA_CBC: "cbc(camellia)",
    Encr.TRIPLE_DES: "cbc(des3_ede)",
    Encr.DES: "cbc(des)",
    Encr.NULL: "ecb(cipher_null)",
}
_MACS = {"aesxcbc": "xcbc(aes)", "aescmac": "cmac(aes)"}
EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}


def esp_words(suite: Suite) -> str:
    """The algorithms of a suite and their keys."""
    encryption, key = suite.encryption, _hex(suite.key_e)
    if suite.integrity is None:
        return f"aead {_AEADS[encryption.id]} {key} {encryption.icv_octets * 8}"
    return f"{ah_words(suite.integrity, suite.key_a)} enc {_CIPHERS[encryption.id]} {key}"


def ah_words(integrity: Integrity, key: bytes) -> str:
    name = _MACS.get(integrity.name) or f"hmac({integrity.hash})"
    return f"auth-trunc {name} {_hex(key)} {integrity.icv_octets * 8}"


def _hex(key: bytes) -> str:
    return f"0x{key.hex()}" if key else '""'


@dataclass(frozen=True, kw_only=True)
class State:
    """One SA, and what the kernel's policy asks for of it. ``version`` is that of the packets it protects. Its numbers
    come behind ``after``."""

    protocol: str  # esp, ah
    source: str
    destination: str
    spi: int
    reqid: int
    algorithms: str
    version: int
    tunnel: bool = False
    esn: bool = False
    after: int = 0

    @property
    def _template(self) -> str:
        mode = "tunnel" if self.tunnel else "transport"
        return f"src {self.source} dst {self.destination} proto {self.protocol} {{}}reqid {self.reqid} mode {mode}"

    def template(self) -> str:
        return self._template.format("")

    def line(self, *, incoming: bool) -> str:
        own = 6 if ":" in self.source else 4
        words = ["xfrm state add", self._template.format(f"spi {self.spi:#x} "), "replay-window 64"]
        flags = ["esn"] if self.esn else []
        if self.protocol == "ah" and own == 4:
            flags.append("align4")  # else it pads to eight octets, where RFC 4302 section 3.3.3.2.1 has four
        if self.version != own and not self.tunnel:
            flags.append("af-unspec")  # what is in the tunnel inside this one may be of any version
        if flags:
            words += ["flag", *flags]
        if self.after:
            number = "replay-seq" if incoming else "replay-oseq"
            words.append(f"{number} {self.after & 0xFFFF_FFFF} {number}-hi {self.after >> 32}")
        words.append(self.algorithms)
        if self.tunnel:  # which is taken to have the version of its own addresses inside too
            words.append(f"sel src {EVERYTHING[self.version]} dst {EVERYTHING[self.version]}")
        return " ".join(words)


def lines(direction: str, source: str, destination: str, states: Sequence[State]) -> Iterator[str]:
    """The SAs of one direction, ``in`` or ``out``, the innermost first, and the policy that asks for them between two
    addresses."""
    for state in states:
        yield state.line(incoming=direction == "in")
    templates = " ".join(f"tmpl {state.template()}" for state in states)
    yield f"xfrm policy add src {source} dst {destination} dir {direction} {templates}"


FLUSH = ("xfrm policy flush", "xfrm state flush")
