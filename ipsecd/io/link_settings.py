"""Settings of an interface for each family, as a message of rtnetlink: what pyroute2 decodes but doesn't encode. They
can be written to /proc/sys too, but a hardened service finds that read-only."""

from __future__ import annotations

from pyroute2.netlink import nla, nlmsg

from ipsecd.limits import TUN_QUEUE

ADDRESS_GENERATION_NONE = 1  # IN6_ADDR_GEN_MODE_NONE


class _Conf(nla):  # type: ignore[misc]  # untyped library
    nla_map = ((24, "SRC_VMARK", "uint32"),)


class _Inet(nla):  # type: ignore[misc]  # untyped library
    nla_map = ((1, "IFLA_INET_CONF", "conf"),)
    conf = _Conf


class _Inet6(nla):  # type: ignore[misc]  # untyped library
    nla_map = ((8, "IFLA_INET6_ADDR_GEN_MODE", "uint8"),)


class _Families(nla):  # type: ignore[misc]  # untyped library
    nla_map = ((2, "AF_INET", "inet"), (10, "AF_INET6", "inet6"))
    inet, inet6 = _Inet, _Inet6


class LinkSettings(nlmsg):  # type: ignore[misc]  # untyped library
    """The body of RTM_NEWLINK."""

    prefix = "IFLA_"
    fields = (("family", "B"), ("__align", "x"), ("type", "H"), ("index", "i"), ("flags", "I"), ("change", "I"))
    nla_map = ((13, "IFLA_TXQLEN", "uint32"), (26, "IFLA_AF_SPEC", "af_spec"), (27, "IFLA_GROUP", "uint32"))
    af_spec = _Families


def quiet_link(index: int, group: int, *, ipv6: bool) -> LinkSettings:
    """Gives the interface this group, a reverse path check by mark (src_valid_mark) and a queue for so many packets as
    wait while nobody reads them; with ``ipv6``, it gets no IPv6 addresses by itself either."""
    inet = {"attrs": [("IFLA_INET_CONF", {"attrs": [("SRC_VMARK", 1)]})]}
    inet6 = {"attrs": [("IFLA_INET6_ADDR_GEN_MODE", ADDRESS_GENERATION_NONE)]}
    families = [("AF_INET", inet), *([("AF_INET6", inet6)] if ipv6 else [])]
    message = LinkSettings()
    message["index"] = index
    message["attrs"] = [("IFLA_AF_SPEC", {"attrs": families}), ("IFLA_GROUP", group), ("IFLA_TXQLEN", TUN_QUEUE)]
    return message
