"""Run in a guest: sends datagrams with headers that its kernel puts in, one for each line of the input.

DESTINATION [OPTION=HEX]...      such as 192.0.2.1 IP_OPTIONS=94040000 or 2001:db8::1 IPV6_HOPOPTS=0000010400000000
"""

from __future__ import annotations

import socket
import sys

PORT, DATA = 9, b"with headers"


def send(destination: str, *options: str) -> None:
    family = socket.AF_INET6 if ":" in destination else socket.AF_INET
    level = socket.IPPROTO_IPV6 if ":" in destination else socket.IPPROTO_IP
    with socket.socket(family, socket.SOCK_DGRAM) as opened:
        for option in options:
            name, _, value = option.partition("=")
            opened.setsockopt(level, getattr(socket, name), bytes.fromhex(value))
        opened.sendto(DATA, (destination, PORT))


if __name__ == "__main__":
    for line in sys.stdin:
        send(*line.split())
