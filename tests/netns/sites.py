"""Two sites in network namespaces:  ha --lan0-- ga ==wan0== gb --lan0-- hb, with a NAT router before ga if asked for.

    ha 10.1.0.2 fd01::2      ga lan0 10.1.0.1 fd01::1      ga wan0 192.0.2.1 2001:db8::1
    hb 10.2.0.2 fd02::2      gb lan0 10.2.0.1 fd02::1      gb wan0 192.0.2.2 2001:db8::2

With ``nat=True`` ga's wan0 is 192.168.50.2 and fd50::2, and the router ``nat`` has 192.0.2.1 and 2001:db8::1. Each
gateway's default route points at the other side, as a real one points at its provider: cleartext finds its way out
unless something stops it.

This module needs root, iproute2 and nftables, and nothing of pytest: the demo uses it too.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)
_SERIAL = itertools.count()

_NAT = """
table inet nat {
    chain postrouting {
        type nat hook postrouting priority srcnat;
        oifname "out0" masquerade
    }
}
"""


class Sites:
    """Builds the namespaces on entering, and removes them and every process inside on leaving."""

    def __init__(
        self,
        *,
        nat: bool = False,
        wan_mtu: int = 1500,
        offload: bool = True,
        rp_filter: int = 0,
        default_routes: bool = True,
    ) -> None:
        self.places = ("ha", "ga", "gb", "hb", *(("nat",) if nat else ()))
        self._prefix = f"ipsecd-{os.getpid()}-{next(_SERIAL)}-"
        self._wan_mtu = wan_mtu
        self._offload = offload
        self._rp_filter = rp_filter
        self._default_routes = default_routes
        self._children: list[subprocess.Popen[str]] = []
        self.wan_a = "192.168.50.2" if nat else "192.0.2.1"
        self.wan_a6 = "fd50::2" if nat else "2001:db8::1"

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def namespace(self, place: str) -> str:
        """The name by which ``ip netns`` knows a place: ha, ga, gb, hb or nat."""
        if place not in self.places:
            raise ValueError(f"no such place: {place}")
        return self._prefix + place

    def run(
        self,
        place: str,
        command: Sequence[str | Path],
        *,
        check: bool = True,
        stdin: str | None = None,
        timeout: float | None = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command there to its end; its output is text. With ``check``, a failure raises with its output."""
        words = ["ip", "netns", "exec", self.namespace(place), *map(str, command)]
        done = subprocess.run(words, input=stdin, text=True, capture_output=True, check=False, timeout=timeout)
        if check and done.returncode:
            raise RuntimeError(f"{place}: {' '.join(words[4:])}: exit {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def popen(self, place: str, command: Sequence[str | Path], **options: Any) -> subprocess.Popen[str]:
        """Start a command there; it is killed on leaving if it still runs. ``options`` are those of Popen."""
        words = ["ip", "netns", "exec", self.namespace(place), *map(str, command)]
        child = subprocess.Popen(words, text=True, **options)
        self._children.append(child)
        return child

    def inside(self, place: str, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a function in a thread of this process that stands in that namespace; sockets it opens stay there."""
        results: list[T] = []
        errors: list[BaseException] = []

        def enter() -> None:
            try:
                _enter_namespace(self.namespace(place))
                results.append(function(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001  raised again in the caller's thread
                errors.append(error)

        thread = threading.Thread(target=enter, name=f"in {place}", daemon=True)
        thread.start()
        thread.join()
        if errors:
            raise errors[0]
        return results[0]

    def sysctl(self, place: str, name: str, value: int | str | None = None) -> str:
        """Read a sysctl of the namespace, after setting it if a value is given. ``name`` starts behind ``net.``;
        slashes separate its parts, as interface names may hold dots: ``ipv4/conf/wan0/rp_filter``."""
        path = Path("/proc/sys/net", name)

        def touch() -> str:
            if value is not None:
                path.write_text(str(value))
            return path.read_text().strip()

        return self.inside(place, touch)

    def mac(self, place: str, interface: str) -> str:
        """The Ethernet address of an interface."""
        return self.inside(place, lambda: _address_of_link(interface))

    def close(self) -> None:
        """Kill what was started, then remove the namespaces with all that is in them."""
        for child in self._children:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout, child.stderr):
                if pipe is not None:
                    with contextlib.suppress(BrokenPipeError):
                        pipe.close()
        self._children.clear()
        for place in self.places:
            name = self.namespace(place)
            if not Path("/run/netns", name).exists():
                continue
            pids = subprocess.run(["ip", "netns", "pids", name], text=True, capture_output=True, check=False).stdout
            for pid in pids.split():
                if int(pid) != os.getpid():  # a thread of ours may still stand inside
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
            subprocess.run(["ip", "netns", "del", name], check=False, capture_output=True)

    def _build(self) -> None:
        for place in self.places:
            subprocess.run(["ip", "netns", "add", self.namespace(place)], check=True)
            self.inside(place, _settle_sysctls, self._rp_filter)
        self._link("ha", "eth0", "ga", "lan0")
        self._link("hb", "eth0", "gb", "lan0")
        if "nat" in self.places:
            self._link("ga", "wan0", "nat", "in0")
            self._link("nat", "out0", "gb", "wan0")
            self._configure("nat", ("in0", "192.168.50.1/24", "fd50::1/64"), ("out0", "192.0.2.1/24", "2001:db8::1/64"))
            self.run("nat", ["nft", "-f", "-"], stdin=_NAT)
            gateway = ("192.168.50.1", "fd50::1")
        else:
            self._link("ga", "wan0", "gb", "wan0")
            gateway = ("192.0.2.2", "2001:db8::2")
        self._configure("ha", ("eth0", "10.1.0.2/24", "fd01::2/64"), default=("10.1.0.1", "fd01::1"))
        self._configure("hb", ("eth0", "10.2.0.2/24", "fd02::2/64"), default=("10.2.0.1", "fd02::1"))
        lan, wan = ("lan0", "10.1.0.1/24", "fd01::1/64"), ("wan0", f"{self.wan_a}/24", f"{self.wan_a6}/64")
        self._configure("ga", lan, wan, default=gateway if self._default_routes else None)
        lan, wan = ("lan0", "10.2.0.1/24", "fd02::1/64"), ("wan0", "192.0.2.2/24", "2001:db8::2/64")
        self._configure("gb", lan, wan, default=("192.0.2.1", "2001:db8::1") if self._default_routes else None)
        if not self._default_routes and "nat" in self.places:
            self._ip("ga", f"route add 192.0.2.0/24 via {gateway[0]}", f"-6 route add 2001:db8::/64 via {gateway[1]}")

    def _link(self, one: str, interface_one: str, two: str, interface_two: str) -> None:
        ends = ((one, interface_one), (two, interface_two))
        words = [f"{interface_one} netns {self.namespace(one)}", f"{interface_two} netns {self.namespace(two)}"]
        command = f"ip link add {words[0]} type veth peer name {words[1]}"
        subprocess.run(command.split(), check=True)
        for place, interface in ends:
            if not self._offload:
                features = (word for feature in ("tx", "tso", "gso", "gro") for word in (feature, "off"))
                self.run(place, ["ethtool", "-K", interface, *features])
            mtu = f"mtu {self._wan_mtu}" if interface in ("wan0", "in0", "out0") else ""
            self._ip(place, f"link set {interface} {mtu} up")

    def _configure(self, place: str, *interfaces: tuple[str, str, str], default: tuple[str, str] | None = None) -> None:
        for interface, address4, address6 in interfaces:
            self._ip(place, f"addr add {address4} dev {interface}", f"addr add {address6} dev {interface} nodad")
        if default is not None:
            self._ip(place, f"route add default via {default[0]}", f"-6 route add default via {default[1]}")

    def _ip(self, place: str, *commands: str) -> None:
        for command in commands:
            words = ["ip", "-n", self.namespace(place), *command.split()]
            subprocess.run(words, check=True)


def _enter_namespace(name: str) -> None:
    """Move the calling thread there; os.setns came with Python 3.12."""
    with Path("/run/netns", name).open("rb") as handle:
        if _LIBC.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {name}")


def _settle_sysctls(rp_filter: int) -> None:
    """Router behaviour, and no IPv6 address that is still tentative when a test starts. Interfaces made later
    inherit ``default``."""
    settings = {
        "ipv4/ip_forward": 1,
        "ipv4/conf/all/rp_filter": rp_filter,
        "ipv4/conf/default/rp_filter": rp_filter,
        "ipv6/conf/all/forwarding": 1,
        "ipv6/conf/default/accept_dad": 0,
        "ipv6/conf/all/accept_dad": 0,
    }
    for name, value in settings.items():
        Path("/proc/sys/net", name).write_text(str(value))
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)


def _address_of_link(interface: str) -> str:
    words = ["ip", "-o", "link", "show", "dev", interface]
    fields = subprocess.run(words, check=True, text=True, capture_output=True).stdout.split()
    return fields[fields.index("link/ether") + 1]
