"""Distinguished names as octets and as text (X.690, RFC 4514, RFC 5280 section 7.1)."""

import pytest

from ipsecd import limits
from ipsecd.errors import WireError
from ipsecd.wire.dn import decode, encode, looks_like_name, parse, same, text

# C=CH (PrintableString), O=strongSwan Project, CN=moon (UTF8String), written out element by element.
OCTETS = bytes.fromhex(
    "303a"
    "310b 3009 0603550406 1302 4348"
    "311b 3019 060355040a 0c12 7374726f6e675377616e2050726f6a656374"
    "310e 300c 0603550403 0c05 6d6f6f6e21"
)
NAME = ((("C", "CH"),), (("O", "strongSwan Project"),), (("CN", "moon!"),))


def part(oid: str, tag: str, value: bytes) -> bytes:
    """A name of one part, from the octets of its type and the tag of its string."""
    kind = bytes.fromhex(oid)
    inner = bytes([6, len(kind)]) + kind + bytes.fromhex(tag) + bytes([len(value)]) + value
    return bytes([0x30, len(inner) + 4, 0x31, len(inner) + 2, 0x30, len(inner)]) + inner


def reason(octets: str) -> str:
    with pytest.raises(WireError) as caught:
        decode(bytes.fromhex(octets))
    return caught.value.reason


def test_a_name_and_its_octets_are_the_same_thing() -> None:
    assert decode(OCTETS) == NAME
    assert encode(NAME) == OCTETS
    assert text(NAME) == "C=CH, O=strongSwan Project, CN=moon!"
    assert parse("C=CH, O=strongSwan Project, CN=moon!") == NAME


def test_the_text_stands_in_the_order_of_the_octets() -> None:
    assert encode(parse("CN=moon!, O=strongSwan Project, C=CH")) != OCTETS


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("CN=a", ((("CN", "a"),),)),
        (" cn = a b ,o=c", ((("CN", "a b"),), (("O", "c"),))),
        ("CN=a;O=b", ((("CN", "a"),), (("O", "b"),))),
        ("CN=a+OU=b, O=c", ((("CN", "a"), ("OU", "b")), (("O", "c"),))),
        ("emailAddress=a@b, E=c@d, S=Bern", ((("E", "a@b"),), (("E", "c@d"),), (("ST", "Bern"),))),
        ("2.5.4.3=a, 1.2.3=b", ((("CN", "a"),), (("1.2.3", "b"),))),
        (r"CN=a\, b\+c\\\;", ((("CN", "a, b+c\\;"),),)),
        (r"CN=\20a\20", ((("CN", " a "),),)),
        (r"CN=Z\c3\bcrich", ((("CN", "Zürich"),),)),
        ("CN=a=b", ((("CN", "a=b"),),)),
        ("CN=", ((("CN", ""),),)),
    ],
)
def test_people_write_names_in_many_ways(written: str, name: object) -> None:
    assert parse(written) == name


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ("", "isn't an attribute"),
        ("gateway", "'gateway' isn't an attribute"),
        ("CN=a, gateway", "'gateway' isn't an attribute"),
        ("XY=a", "'XY=a' isn't an attribute"),
        ("CN=a,", "'' isn't an attribute"),
        ("=a", "isn't an attribute"),
        ("CN=a\\", "lone backslash"),
        (r"CN=\ff", "isn't UTF-8"),
        (", ".join(["CN=a"] * (limits.MAX_NAME_PARTS + 1)), "at most 32 parts"),
    ],
)
def test_what_is_no_name_is_explained(written: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(written)


@pytest.mark.parametrize("oid", ["3.1", "1.40", f"1.2.{1 << 64}"])
def test_a_number_that_is_no_object_identifier_is_explained(oid: str) -> None:
    with pytest.raises(ValueError, match=r"isn't an object identifier"):
        encode(parse(f"{oid}=a"))


@pytest.mark.parametrize(
    ("oid", "octets"),
    [
        ("0.0", "00"),
        ("1.39", "4f"),
        ("2.40", "78"),
        ("2.999", "8837"),
        ("1.3.6.1.4.1.311", "2b060104018237"),
        (f"1.2.{(1 << 64) - 1}", "2a81ffffffffffffffff7f"),
    ],
)
def test_object_identifiers_have_one_form(oid: str, octets: str) -> None:
    """X.690 section 8.19, its own example 2.999 among them."""
    der = part(octets, "0c", b"a")
    assert decode(der) == (((oid, "a"),),)
    assert encode(((((oid, "a"),)),)) == der


@pytest.mark.parametrize("octets", ["", "80", "8001", "2a80", "2a8003", "2a81ffffffffffffffffff7f"])
def test_object_identifiers_in_another_form_are_refused(octets: str) -> None:
    with pytest.raises(WireError, match=r"^bad-name: object identifier"):
        decode(part(octets, "0c", b"a"))


@pytest.mark.parametrize(
    ("tag", "value", "expected"),
    [
        ("0c", "Zürich".encode(), "Zürich"),
        ("13", b"Zurich", "Zurich"),
        ("14", b"Z\xfcrich", "Zürich"),
        ("16", b"Zurich", "Zurich"),
        ("1c", "Zürich".encode("utf-32-be"), "Zürich"),
        ("1e", "Zürich".encode("utf-16-be"), "Zürich"),
    ],
)
def test_every_string_type_of_x520_is_read(tag: str, value: bytes, expected: str) -> None:
    assert decode(part("550403", tag, value)) == ((("CN", expected),),)


@pytest.mark.parametrize(
    ("tag", "value"), [("0c", b"\xff"), ("13", b"\xfc"), ("1e", b"a"), ("1e", b"\xd8\x00"), ("04", b"a")]
)
def test_strings_that_do_not_decode_are_refused(tag: str, value: bytes) -> None:
    with pytest.raises(WireError, match=r"^bad-name: string type"):
        decode(part("550403", tag, value))


def test_a_string_takes_the_type_rfc_5280_asks_for_if_it_fits() -> None:
    assert encode(parse("C=CH"))[11:13] == bytes.fromhex("1302")
    assert encode(parse("C=*"))[11:13] == bytes.fromhex("0c01")
    assert encode(parse("DC=example"))[18:20] == bytes.fromhex("1607")
    assert encode(parse("E=jürg@example"))[17:19] == bytes.fromhex("0c0d")


@pytest.mark.parametrize(
    ("octets", "expected"),
    [
        ("", "truncated"),
        ("31 00", "bad-name"),
        ("30 01", "truncated"),
        ("3000 00", "trailing-octets"),
        ("30 80 0000", "bad-name"),  # indefinite length
        ("30 83 000000", "bad-name"),
        ("30 81 00", "bad-name"),  # a length longer than it need be
        ("30 82 0001 00", "bad-name"),
        ("30 81", "truncated"),
        ("3002 3000", "bad-name"),
        ("3002 3100", "truncated"),  # one or more
        ("3004 3102 3000", "truncated"),
        ("3006 3104 3002 0600", "bad-name"),
        ("3009 3107 3005 0603550403", "truncated"),
        ("300b 3109 3007 0603550403 0c01", "truncated"),
        ("300c 310a 3008 0603550403 0c00 00", "trailing-octets"),
        ("300c 310a 3008 0403550403 0c0161", "bad-name"),
    ],
)
def test_octets_that_are_no_name_are_refused(octets: str, expected: str) -> None:
    assert reason(octets) == expected


def test_a_long_string_has_a_long_length() -> None:
    for octets in (127, 128, 255, 256, 1_000):
        name = ((("CN", "a" * octets),),)
        assert decode(encode(name)) == name


def test_there_are_so_many_parts_and_no_more() -> None:
    most = ((("CN", "a"),),) * limits.MAX_NAME_PARTS
    assert decode(encode(most)) == most
    with pytest.raises(WireError, match=r"^bad-name: too many parts"):
        decode(encode((*most, most[0])))


def test_a_set_of_several_parts_is_written_in_the_order_of_der() -> None:
    """X.690 section 11.6, whatever order the text had."""
    assert encode(parse("OU=b+CN=a")) == encode(parse("CN=a+OU=b"))


@pytest.mark.parametrize(
    ("one", "two", "equal"),
    [
        ("CN=Moon, O=Example", "cn=moon,o=EXAMPLE", True),
        ("CN=a  b", "CN=a b", True),
        ("CN=a+OU=b", "OU=b+CN=a", True),
        ("CN=a, O=b", "O=b, CN=a", False),
        ("CN=a", "OU=a", False),
        ("CN=a", "CN=a, O=b", False),
        ("CN=a b", "CN=ab", False),
    ],
)
def test_names_are_compared_by_meaning(one: str, two: str, equal: bool) -> None:
    assert same(parse(one), parse(two)) is equal


@pytest.mark.parametrize("written", ["CN=a", " cn = a", "2.5.4.3=a", "XY=a"])
def test_a_text_with_an_attribute_in_front_looks_like_a_name(written: str) -> None:
    assert looks_like_name(written)


@pytest.mark.parametrize("written", ["gw.example", "=a", "a b=c", "10.0.0.1", "a@b=c", ""])
def test_other_texts_do_not(written: str) -> None:
    assert not looks_like_name(written)
