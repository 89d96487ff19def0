"""RSA signatures of IKEv1: a bare hash in PKCS #1 padding of type 1, and nothing else (RFC 2409 section 5.1)."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import ipsecd
from ipsecd.crypto.rsa_signature import RsaPrivate, RsaPublic, check_size
from ipsecd.crypto.secret import Secret
from ipsecd.errors import PeerError
from tests.unit.crypto.authority import private, rsa_key

DIGEST = bytes(range(20))
PUBLIC = RsaPublic(rsa_key("i").public_key())
N, E = rsa_key("i").public_key().public_numbers().n, 65_537
SIZE = 256


def refused(signature: bytes, digest: bytes = DIGEST, key: RsaPublic = PUBLIC) -> bool:
    try:
        key.verify(digest, signature)
    except PeerError as error:
        return error.reason == "wrong-signature"
    return False


def powered(block: bytes) -> bytes:
    """What the private key makes of any octets, by the arithmetic that RFC 8017 section 5.2.1 writes down."""
    d = rsa_key("i").private_numbers().d
    return pow(int.from_bytes(block, "big"), d, N).to_bytes(SIZE, "big")


def padded(data: bytes, kind: int = 1, filler: bytes = b"\xff") -> bytes:
    return b"\0" + bytes([kind]) + filler * (SIZE - 3 - len(data)) + b"\0" + data


@pytest.mark.parametrize("octets", [16, 20, 32, 48, 64])
def test_a_signature_is_the_padded_hash_to_the_power_of_the_private_exponent(octets: int) -> None:
    digest = bytes(range(octets))
    signature = private("i").sign(digest)
    assert signature == powered(padded(digest))
    assert pow(int.from_bytes(signature, "big"), E, N).to_bytes(SIZE, "big") == padded(digest)
    PUBLIC.verify(digest, signature)


def test_any_other_hash_or_key_is_refused() -> None:
    signature = private("i").sign(DIGEST)
    assert not refused(signature)
    for digest in (DIGEST[:-1] + b"\0", DIGEST[:-1], DIGEST + b"\0", b"", bytes(20), bytes(300)):
        assert refused(signature, digest)
    assert refused(signature, key=RsaPublic(rsa_key("r").public_key()))
    assert refused(private("r").sign(DIGEST))


@pytest.mark.parametrize(
    "number", [0, 1, N - 1, N, N + 1, (1 << 8 * SIZE) - 1], ids=["0", "1", "n-1", "n", "n+1", "most"]
)
def test_numbers_that_sign_nothing_are_refused(number: int) -> None:
    assert refused(number.to_bytes(SIZE, "big"))
    assert refused(number.to_bytes(SIZE, "big"), b"")


def test_signatures_of_other_lengths_are_refused() -> None:
    signature = private("i").sign(DIGEST)
    for other in (b"", b"\0", signature[1:], signature[:-1], b"\0" + signature, signature + b"\0", signature * 8):
        assert refused(other)


@pytest.mark.parametrize(
    "block",
    [
        padded(DIGEST, kind=2),
        padded(DIGEST, kind=0, filler=b"\0"),
        padded(DIGEST, filler=b"\xfe"),
        b"\0\1" + b"\xff" * 7 + b"\0" + DIGEST + bytes(SIZE - 30),  # short padding, and room for a forgery behind
        b"\0\1" + b"\xff" * 8 + b"\0" + DIGEST + bytes(SIZE - 31),
        padded(DIGEST + b"garbage"),
        padded(b"garbage" + DIGEST),
        b"\0\1" + b"\xff" * (SIZE - 2),  # no end of the padding
        padded(b""),
    ],
    ids=["type 2", "type 0", "other filler", "7 octets", "8 octets", "behind", "in front", "endless", "nothing"],
)
def test_every_other_block_that_the_key_has_signed_is_refused(block: bytes) -> None:
    """What forgeries for small exponents look like (CVE-2018-16151, CVE-2018-16152)."""
    assert refused(powered(block))
    assert refused(powered(block), b"")


def test_a_signature_that_names_its_hash_is_another_one() -> None:
    assert refused(rsa_key("i").sign(b"data", PKCS1v15(), SHA1()), SHA1_OF_DATA)


SHA1_OF_DATA = bytes.fromhex("a17c9aaa61e80a1bf71d0d850af4e5baa9800bbd")


def test_keys_that_are_of_no_use_are_refused_with_a_sentence() -> None:
    with pytest.raises(ValueError, match=r"^this isn't a private key in DER"):
        RsaPrivate(Secret(b"\x30\x00"))
    curve = ec.generate_private_key(ec.SECP256R1())
    der = curve.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match=r"^this private key isn't one of RSA"):
        RsaPrivate(Secret(der))
    for bits in (1_024, 2_047, 16_385):
        with pytest.raises(ValueError, match=rf"^an RSA key has 2048 to 16384 bits, not {bits}"):
            check_size(bits)
    for bits in (2_048, 16_384):
        check_size(bits)
    with pytest.raises(ValueError, match="not 1024"):
        RsaPublic(rsa.generate_private_key(E, 1_024).public_key())


def test_nothing_is_ever_encrypted_or_decrypted_by_rsa() -> None:
    """C14: no oracle for paddings (CVE-2018-0131, CVE-2018-8753), and no key that is used for two things."""
    folder = Path(ipsecd.__file__).parent
    uses = [path.name for path in folder.rglob("*.py") if "asymmetric.padding" in path.read_text()]
    assert uses == ["rsa_signature.py"]
    tree = ast.parse((folder / "crypto" / "rsa_signature.py").read_text())
    called = {
        node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
    assert called == {"reveal", "sign", "recover_data_from_signature"}
