"""What mode config hands to a host inside a network: its address there, and who serves it (draft-dukes-ike-mode-cfg-02
section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from ipsecd.errors import WireError
from ipsecd.wire.ikev1_attributes import Attribute
from ipsecd.wire.registry_v1 import ConfigAttribute
from ipsecd.wire.selector import Address

Network = IPv4Network | IPv6Network

_ADDRESS = {4: ConfigAttribute.INTERNAL_IP4_ADDRESS, 6: ConfigAttribute.INTERNAL_IP6_ADDRESS}
_DNS = {4: ConfigAttribute.INTERNAL_IP4_DNS, 6: ConfigAttribute.INTERNAL_IP6_DNS}
_NBNS = {4: ConfigAttribute.INTERNAL_IP4_NBNS, 6: ConfigAttribute.INTERNAL_IP6_NBNS}
_EXPIRY = ConfigAttribute.INTERNAL_ADDRESS_EXPIRY
_SUBNET_V4, _SUBNET_V6 = ConfigAttribute.INTERNAL_IP4_SUBNET, ConfigAttribute.INTERNAL_IP6_SUBNET
_NETMASK = ConfigAttribute.INTERNAL_IP4_NETMASK
_NUMBER_OCTETS = 4


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """``addresses`` are for the host itself. ``subnets`` are what the gateway protects. ``expiry``: for so many seconds
    the addresses are the host's; None: as long as the ISAKMP SA."""

    addresses: tuple[Address, ...] = ()
    dns: tuple[Address, ...] = ()
    nbns: tuple[Address, ...] = ()
    subnets: tuple[Network, ...] = ()
    expiry: int | None = None


def asked(attributes: tuple[Attribute, ...]) -> frozenset[ConfigAttribute]:
    """What a REQUEST asks for."""
    return frozenset(ConfigAttribute(each.type) for each in attributes)


def requests(versions: tuple[int, ...]) -> tuple[Attribute, ...]:
    """A REQUEST for an address of each of these IP versions and all that goes with it; 4 and 6 are such."""
    return tuple(Attribute(kind, b"") for version in versions for kind in _of(version))


def _of(version: int) -> tuple[ConfigAttribute, ...]:
    if version == 4:
        return _ADDRESS[4], _NETMASK, _DNS[4], _NBNS[4], _SUBNET_V4
    return _ADDRESS[6], _DNS[6], _NBNS[6], _SUBNET_V6


def read(attributes: tuple[Attribute, ...]) -> NetworkSettings:
    """What they say. Empty ones and those not known say nothing; the netmask says nothing that an address and subnets
    don't. WireError("bad-attribute-length" | "bad-netmask") for one that can't be."""
    said = [each for each in attributes if each.value]
    expiry = [_sized(each, _NUMBER_OCTETS) for each in said if each.type == _EXPIRY]
    return NetworkSettings(
        _addresses(said, _ADDRESS),
        _addresses(said, _DNS),
        _addresses(said, _NBNS),
        tuple(_subnet(each) for each in said if each.type in (_SUBNET_V4, _SUBNET_V6)),
        int.from_bytes(expiry[0], "big") if expiry else None,
    )


def written(settings: NetworkSettings) -> tuple[Attribute, ...]:
    """A REPLY or SET that says this. An IPv4 address is one of a host alone: what lies beyond it are the subnets."""
    expiry = () if settings.expiry is None else (Attribute(_EXPIRY, settings.expiry.to_bytes(_NUMBER_OCTETS, "big")),)
    whole = bytes([0xFF] * 4)
    netmask = (Attribute(_NETMASK, whole),) if any(each.version == 4 for each in settings.addresses) else ()
    return (
        *_of_addresses(settings.addresses, _ADDRESS),
        *netmask,
        *_of_addresses(settings.dns, _DNS),
        *_of_addresses(settings.nbns, _NBNS),
        *(_of_subnet(each) for each in settings.subnets),
        *expiry,
    )


def _addresses(said: list[Attribute], kinds: dict[int, ConfigAttribute]) -> tuple[Address, ...]:
    found: list[Address] = []
    for each in said:
        if each.type == kinds[4]:
            found.append(IPv4Address(_sized(each, 4)))
        elif each.type == kinds[6]:  # some send it with a prefix length behind, as IKEv2 has it
            found.append(IPv6Address(_sized(each, 16, 17)[:16]))
    return tuple(found)


def _of_addresses(addresses: tuple[Address, ...], kinds: dict[int, ConfigAttribute]) -> tuple[Attribute, ...]:
    return tuple(Attribute(kinds[each.version], each.packed) for each in addresses)


def _subnet(said: Attribute) -> Network:
    if said.type == _SUBNET_V4:
        octets = _sized(said, 8)
        return IPv4Network((octets[:4], _prefix(octets[4:])), strict=False)
    octets = _sized(said, 17)
    if octets[16] > 128:
        raise WireError("bad-netmask", f"a prefix of {octets[16]} bits")
    return IPv6Network((octets[:16], octets[16]), strict=False)


def _prefix(mask: bytes) -> int:
    number = int.from_bytes(mask, "big")
    bits = number.bit_count()
    if number != (1 << 32) - (1 << (32 - bits)):
        raise WireError("bad-netmask", str(IPv4Address(mask)))
    return bits


def _of_subnet(subnet: Network) -> Attribute:
    if isinstance(subnet, IPv4Network):
        return Attribute(_SUBNET_V4, subnet.network_address.packed + subnet.netmask.packed)
    return Attribute(_SUBNET_V6, subnet.network_address.packed + bytes([subnet.prefixlen]))


def _sized(said: Attribute, *sizes: int) -> bytes:
    if len(said.value) not in sizes:
        raise WireError("bad-attribute-length", f"{ConfigAttribute(said.type)} of {len(said.value)} octets")
    return said.value
