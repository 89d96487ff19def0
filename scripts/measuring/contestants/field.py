"""Everybody who can be measured, by name."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.measuring.contestants.contestant import Contestant
from scripts.measuring.contestants.ipsecd import Ipsecd
from scripts.measuring.contestants.openvpn import Openvpn
from scripts.measuring.contestants.plain import Plain
from scripts.measuring.contestants.strongswan import Strongswan
from scripts.measuring.contestants.wireguard import WireguardGo

# Whom ipsecd is compared with: those whose cipher is the same, or is the only one they have. Other forms than
# ESP in UDP by runs are compared with whoever carries ESP in UDP packet by packet.
RIVALS: Mapping[str, tuple[str, ...]] = {
    "ipsecd": ("strongswan", "openvpn", "wireguard-go"),
    "ipsecd-chacha": ("strongswan-chacha", "wireguard-go"),
    "ipsecd-native": ("strongswan",),
    "ipsecd-cbc": ("strongswan",),
    "ipsecd-ah": ("strongswan",),
}


def contestants(wireguard_go: str = "") -> dict[str, Contestant]:
    """``wireguard_go`` is the path of the program; without it, Debian's."""
    return {
        "plain": Plain(),
        "ipsecd": Ipsecd("{esp: {encryption: aes128gcm16}}"),
        "strongswan": Strongswan("aes128gcm16"),
        "openvpn": Openvpn(),
        "wireguard-go": WireguardGo(wireguard_go),
        "ipsecd-chacha": Ipsecd("{esp: {encryption: chacha20poly1305}}"),
        "strongswan-chacha": Strongswan("chacha20poly1305"),
        "ipsecd-native": Ipsecd("{esp: {encryption: aes128gcm16}}", "native"),
        "ipsecd-cbc": Ipsecd("{esp: {encryption: aes128, integrity: sha256}}"),
        "ipsecd-ah": Ipsecd("{ah: {integrity: sha256}}", "native", in_clear=True),
    }
