"""``python -m ipsecd.dataplane out|in DESCRIPTOR PARENT``: one road in a process of its own.

The daemon starts it. DESCRIPTOR is its channel to the control process, PARENT that process's number.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import suppress

from ipsecd.crypto.entropy import SystemEntropy
from ipsecd.dataplane.messages import Begin
from ipsecd.dataplane.process import RoadProcess, read
from ipsecd.dataplane.process_in import InboundProcess
from ipsecd.dataplane.process_out import OutboundProcess
from ipsecd.dataplane.runs_in import RunsIn
from ipsecd.dataplane.runs_out import RunsOut
from ipsecd.errors import IpsecdError, LocalError
from ipsecd.io.ah_errors import AhErrors
from ipsecd.io.channel import Arrived, Channel
from ipsecd.io.confine import die_with_parent, shut_in
from ipsecd.io.native_open import PROTOCOLS
from ipsecd.io.native_runs import RunReceiver, RunSender
from ipsecd.io.tun import TunEnd
from ipsecd.io.udp import UdpSocket

_FOR_CONTROL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # which may come to all processes of the service


def main(road: str, descriptor: str, parent: str) -> None:
    """Raises EOFError once the control process is gone."""
    for number in _FOR_CONTROL:
        signal.signal(number, signal.SIG_IGN)
    die_with_parent(int(parent))
    channel = Channel(socket.socket(fileno=int(descriptor)))
    channel.wait()
    if (arrived := channel.receive()) is None:
        raise LocalError("nothing came through the channel")
    process = begin(road, channel, arrived)
    process.run(shut_in())


def begin(road: str, channel: Channel, arrived: Arrived) -> RoadProcess:
    """The road, and all it needs. LocalError for a message that isn't Begin."""
    told = read(arrived)
    if not isinstance(told, Begin):
        raise LocalError(f"{type(told).__name__} before Begin")
    first, *others = arrived.descriptors
    tun, opened = TunEnd(first, told.tun), [socket.socket(fileno=each) for each in others]
    udp, raw = opened[: len(told.versions)], opened[len(told.versions) :]
    sockets = {
        (version, told.port): UdpSocket.adopt(
            each, natt=True, offloads=frozenset(told.udp_offloads), sending=road == "out"
        )
        for version, each in zip(told.versions, udp, strict=True)
    }
    if road == "out":
        made = RunsOut(SystemEntropy().octets, tun_mtu=told.tun_mtu, pmtu_age=told.pmtu_age)
        senders = {version: RunSender(each) for version, each in zip(told.native, raw, strict=True)}
        return OutboundProcess(channel, tun, made, sockets, senders)
    packets = len(PROTOCOLS) * len(told.native)
    receivers, routers = [RunReceiver(each) for each in raw[:packets]], [AhErrors(each) for each in raw[packets:]]
    road_in = RunsIn(tun_mtu=told.tun_mtu, pmtu_age=told.pmtu_age, joins=told.joins)
    return InboundProcess(channel, tun, road_in, sockets, receivers, routers)


if __name__ == "__main__":
    os.umask(0o077)
    with suppress(EOFError):
        try:
            main(*sys.argv[1:])
        except IpsecdError as error:
            sys.exit(f"ipsecd: {' '.join(sys.argv[1:2])}: {error}")
