"""Vendor IDs: the tables of [MS-IKEE], and other products."""

from __future__ import annotations

import hashlib

import pytest

from ipsecd.wire.vendor_ids import meaning, product

# [MS-IKEE] section 1.7, note 6
WINDOWS = {
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 02": "Windows 2000",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 03": "Windows XP",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 04": "Windows Server 2003",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 05": "Windows Vista",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 06": "Windows Server 2008",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 07": "Windows 7",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 08": "Windows Server 2008 R2",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 09": "Windows 8, Windows Server 2012 or later",
    "1E 2B 51 69 05 99 1C 7D 7C 96 FC BF B5 87 E4 61 00 00 00 0A": "Windows",
    "8A A3 94 CF 8A 55 77 DC 31 10 C1 13 B0 27 A4 F2": "Xbox One",
}
EXTENSIONS = {
    "01 52 8b bb c0 06 96 12 18 49 ab 9a 1c 5b 2a 51 00 00 00 02": "KEY_MODS",
    "62 1B 04 BB 09 88 2A C1 E1 59 35 FE FA 24 AE EE": "GSSAPI",
    "26 24 4D 38 ED DB 61 B3 17 2A 36 E3 D0 CF B8 19": "Vid-Initial-Contact",
    "72 87 2B 95 FC DA 2E B7 08 EF E3 22 11 9B 49 71": "NLBS_PRESENT",
    "40 48 B7 D5 6E BC E8 85 25 E7 DE 7F 00 D6 C2 D3": "FRAGMENTATION",
    "90 CB 80 91 3E BB 69 6E 08 63 81 B5 EC 42 7B 1F": "draft-ietf-ipsec-nat-t-ike-02 with a line feed",
    "4A 13 1C 81 07 03 58 45 5C 57 28 F2 0E 95 45 2F": "RFC 3947",
    "21 4C A4 FA FF A7 F3 2D 67 48 E5 30 33 95 AE 83": "MS-MamieExists",
    "E3 A5 96 6A 76 37 9F E7 07 22 82 31 E5 CE 86 52": "IKE CGA version 1",
    "FB 1D E3 CD F3 41 B7 EA 16 B7 E5 BE 08 55 F1 20": "MS-Negotiation Discovery Capable",
    "7B B9 38 67 D7 6C 8D 80 DF 0F 40 FA E8 FC 3B 19 00 00 00 03": "AUTHIP_INIT_KE_DH_GROUP",
    "66 08 22 B3 A7 3A 24 41 49 57 8D 62 E0 EB 46 A0": "Xbox IKEv2 Negotiation",
    "68 6A 8C BD FE 63 4B 40 51 46 FB 2B AF 33 E9 E8": "MSFT IPsec Security Realm Id",
    "12 f5 f2 8c 45 71 68 a9 70 2d 9f e2 74 cc 01 00": "Cisco Unity",
    "09 00 26 89 df d6 b7 12": "XAUTH",
    "af ca d7 13 68 a1 f1 c9 6b 86 96 fc 77 57 01 00": "DPD",
}


@pytest.mark.parametrize(("octets", "name"), WINDOWS.items(), ids=WINDOWS.values())
def test_windows_tells_its_version(octets: str, name: str) -> None:
    assert product([bytes.fromhex(octets)]) == meaning(bytes.fromhex(octets)) == name


def test_windows_xp_and_2003_say_more_behind_it() -> None:
    xp, server = "0000000300000000", "000000040d000014"
    assert [product([bytes.fromhex("1e2b516905991c7d7c96fcbfb587e461" + more)]) for more in (xp, server)] == [
        "Windows XP",
        "Windows Server 2003",
    ]


@pytest.mark.parametrize(("octets", "name"), EXTENSIONS.items(), ids=EXTENSIONS.values())
def test_an_extension_has_its_name_and_names_no_product(octets: str, name: str) -> None:
    assert (meaning(bytes.fromhex(octets)), product([bytes.fromhex(octets)])) == (name, "")


@pytest.mark.parametrize(
    "text",
    [
        "draft-ietf-ipsec-nat-t-ike",
        *(f"draft-ietf-ipsec-nat-t-ike-{number:02}" for number in range(9)),
        "draft-stenberg-ipsec-nat-traversal-01",
        "draft-stenberg-ipsec-nat-traversal-02",
        "draft-huttunen-ipsec-esp-in-udp-00.txt",
        "ESPThruNAT",
        "A GSS-API Authentication Method for IKE",
    ],
)
def test_most_are_the_md5_of_their_names(text: str) -> None:
    assert meaning(hashlib.md5(text.encode(), usedforsecurity=False).digest()) == text


def test_the_vendor_id_that_the_gss_draft_prints_has_a_line_feed_in_it() -> None:
    hashed = hashlib.md5(b"A GSS-API Authentication Method for IKE\n", usedforsecurity=False).digest()
    assert meaning(hashed) == "A GSS-API Authentication Method for IKE with a line feed"


@pytest.mark.parametrize(
    ("octets", "name"),
    [
        (hashlib.md5(b"strongSwan", usedforsecurity=False).digest(), "strongSwan"),
        (hashlib.md5(b"KAME/racoon", usedforsecurity=False).digest(), "racoon"),
        (hashlib.md5(b"FORTIGATE", usedforsecurity=False).digest()[:12] + bytes(4), "FortiGate"),
        (b"OE-Libreswan-4.10", "Libreswan"),
        (b"OEN_iQYQFPn_", "FreeS/WAN, Openswan or Libreswan"),
        (b"CISCO(COPYRIGHT)", "Cisco"),
        (bytes.fromhex("f4ed19e0c114eb516faaac0ee37daf2807b4381f000000010000138d") + bytes(12), "Check Point"),
        (b"BNES\0\0\0\x0b", "Nortel Contivity"),
    ],
)
def test_products_are_known_by_how_their_vendor_ids_begin(octets: bytes, name: str) -> None:
    assert product([bytes.fromhex("09002689dfd6b712"), octets]) == name


def test_what_is_not_known_shows_its_octets() -> None:
    assert meaning(bytes.fromhex("00ff")) == "0x00ff"
    assert product([b"", b"\x00\xff", b"OE", b"OE\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"]) == product([]) == ""
