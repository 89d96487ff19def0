"""Settings of this machine that don't go with ours, each with what changes it.

Asked of the kernel's own routing code where that knows, as it isn't always possible to read sysctls.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from ipaddress import IPv4Address
from pathlib import Path

from ipsecd.io.netlink import Address, Netlink
from ipsecd.io.netlink_values import Link
from ipsecd.io.outside import EVERYBODY

_BRIDGES = Path("/proc/sys/net/bridge")  # made by the module br_netfilter
_FORWARDING = {4: "net.ipv4.ip_forward", 6: "net.ipv6.conf.all.forwarding"}


async def reverse_path(
    netlink: Netlink, tun: Link, local: Sequence[tuple[str, Address]], mark: int, inside_mark: int
) -> tuple[str, ...]:
    """What keeps steered packets (``mark``) or decrypted ones (``inside_mark``) from passing the check of their
    source. ``local`` are this machine's addresses with their interfaces."""
    found: list[str] = []
    addresses = [(name, address) for name, address in local if address.version == 4 and name not in {"lo", tun.name}]
    if not addresses:
        return ()
    ours = {address for _, address in local}
    elsewhere = next(address for address in EVERYBODY if address not in ours)
    if not await netlink.would_accept(elsewhere, addresses[0][1], tun, inside_mark):
        found.append(
            f"packets out of {tun.name} fail the reverse path check: sysctl -w net.ipv4.conf.all.rp_filter=0 "
            f"net.ipv4.conf.{tun.name}.rp_filter=0"
        )
    for link in await netlink.links():
        near = [address for name, address in addresses if name == link.name]
        if not near:
            continue
        neighbours = [IPv4Address(int(near[0]) ^ bit) for bit in (1, 2)]  # one may be the network itself
        passing = [one for one in neighbours if await netlink.would_accept(one, elsewhere, link)]
        if passing and not await netlink.would_accept(passing[0], elsewhere, link, mark):
            found.append(
                f"src_valid_mark keeps steered packets that come in by {link.name} from passing its reverse path "
                f"check: sysctl -w net.ipv4.conf.all.src_valid_mark=0, or net.ipv4.conf.{link.name}.rp_filter=2"
            )
    return tuple(found)


async def both_sides(
    netlink: Netlink,
    local: Mapping[str, tuple[Address, Address]],
    inside: Collection[str],
    outside: Collection[str],
    asking_mark: int,
) -> tuple[str, ...]:
    """Networks that are ``local`` to rules, given with their first and last addresses, and lie outside, or nowhere: the
    floor lets nothing of them pass. ``inside`` are the interfaces that the policy names; ``outside`` those that aren't
    inside, if it names none.

    Routing tables may be too large to read, so each network is looked for by its first and its last host, and by the
    addresses that this machine has in it.
    """
    names = {link.index: link.name for link in await netlink.links()}
    ours = await netlink.addresses()
    found: dict[str, str] = {}
    nowhere = []
    for network, (start, end) in local.items():
        if start == end and start in {address for _, address in ours}:
            continue  # this machine itself
        span = range(int(start), int(end) + 1)
        ways = {name for name, address in ours if address.version == start.version and int(address) in span}
        first, last = (start + 1, end - 1) if int(end) - int(start) > 1 else (start, end)
        for host in {first, last} if start.version in netlink.versions else ():
            ways |= {names.get(index, "") for index in await netlink.interfaces_to(host, asking_mark)}
        ways -= {"lo"}
        for name in sorted(ways):
            if name in outside or (inside and name not in inside):
                found.setdefault(name, network)
        if not ways:
            nowhere.append(
                f"no route of its own leads to {network}, which is local to a rule, as far as {first} and {last} tell; "
                f"no packet passes between the tunnel and what only a default route leads to: add a route there"
            )
    if local and not inside and not outside:
        nowhere.append(
            "nothing tells which interfaces lead outside, as there is neither a default route nor a known peer: name "
            "those of the inside in the policy's settings.inside"
        )
    others = "the policy's settings.inside doesn't name it" if inside else "it leads to peers or everybody else, too"
    return (
        *(
            f"{name} leads to {network}, which is local to a rule, but {others}; so no packet passes between it and "
            f"the tunnel: name it among the policy's settings.inside if all that is behind it is to be trusted"
            for name, network in found.items()
        ),
        *nowhere,
    )


def forwarding(tun: Link, ranges: Iterable[tuple[Address, Address]], own: Collection[Address]) -> Iterator[str]:
    """IP versions that this machine doesn't forward, although ranges that are local to a rule hold more than its
    ``own`` addresses: what comes out of the TUN for others is lost, and what others send never gets there."""
    mine = {int(address): address.version for address in own}
    others = set()
    for first, last in ranges:
        here = sum(int(first) <= number <= int(last) for number, version in mine.items() if version == first.version)
        if int(last) - int(first) + 1 > here:
            others.add(first.version)
    for version in sorted(others.intersection(tun.kept)):
        yield (
            f"this machine forwards no IPv{version}, and a rule is for a network behind it: "
            f"sysctl -w {_FORWARDING[version]}=1"
        )


def bridges(links: Iterable[Link]) -> Iterator[str]:
    """Bridges whose frames pass without being shown to nftables. A bridge of one port has nothing to pass on."""
    links = tuple(links)
    ports = [link.master for link in links]
    joining = [link.name for link in links if link.kind == "bridge" and ports.count(link.index) > 1]
    switches = [name for name in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables") if not _is_on(name)]
    if joining and switches:
        settings = " ".join(f"net.bridge.{name}=1" for name in switches)
        yield (
            f"what is bridged over {', '.join(joining)} passes beside every rule: "
            f"modprobe br_netfilter && sysctl -w {settings}"
        )


def _is_on(name: str) -> bool:
    try:
        return (_BRIDGES / name).read_text(encoding="ascii").strip() == "1"
    except OSError:
        return False
