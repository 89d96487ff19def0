"""Everybody who can be measured, by name."""

from __future__ import annotations

from collections.abc import Mapping

from scripts.measuring.contestants.contestant import Contestant
from scripts.measuring.contestants.ipsecd import Ipsecd
from scripts.measuring.contestants.openvpn import Openvpn
from scripts.measuring.contestants.plain import Plain
from scripts.measuring.contestants.strongswan import Strongswan
from scripts.measuring.contestants.wireguard import WireguardGo

# Whom ipsecd is compared with: those whose cipher is the same, or is the only one they have.
RIVALS: Mapping[str, tuple[str, ...]] = {
    "ipsecd": ("strongswan", "openvpn", "wireguard-go"),
    "ipsecd-chacha": ("strongswan-chacha", "wireguard-go"),
}


def contestants(wireguard_go: str = "") -> dict[str, Contestant]:
    """``wireguard_go`` is the path of the program; without it, Debian's."""
    return {
        "plain": Plain(),
        "ipsecd": Ipsecd("aes128gcm16"),
        "strongswan": Strongswan("aes128gcm16"),
        "openvpn": Openvpn(),
        "wireguard-go": WireguardGo(wireguard_go),
        "ipsecd-chacha": Ipsecd("chacha20poly1305"),
        "strongswan-chacha": Strongswan("chacha20poly1305"),
    }
