"""Where things are in the sites, by IP version."""

from __future__ import annotations

import socket

HA = {4: "10.1.0.2", 6: "fd01::2"}
GA_LAN = {4: "10.1.0.1", 6: "fd01::1"}
GA_WAN = {4: "192.0.2.1", 6: "2001:db8::1"}
GB_LAN = {4: "10.2.0.1", 6: "fd02::1"}
GB_WAN = {4: "192.0.2.2", 6: "2001:db8::2"}
HB = {4: "10.2.0.2", 6: "fd02::2"}
NET_A = {4: "10.1.0.0/24", 6: "fd01::/64"}
NET_B = {4: "10.2.0.0/24", 6: "fd02::/64"}
FAMILY = {4: socket.AF_INET, 6: socket.AF_INET6}
EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}
