"""Vendor IDs (RFC 2408 section 3.16): what a peer can do beyond the RFCs, and which product it is.

Most are the MD5 of a text, some with a version behind it. Sources: [MS-IKEE] section 1.7, note 6; RFC 3706, RFC 3947;
draft-beaulieu-ike-xauth-02; draft-ietf-ipsec-isakmp-gss-auth-07 (which prints the MD5 of its name with a line feed
behind it); those of other products as ike-scan, strongSwan and Wireshark have observed them.
"""

from __future__ import annotations

from collections.abc import Iterable

XAUTH = bytes.fromhex("09002689dfd6b712")
DPD = bytes.fromhex("afcad71368a1f1c96b8696fc77570100")
FRAGMENTATION = bytes.fromhex("4048b7d56ebce88525e7de7f00d6c2d3")
NAT_T = bytes.fromhex("4a131c81070358455c5728f20e95452f")  # RFC 3947
NAT_T_03 = bytes.fromhex("7d9419a65310ca6f2c179d9215529d56")
NAT_T_02 = bytes.fromhex("cd60464335df21f87cfdb2fc68b6a448")
NAT_T_02_LINE_FEED = bytes.fromhex("90cb80913ebb696e086381b5ec427b1f")  # what Windows sends: with "\n" behind its name
WINDOWS = bytes.fromhex("1e2b516905991c7d7c96fcbfb587e461")  # four octets of version behind it
GSSAPI = bytes.fromhex("621b04bb09882ac1e15935fefa24aeee")
GSS_AUTH = bytes.fromhex("ad2c0dd0b9c32083ccba25b8861ec455")
GSS_AUTH_LINE_FEED = bytes.fromhex("b46d8914f3aaa3f2fedeb7c7db2943ca")
INITIAL_CONTACT = bytes.fromhex("26244d38eddb61b3172a36e3d0cfb819")
NEGOTIATION_DISCOVERY = bytes.fromhex("fb1de3cdf341b7ea16b7e5be0855f120")

_WINDOWS_VERSIONS = {
    2: "Windows 2000",
    3: "Windows XP",
    4: "Windows Server 2003",
    5: "Windows Vista",
    6: "Windows Server 2008",
    7: "Windows 7",
    8: "Windows Server 2008 R2",
    9: "Windows 8, Windows Server 2012 or later",
}
# Each is how a vendor ID begins: behind it there may be a version.
_PRODUCTS: dict[bytes, str] = {
    WINDOWS: "Windows",
    **{WINDOWS + version.to_bytes(4, "big"): name for version, name in _WINDOWS_VERSIONS.items()},
    bytes.fromhex("8aa394cf8a5577dc3110c113b027a4f2"): "Xbox One",
    bytes.fromhex("882fe56d6fd20dbc2251613b2ebe5beb"): "strongSwan",
    b"OE-Libreswan": "Libreswan",
    bytes.fromhex("7003cbc1097dbe9c2600ba6983bc8b35"): "racoon",
    bytes.fromhex("1f07f70eaa6514d3b0fa96542a"): "Cisco VPN 3000",
    b"CISCO": "Cisco",
    bytes.fromhex("f4ed19e0c114eb516faaac0ee37daf2807b4381f"): "Check Point",
    bytes.fromhex("8299031757a36082c6a621de"): "FortiGate",
    bytes.fromhex("4c53427b6d465d1b337bb755a37a7fef"): "FortiClient",
    bytes.fromhex("b4f01ca951e9da8d0bafbbd34ad3044e"): "FortiClient",
    bytes.fromhex("166f932d55eb64d8e4df4fd37e2313f0d0fd8451"): "NetScreen",
    bytes.fromhex("9b096d9ac3275a7d6fe8b91c583111b09efed1a0"): "NetScreen",
    bytes.fromhex("404bf439522ca3f6"): "SonicWall",
    bytes.fromhex("47bbe7c993f1fc13b4e6d0db565c68e5"): "SafeNet SoftRemote",
    bytes.fromhex("f14b94b7bff1fef02773b8c49feded26"): "Shrew Soft",
    bytes.fromhex("b858d1addd08c1e8adafea150608aa4497aa6cc8"): "ZyXEL ZyWALL",
    bytes.fromhex("f758f22668750f03b08df6ebe1d0"): "ZyXEL ZyWALL",
    bytes.fromhex("625027749d5ab97f5616c1602765cf480a3b7d0b"): "ZyXEL ZyWALL",
    bytes.fromhex("9aa1f3b43472a45d5f506aeb260cf214"): "SSH IPSEC Express 4.1.0",
    bytes.fromhex("63d9a1a7009491b5a0a6fdeb2a8284f0"): "SSH Sentinel 1.4",
    b"BNES": "Nortel Contivity",
    b"TIMESTEP": "TimeStep",
}
_EXTENSIONS: dict[bytes, str] = {
    XAUTH: "XAUTH",
    DPD[:14]: "DPD",
    bytes.fromhex("12f5f28c457168a9702d9fe274cc"): "Cisco Unity",
    FRAGMENTATION: "FRAGMENTATION",
    NAT_T: "RFC 3947",
    bytes.fromhex("4df37928e9fc4fd1b3262170d515c662"): "draft-ietf-ipsec-nat-t-ike",
    bytes.fromhex("8f8d83826d246b6fc7a8a6a428c11de8"): "draft-ietf-ipsec-nat-t-ike-08",
    bytes.fromhex("439b59f8ba676c4c7737ae22eab8f582"): "draft-ietf-ipsec-nat-t-ike-07",
    bytes.fromhex("4d1e0e136deafa34c4f3ea9f02ec7285"): "draft-ietf-ipsec-nat-t-ike-06",
    bytes.fromhex("80d0bb3def54565ee84645d4c85ce3ee"): "draft-ietf-ipsec-nat-t-ike-05",
    bytes.fromhex("9909b64eed937c6573de52ace952fa6b"): "draft-ietf-ipsec-nat-t-ike-04",
    NAT_T_03: "draft-ietf-ipsec-nat-t-ike-03",
    NAT_T_02: "draft-ietf-ipsec-nat-t-ike-02",
    NAT_T_02_LINE_FEED: "draft-ietf-ipsec-nat-t-ike-02 with a line feed",
    bytes.fromhex("16f6ca16e4a4066d83821a0f0aeaa862"): "draft-ietf-ipsec-nat-t-ike-01",
    bytes.fromhex("4485152d18b6bbcd0be8a8469579ddcc"): "draft-ietf-ipsec-nat-t-ike-00",
    bytes.fromhex("6105c422e76847e43f9684801292aecd"): "draft-stenberg-ipsec-nat-traversal-02",
    bytes.fromhex("27bab5dc01ea0760ea4e3190ac27c0d0"): "draft-stenberg-ipsec-nat-traversal-01",
    bytes.fromhex("6a7434c19d7e36348090a02334c9c805"): "draft-huttunen-ipsec-esp-in-udp-00.txt",
    bytes.fromhex("50760f624c63e5c53eea386c685ca083"): "ESPThruNAT",
    b"HeartBeat_Notify": "HeartBeat_Notify",
    GSSAPI: "GSSAPI",
    GSS_AUTH: "A GSS-API Authentication Method for IKE",
    GSS_AUTH_LINE_FEED: "A GSS-API Authentication Method for IKE with a line feed",
    INITIAL_CONTACT: "Vid-Initial-Contact",
    bytes.fromhex("72872b95fcda2eb708efe322119b4971"): "NLBS_PRESENT",
    bytes.fromhex("214ca4faffa7f32d6748e5303395ae83"): "MS-MamieExists",
    bytes.fromhex("e3a5966a76379fe707228231e5ce8652"): "IKE CGA version 1",
    NEGOTIATION_DISCOVERY: "MS-Negotiation Discovery Capable",
    bytes.fromhex("01528bbbc00696121849ab9a1c5b2a51"): "KEY_MODS",
    bytes.fromhex("7bb93867d76c8d80df0f40fae8fc3b19"): "AUTHIP_INIT_KE_DH_GROUP",
    bytes.fromhex("660822b3a73a244149578d62e0eb46a0"): "Xbox IKEv2 Negotiation",
    bytes.fromhex("686a8cbdfe634b405146fb2baf33e9e8"): "MSFT IPsec Security Realm Id",
}
_FREESWAN_OCTETS = 12  # "OE" and ten letters that stand for a version of it


def product(vendor_ids: Iterable[bytes]) -> str:
    """The product that the first of these vendor IDs to name one names, with its version if it tells that; empty if
    none does."""
    return next((name for vendor_id in vendor_ids if (name := _product(vendor_id))), "")


def meaning(vendor_id: bytes) -> str:
    """The name of what it announces, or of the product; its octets in hexadecimal for one that we don't know."""
    return _product(vendor_id) or _longest(vendor_id, _EXTENSIONS) or f"0x{vendor_id.hex()}"


def _product(vendor_id: bytes) -> str:
    found = _longest(vendor_id, _PRODUCTS)
    freeswan = len(vendor_id) == _FREESWAN_OCTETS and vendor_id.startswith(b"OE") and vendor_id.isascii()
    return found or ("FreeS/WAN, Openswan or Libreswan" if freeswan else "")


def _longest(vendor_id: bytes, table: dict[bytes, str]) -> str:
    return max(((len(start), name) for start, name in table.items() if vendor_id.startswith(start)), default=(0, ""))[1]
