"""Key exchange against RFC 3526, RFC 5903, RFC 6932, RFC 7748 and RFC 8031; and every public value that isn't one."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ipsecd.crypto import algorithms, exchange, modp
from ipsecd.crypto.exchange import KeyPair, check_public, generate, load
from ipsecd.crypto.secret import Secret
from ipsecd.errors import LocalError, PeerError
from ipsecd.wire.registry import Group, NotifyType
from tests.unit.crypto.vectors import cases, octets, vectors

SMALL = [Group.MODP_768, Group.MODP_1024, Group.MODP_1536]
MODP = [*SMALL, Group.MODP_2048, Group.MODP_3072, Group.MODP_4096, Group.MODP_6144, Group.MODP_8192]
ECP = [
    *(Group.ECP_256, Group.ECP_384, Group.ECP_521),
    *(Group.BRAINPOOL_256, Group.BRAINPOOL_384, Group.BRAINPOOL_512),
]
MONTGOMERY = [Group.CURVE25519, Group.CURVE448]
OFFERED = [*MODP, *ECP, *MONTGOMERY]
CURVES = {"x25519": Group.CURVE25519, "x448": Group.CURVE448}
SHARED = dict(zip(ECP, (32, 48, 66, 32, 48, 64), strict=True))  # x alone; elsewhere as long as the public value


@pytest.fixture(params=["library", "pow"])
def arithmetic(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each MODP test runs with the library's Diffie-Hellman, and as if the library had none."""
    if request.param == "pow":
        monkeypatch.setattr(exchange, "_DH", None)
    return str(request.param)


@pytest.mark.parametrize("case", [*cases("rfc2409-modp"), *cases("rfc3526-modp")], ids=lambda case: str(case["bits"]))
def test_the_primes_are_those_the_rfcs_print(case: dict[str, Any]) -> None:
    prime = modp.prime(Group(case["group"]))
    assert prime == int(case["prime"], 16)
    assert prime.bit_length() == case["bits"]
    assert case["generator"] == modp.GENERATOR


@pytest.mark.parametrize("case", cases("rfc5903-ecp"), ids=lambda case: str(case["group"]))
def test_ecp_groups_give_the_values_of_rfc_5903(case: dict[str, Any]) -> None:
    group = Group(case["group"])
    initiator, responder = load(group, octets(case["i"])), load(group, octets(case["r"]))
    assert initiator.public == octets(case["public_i"])
    assert responder.public == octets(case["public_r"])
    # behind the payload header and the group number (RFC 7296 section 3.4)
    assert (octets(case["ke_i"])[8:], octets(case["ke_r"])[8:]) == (initiator.public, responder.public)
    assert initiator.shared(responder.public) == Secret(octets(case["shared"]))
    assert responder.shared(initiator.public) == Secret(octets(case["shared"]))


@pytest.mark.parametrize("case", cases("rfc6932-brainpool"), ids=lambda case: str(case["group"]))
def test_brainpool_groups_give_the_values_of_rfc_6932(case: dict[str, Any]) -> None:
    group = Group(case["group"])
    initiator, responder = load(group, octets(case["i"])), load(group, octets(case["r"]))
    assert (initiator.public, responder.public) == (octets(case["public_i"]), octets(case["public_r"]))
    assert initiator.shared(responder.public) == Secret(octets(case["shared"]))
    assert responder.shared(initiator.public) == Secret(octets(case["shared"]))


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("index", [0, 1])
def test_the_functions_give_the_values_of_rfc_7748_section_5_2(curve: str, index: int) -> None:
    case = vectors("rfc7748-x25519-x448")[curve]["functions"][index]
    pair = load(CURVES[curve], octets(case["scalar"]))
    assert pair.shared(octets(case["u"])) == Secret(octets(case["output"]))


@pytest.mark.parametrize(("curve", "base"), [("x25519", 9), ("x448", 5)])
def test_the_functions_iterate_to_the_values_of_rfc_7748(curve: str, base: int) -> None:
    expected = vectors("rfc7748-x25519-x448")[curve]["iterated"]
    size = 32 if curve == "x25519" else 56
    scalar = point = base.to_bytes(size, "little")
    for count in range(1, 1001):
        scalar, point = load(CURVES[curve], scalar).shared(point).reveal(), scalar
        if str(count) in expected:
            assert scalar == octets(expected[str(count)])


@pytest.mark.parametrize("curve", CURVES)
def test_the_exchanges_of_rfc_7748_section_6_agree(curve: str) -> None:
    case = vectors("rfc7748-x25519-x448")[curve]["exchange"]
    alice, bob = load(CURVES[curve], octets(case["a"])), load(CURVES[curve], octets(case["b"]))
    assert (alice.public, bob.public) == (octets(case["public_a"]), octets(case["public_b"]))
    assert alice.shared(bob.public) == bob.shared(alice.public) == Secret(octets(case["shared"]))


def test_the_numerical_example_of_rfc_8031_agrees() -> None:
    case = vectors("rfc8031-x25519")
    initiator = load(Group.CURVE25519, octets(case["random_i"]))
    responder = load(Group.CURVE25519, octets(case["random_r"]))
    assert (initiator.public, responder.public) == (octets(case["public_i"]), octets(case["public_r"]))
    assert initiator.shared(responder.public) == responder.shared(initiator.public) == Secret(octets(case["shared"]))


@pytest.mark.parametrize("group", OFFERED)
def test_two_fresh_pairs_share_a_secret_as_long_as_the_group_says(group: Group) -> None:
    one, two = generate(group), generate(group)
    info = algorithms.group(group)
    assert info is not None
    assert one.group == group
    assert one.public != two.public
    assert len(one.public) == info.public_octets
    secret = one.shared(two.public)
    assert secret == two.shared(one.public)
    assert len(secret) == SHARED.get(group, info.public_octets)


@pytest.mark.parametrize("group", MODP)
def test_our_own_arithmetic_agrees_with_the_library(group: Group) -> None:
    private = b"\x5a" * modp.exponent_octets(group)
    library = load(group, private)
    ours = exchange.PowKeyPair(group, int.from_bytes(private, "big"))
    peer = generate(group)
    assert ours.public == library.public
    assert ours.shared(peer.public) == library.shared(peer.public) == peer.shared(ours.public)


def test_a_fresh_exponent_of_our_own_has_twice_the_bits_of_the_strength(monkeypatch: pytest.MonkeyPatch) -> None:
    """RFC 3526 section 8, the larger estimate: 240 bits for group 5, 320 for group 14, 620 for group 18."""
    monkeypatch.setattr(exchange, "_DH", None)
    asked: list[int] = []

    def token(count: int) -> bytes:
        asked.append(count)
        return b"\xff" * count

    monkeypatch.setattr("ipsecd.crypto.exchange.secrets.token_bytes", token)
    for group in MODP:
        generate(group)
    assert [count * 8 for count in asked] == [240, 240, 240, 320, 424, 480, 544, 624]


def test_the_blind_never_shows_in_the_result() -> None:
    peer = modp.public(0xABCDEF, Group.MODP_2048)
    own = modp.public(0x123456, Group.MODP_2048)
    plain = pow(peer, 0x123456, modp.prime(Group.MODP_2048))
    for blind in (0, 1, 2, 2**64 - 1):
        assert modp.shared(peer, 0x123456, own, blind, Group.MODP_2048) == plain


def test_a_shared_secret_keeps_its_leading_zeros(arithmetic: str) -> None:
    """RFC 7296 section 2.14: as long as the modulus."""
    x, y = 3, 679  # 2^(xy) = 2^2037 is below p, and one octet shorter
    one, two = load(Group.MODP_2048, bytes([x])), load(Group.MODP_2048, y.to_bytes(2, "big"))
    expected = bytes([0, 0x20]) + bytes(254)
    assert one.shared(two.public) == two.shared(one.public) == Secret(expected)
    assert one.public == (8).to_bytes(256, "big")


def refused(pair: KeyPair, value: bytes) -> PeerError:
    """A public value is no good, which can be told before there is a key pair too."""
    with pytest.raises(PeerError) as early:
        check_public(pair.group, value)
    with pytest.raises(PeerError) as caught:
        pair.shared(value)
    assert str(early.value) == str(caught.value)
    assert early.value.reason == caught.value.reason == "bad-public-value"
    return caught.value


@pytest.mark.parametrize("group", OFFERED)
def test_a_good_public_value_can_be_told_without_a_key_pair(group: Group) -> None:
    check_public(group, generate(group).public)


def small_and_large(group: Group) -> Iterator[int]:
    prime = modp.prime(group)
    yield from (0, 1, prime - 1, prime, prime + 5, 2 ** prime.bit_length() - 1)


@pytest.mark.parametrize("group", MODP)
def test_modp_values_outside_the_group_are_refused(group: Group, arithmetic: str) -> None:
    pair = load(group, b"\x05" * 20)
    for value in small_and_large(group):
        error = refused(pair, value.to_bytes(len(pair.public), "big"))
        assert error.notify == NotifyType.INVALID_SYNTAX
        assert error.__cause__ is None


def test_modp_values_just_inside_the_group_are_taken(arithmetic: str) -> None:
    pair = load(Group.MODP_2048, b"\x02")
    prime = modp.prime(Group.MODP_2048)
    assert pair.shared((2).to_bytes(256, "big")) == Secret((4).to_bytes(256, "big"))
    assert pair.shared((prime - 2).to_bytes(256, "big")) == Secret((4).to_bytes(256, "big"))


@pytest.mark.parametrize("group", OFFERED)
def test_public_values_of_every_wrong_length_are_refused(group: Group) -> None:
    pair = generate(group)
    good = generate(group).public
    wrong = [good[:size] for size in range(len(good))] + [good + bytes(extra) for extra in (1, 2, len(good), 4096)]
    wrong += [b"\x00" + good, b"\x04" + good]
    for value in wrong:
        refused(pair, value)


FIELD = {
    Group.ECP_256: 2**256 - 2**224 + 2**192 + 2**96 - 1,
    Group.ECP_384: 2**384 - 2**128 - 2**96 + 2**32 - 1,
    Group.ECP_521: 2**521 - 1,
    # RFC 5639 sections 3.4, 3.6 and 3.7
    Group.BRAINPOOL_256: int("A9FB57DBA1EEA9BC3E660A909D838D726E3BF623D52620282013481D1F6E5377", 16),
    Group.BRAINPOOL_384: int(
        "8CB91E82A3386D280F5D6F7E50E641DF152F7109ED5456B412B1DA197FB71123ACD3A729901D1A71874700133107EC53", 16
    ),
    Group.BRAINPOOL_512: int(
        "AADD9DB8DBE9C48B3FD4E6AE33C9FC07CB308DB3B3C9D20ED6639CCA70330871"
        "7D4D9B009BC66842AECDA12AE6A380E62881FF2F2D82C68528AA6056583A48F3",
        16,
    ),
}


@pytest.mark.parametrize("group", ECP)
def test_points_off_the_curve_are_refused(group: Group) -> None:
    pair, peer = generate(group), generate(group)
    half = len(peer.public) // 2
    x, y = peer.public[:half], peer.public[half:]
    field = FIELD[group].to_bytes(half, "big")
    other = generate(group).public[half:]
    for value in (
        bytes(2 * half),
        b"\xff" * 2 * half,
        x + x,
        x + other,
        x + bytes(half),
        bytes(half) + y,
        field + y,
        x + field,
        field + field,
        x + (int.from_bytes(y, "big") ^ 1).to_bytes(half, "big"),
    ):
        refused(pair, value)


@pytest.mark.parametrize("group", ECP)
def test_coordinates_beyond_the_field_are_refused_even_if_they_reduce_to_a_point(group: Group) -> None:
    """RFC 6989 section 2.3: x and y lie between 0 and p-1."""
    pair, peer = generate(group), generate(group)
    half = len(peer.public) // 2
    x = int.from_bytes(peer.public[:half], "big") + FIELD[group]
    if x < 1 << (8 * half):
        with pytest.raises(PeerError):
            pair.shared(x.to_bytes(half, "big") + peer.public[half:])
    negative = FIELD[group] - int.from_bytes(peer.public[half:], "big")
    mirrored = peer.public[:half] + negative.to_bytes(half, "big")
    assert pair.shared(mirrored) == pair.shared(peer.public)  # -P is a point, and has the same x


# RFC 7748 section 7: the points of small order, in all their encodings
SMALL_25519 = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    2**255 - 20,
    2**255 - 19,
    2**255 - 18,
]
SMALL_448 = [0, 1, 2**448 - 2**224 - 2, 2**448 - 2**224 - 1, 2**448 - 2**224]


@pytest.mark.parametrize(
    ("group", "value"),
    [
        *[(Group.CURVE25519, value.to_bytes(32, "little")) for value in SMALL_25519],
        *[(Group.CURVE25519, (value | 1 << 255).to_bytes(32, "little")) for value in SMALL_25519],
        *[(Group.CURVE448, value.to_bytes(56, "little")) for value in SMALL_448],
    ],
)
def test_points_of_small_order_are_refused(group: Group, value: bytes) -> None:
    with pytest.raises(PeerError) as caught:
        generate(group).shared(value)
    assert caught.value.reason == "bad-public-value"
    assert caught.value.notify == NotifyType.INVALID_SYNTAX


def test_x25519_takes_values_that_are_not_canonical_and_ignores_the_top_bit() -> None:
    """RFC 8031 section 3.2."""
    pair = generate(Group.CURVE25519)
    nine = (9).to_bytes(32, "little")
    high = (9 | 1 << 255).to_bytes(32, "little")
    unreduced = (2**255 - 19 + 9).to_bytes(32, "little")
    assert pair.shared(nine) == pair.shared(high) == pair.shared(unreduced) == Secret(pair.public)


DECLINED = [Group(number) for number in range(64) if Group(number) not in OFFERED] + [Group(1025), Group(65535)]


@pytest.mark.parametrize("group", DECLINED)
def test_groups_that_are_not_offered_are_our_own_mistake(group: Group) -> None:
    with pytest.raises(LocalError):
        generate(group)
    with pytest.raises(LocalError):
        load(group, b"\x01" * 32)


@pytest.mark.parametrize(
    ("group", "private"),
    [
        (Group.ECP_256, bytes(32)),
        (Group.ECP_256, b"\xff" * 32),
        (Group.CURVE25519, bytes(31)),
        (Group.CURVE448, bytes(57)),
    ],
)
def test_a_private_value_that_is_none_is_our_own_mistake_and_is_not_shown(group: Group, private: bytes) -> None:
    with pytest.raises(LocalError) as caught:
        load(group, private)
    assert str(caught.value) == f"not a private value of {group}"


@pytest.mark.parametrize("group", OFFERED)
def test_a_key_pair_does_not_show_its_private_half(group: Group) -> None:
    private = bytes(range(1, 33)) if group == Group.CURVE25519 else bytes(range(1, 57))
    pair = load(group, private if group in MONTGOMERY else private[:32])
    assert "0102030405" not in repr(pair)
    assert str(int.from_bytes(private[:32], "big")) not in repr(pair)


def test_importing_and_using_modp_groups_warns_nobody() -> None:
    program = (
        "from ipsecd.crypto.exchange import generate\n"
        "from ipsecd.wire.registry import Group\n"
        "generate(Group.MODP_2048).shared(generate(Group.MODP_2048).public)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=Path(exchange.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_diffie_hellman_is_looked_for_where_the_library_may_move_it(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []
    moved = ModuleType("dh")
    moved.__dict__.update(DHParameterNumbers=object, DHPublicNumbers=object, DHPrivateNumbers=object)

    def only_in_decrepit(name: str) -> ModuleType:
        tried.append(name)
        if "decrepit" not in name:
            raise ImportError(name)
        return moved

    monkeypatch.setattr(exchange, "import_module", only_in_decrepit)
    assert exchange._find_dh() is not None
    assert tried == [
        "cryptography.hazmat.primitives.asymmetric.dh",
        "cryptography.hazmat.decrepit.asymmetric.dh",
    ]


def test_a_library_without_diffie_hellman_leaves_us_our_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(name: str) -> ModuleType:
        raise ImportError(name)

    monkeypatch.setattr(exchange, "import_module", gone)
    assert exchange._find_dh() is None
    monkeypatch.setattr(exchange, "_DH", None)
    assert isinstance(generate(Group.MODP_2048), exchange.PowKeyPair)
    assert isinstance(load(Group.MODP_2048, b"\x05"), exchange.PowKeyPair)
