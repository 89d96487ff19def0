"""A chain of certificates as it stands: whose it is, who vouches for it, and what it's for (RFC 4945 section 5)."""

from __future__ import annotations

from collections.abc import Callable
from itertools import permutations
from math import lcm

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from ipsecd.crypto.certificates import Certificate, unwrapped
from ipsecd.errors import PeerError
from ipsecd.pki.raw_chain import RawChain
from ipsecd.wire.identity import Identity
from tests.unit.crypto.authority import NOW, ROOT, Authority, Extension, key_usage, name, private, rsa_key

MIDDLE = Authority("middle", ROOT)
LOWEST = Authority("lowest", MIDDLE)
GW = Identity.parse("gw.example")
TRUST = RawChain((ROOT.certificate,), lambda: NOW)


def refusal(*chain: bytes, claimed: Identity = GW, trust: RawChain = TRUST) -> str:
    with pytest.raises(PeerError) as caught:
        trust.judge(chain, claimed)
    return str(caught.value)


def test_the_key_of_a_good_certificate_is_the_one_that_signs() -> None:
    key = TRUST.judge((ROOT.end("i", "gw.example"),), GW)
    key.verify(b"digest", private("i").sign(b"digest"))
    with pytest.raises(PeerError):
        key.verify(b"digest", private("r").sign(b"digest"))


def test_the_way_to_an_authority_may_lead_over_others_in_any_order() -> None:
    end = LOWEST.end("i", "gw.example")
    for others in ((MIDDLE.der, LOWEST.der), (LOWEST.der, ROOT.der, MIDDLE.der)):
        TRUST.judge((end, *others), GW)
    assert refusal(end, LOWEST.der).startswith("untrusted-certificate: no trusted authority vouches for")
    RawChain((LOWEST.certificate, MIDDLE.certificate, ROOT.certificate), lambda: NOW).judge((end,), GW)


def test_the_own_certificate_is_the_one_with_the_name_wherever_it_stands() -> None:
    end, other = LOWEST.end("i", "gw.example"), LOWEST.end("r", "other.example")
    for chain in permutations((end, other, MIDDLE.der, LOWEST.der)):
        TRUST.judge(chain, GW).verify(b"digest", private("i").sign(b"digest"))


def test_certificates_may_come_in_one_wrapping() -> None:
    chain = (LOWEST.end("i", "gw.example"), MIDDLE.der, LOWEST.der)
    wrapped = serialize_certificates([Certificate(der).parsed for der in chain], Encoding.DER)
    assert sorted(unwrapped(wrapped)) == sorted(chain)
    TRUST.judge(unwrapped(wrapped), GW)
    for octets in (b"", wrapped[:-1], b"\x30\x00", chain[0]):
        with pytest.raises(PeerError, match=r"^bad-certificate"):
            unwrapped(octets)
    many = [Certificate(Authority(str(number), ROOT).der).parsed for number in range(21)]
    with pytest.raises(PeerError, match=r"^bad-certificate: 21 certificates in one wrapping"):
        unwrapped(serialize_certificates(many, Encoding.DER))


@pytest.mark.parametrize("claimed", ["gw.example", "GW.Example", "a@example.org", "192.0.2.1", "2001:db8::1", "CN=gw"])
def test_an_identity_is_one_of_the_certificate_s_names(claimed: str) -> None:
    names = ("gw.example", "a@example.org", "192.0.2.1", "2001:db8::1")
    TRUST.judge((ROOT.end("i", *names, common="gw"),), Identity.parse(claimed))


@pytest.mark.parametrize(
    "claimed",
    ["gw.example.org", "example", "a.example", "gw", "b@example", "192.0.2.2", "keyid:gw.example", "CN=other"],
)
def test_any_other_identity_is_refused(claimed: str) -> None:
    """A common name is no domain name, and a wildcard stands for nobody but itself."""
    end = ROOT.end("i", "gw.example", "*.example", "192.0.2.1", common="gw")
    assert refusal(end, claimed=Identity.parse(claimed)) == (
        f"untrusted-certificate: the peer says it is {Identity.parse(claimed)}; its certificate is for "
        "CN=gw, gw.example, *.example, 192.0.2.1"
    )


def test_who_shows_nothing_or_nonsense_is_refused() -> None:
    good = ROOT.end("i", "gw.example")
    assert refusal() == "untrusted-certificate: the peer shows no certificate"
    for octets in (b"", b"\x30", good[:-1], good + b"\0", b"\xff" * 400):
        assert refusal(octets).startswith("bad-certificate")
        assert refusal(good, octets).startswith("bad-certificate")


def test_other_authorities_of_the_same_name_vouch_for_nobody() -> None:
    assert refusal(Authority().end("i", "gw.example")).startswith("untrusted-certificate: no trusted authority")
    assert refusal(Authority("other").end("i", "gw.example")).startswith("untrusted-certificate: no trusted authority")
    nobody = RawChain((), lambda: NOW)
    assert refusal(ROOT.end("i", "gw.example"), trust=nobody) == "untrusted-certificate: no authority is trusted"


def test_who_certifies_himself_is_refused() -> None:
    own = Authority("gw.example")
    assert refusal(own.der, claimed=Identity.parse("CN=gw.example")).startswith("untrusted-certificate: no trusted")


def test_an_end_vouches_for_nobody() -> None:
    """CVE-2002-0862 and its many followers."""
    pretender = Authority("pretender", ROOT, extensions=((x509.BasicConstraints(ca=False, path_length=None), True),))
    assert refusal(pretender.end("i", "gw.example"), pretender.der).startswith("untrusted-certificate: no trusted")
    silent = Authority("silent", ROOT, extensions=())
    assert refusal(silent.end("i", "gw.example"), silent.der).startswith("untrusted-certificate: no trusted")


def test_an_authority_without_usages_vouches_as_openssl_makes_such_ones() -> None:
    """RFC 5280 section 6.1.4 (n). One with usages needs that of signing certificates."""
    constraints: Extension = x509.BasicConstraints(ca=True, path_length=None), True
    plain = Authority("plain", extensions=(constraints,))
    middle = Authority("middle", plain, extensions=(constraints,))
    trust = RawChain((plain.certificate,), lambda: NOW)
    trust.judge((middle.end("i", "gw.example"), middle.der), GW)
    other = Authority("other", plain, extensions=(constraints, key_usage("crl_sign")))
    assert "mayn't sign certificates" in refusal(other.end("i", "gw.example"), other.der, trust=trust)


def test_an_authority_that_may_have_none_below_it_has_none() -> None:
    short = Authority(
        "short", ROOT, ((x509.BasicConstraints(ca=True, path_length=0), True), key_usage("key_cert_sign"))
    )
    TRUST.judge((short.end("i", "gw.example"), short.der), GW)
    below = Authority("below", short)
    assert refusal(below.end("i", "gw.example"), below.der, short.der).startswith("untrusted-certificate: no trusted")


def test_paths_of_more_authorities_than_anybody_has_are_not_followed() -> None:
    chain = [Authority("0", ROOT)]
    for number in range(1, 6):
        chain.append(Authority(str(number), chain[-1]))
    ends = [each.end("i", "gw.example") for each in chain]
    others = tuple(each.der for each in chain)
    TRUST.judge((ends[3], *others), GW)
    assert refusal(ends[5], *others).startswith("untrusted-certificate: no trusted authority")


@pytest.mark.parametrize(("days", "good"), [((0, 2), True), ((2, 4), False), ((-4, -2), False)])
def test_a_certificate_is_good_in_its_time_alone(days: tuple[int, int], good: bool) -> None:
    extension: Extension = (x509.SubjectAlternativeName([x509.DNSName("gw.example")]), False)
    der = ROOT.issue("", rsa_key("i").public_key(), extension, days=days)
    if good:
        TRUST.judge((der,), GW)
    else:
        assert refusal(der).startswith("untrusted-certificate: no trusted authority")


def purposes(*oids: str) -> Extension:
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(oid) for oid in oids]), False


@pytest.mark.parametrize(
    "extension",
    [
        key_usage("digital_signature"),
        key_usage("content_commitment"),
        purposes("1.3.6.1.5.5.7.3.17"),
        purposes("1.3.6.1.5.5.8.2.2"),
        purposes("1.3.6.1.5.5.7.3.5"),
        purposes("1.3.6.1.5.5.7.3.4", "1.3.6.1.5.5.7.3.2"),
        purposes("2.5.29.37.0"),
        (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
    ],
)
def test_a_certificate_may_be_for_ike_among_others(extension: Extension) -> None:
    TRUST.judge((ROOT.end("i", "gw.example", extensions=(extension,)),), GW)


@pytest.mark.parametrize(
    ("extension", "why"),
    [
        (key_usage("key_encipherment"), "has a key that isn't for signatures"),
        (purposes("1.3.6.1.5.5.7.3.4"), "is for other purposes than IKE"),
        ((x509.BasicConstraints(ca=True, path_length=None), True), "is one of an authority, not of a peer"),
    ],
)
def test_a_certificate_for_something_else_is_refused(extension: Extension, why: str) -> None:
    assert (
        refusal(ROOT.end("i", "gw.example", extensions=(extension,))) == f"untrusted-certificate: the certificate {why}"
    )


def test_what_is_critical_and_unknown_is_refused() -> None:
    extension: Extension = (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), True)
    assert refusal(ROOT.end("i", "gw.example", common="line\nfeed", extensions=(extension,))) == (
        "untrusted-certificate: no trusted authority vouches for the certificate: validation failed: "
        "invalid extension: 1.2.3.4: certificate contains unaccounted-for critical extensions"
    )


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: rsa.generate_private_key(65_537, 1_024).public_key(), "an RSA key has 2048 to 16384 bits, not 1024"),
        (
            lambda: ec.generate_private_key(ec.SECP256R1()).public_key(),
            "its key isn't one of RSA, and IKEv1 signs with RSA",
        ),
    ],
    ids=["small", "a curve"],
)
def test_keys_that_are_of_no_use_are_refused(
    make: Callable[[], rsa.RSAPublicKey | ec.EllipticCurvePublicKey], why: str
) -> None:
    """The library takes certificates with RSA keys of 1,024 bits."""
    der = ROOT.issue("", make(), (x509.SubjectAlternativeName([x509.DNSName("gw.example")]), False))
    assert refusal(der) == f"bad-certificate: {why}"


def test_an_authority_with_a_key_that_is_of_no_use_vouches_for_nobody() -> None:
    """Whoever can factor it can make any certificate."""
    small = Authority("small", ROOT, key=rsa.generate_private_key(65_537, 1_024))
    chain = (small.end("i", "gw.example"), small.der)
    for trust in (TRUST, RawChain((small.certificate,), lambda: NOW)):
        assert refusal(*chain, trust=trust).endswith("RSA key is too weak")


def test_names_that_an_authority_must_not_certify_are_refused() -> None:
    permitted = x509.NameConstraints([x509.DNSName("inside.example")], None)
    narrow = Authority("narrow", ROOT, (*Authority.extensions, (permitted, True)))
    TRUST.judge((narrow.end("i", "gw.inside.example"), narrow.der), Identity.parse("gw.inside.example"))
    assert refusal(narrow.end("i", "gw.example"), narrow.der).startswith("untrusted-certificate: no trusted authority")


@pytest.mark.parametrize("critical", [True, False])
@pytest.mark.parametrize("excluded", [True, False])
def test_an_authority_for_some_subjects_alone_vouches_for_nobody(critical: bool, excluded: bool) -> None:
    """Nobody here judges whether a subject is one of them."""
    names = [x509.DirectoryName(name("somebody else"))]
    held = x509.NameConstraints(None, names) if excluded else x509.NameConstraints(names, None)
    narrow = Authority("narrow", ROOT, (*Authority.extensions, (held, critical)))
    why = refusal(narrow.end("i", common="gw"), narrow.der, claimed=Identity.parse("CN=gw"))
    assert why.startswith("untrusted-certificate: ")


def test_an_authority_whose_signatures_take_long_to_verify_vouches_for_nobody() -> None:
    """Else a stranger's chain may take a second."""
    for exponent, good in ((2**32 - 1, True), (2**32 + 15, False)):
        slow = Authority("slow", ROOT, key=with_exponent(exponent))
        chain = slow.end("i", "gw.example"), slow.der
        if good:
            TRUST.judge(chain, GW)
        else:
            assert refusal(*chain).startswith("untrusted-certificate: no trusted authority")


def with_exponent(exponent: int) -> rsa.RSAPrivateKey:
    """One of the two keys with another public exponent."""
    numbers = rsa_key("r").private_numbers()
    p, q = numbers.p, numbers.q
    d = pow(exponent, -1, lcm(p - 1, q - 1))
    public = rsa.RSAPublicNumbers(exponent, p * q)
    return rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), public).private_key()


def test_a_peer_is_told_whose_certificates_are_believed() -> None:
    both = RawChain((ROOT.certificate, MIDDLE.certificate), lambda: NOW)
    assert [str(Identity(Identity.parse("CN=x").type, name)) for name in both.authorities] == ["CN=root", "CN=middle"]


def test_no_octet_of_a_certificate_can_be_changed() -> None:
    """But for the one that counts the bits of its signature that aren't used, where the last bit is zero."""
    good = ROOT.end("i", "gw.example")
    unused_bits = len(good) - len(x509.load_der_x509_certificate(good).signature) - 1
    for at in set(range(len(good))) - {unused_bits}:
        with pytest.raises(PeerError):
            TRUST.judge((good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :],), GW)


def test_octets_that_are_a_certificate_are_read_once_asked_for() -> None:
    assert [str(each) for each in Certificate(ROOT.end("i", "gw.example")).identities] == ["gw.example"]
