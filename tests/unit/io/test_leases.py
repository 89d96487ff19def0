"""The DHCP servers, as the clients' own files name them."""

from __future__ import annotations

from pathlib import Path

from ipsecd.io.leases import dhcp_servers, wins_servers

NOW = 1_780_000_000.0  # 2026-05-28 20:26:40 UTC
NETWORKD = "# This is private data. Do not parse.\nADDRESS=192.0.2.10\nSERVER_ADDRESS={}\nNEXT_SERVER=0.0.0.0\n"
LEASE = """\
lease {{
  interface "{}";
  fixed-address 192.0.2.10;
  option routers 192.0.2.254;
  option dhcp-server-identifier {};
  renew 4 2026/05/28 12:00:00;
  expire {};
}}
"""
VALID, OVER = "4 2026/05/28 20:26:41", "4 2026/05/28 20:26:40"


def servers(
    folder: Path, *, networkd: dict[str, str] | None = None, dhclient: dict[str, str] | None = None
) -> list[str]:
    places = {"networkd": networkd or {}, "dhclient": dhclient or {}}
    for place, files in places.items():
        (folder / place).mkdir()
        for name, text in files.items():
            (folder / place / name).write_text(text)
    found = dhcp_servers(NOW, folder / "networkd", (folder / "missing", folder / "dhclient"))
    return [str(address) for address in found]


def test_networkd_has_a_file_for_each_interface(tmp_path: Path) -> None:
    files = {"2": NETWORKD.format("192.0.2.1"), "3": NETWORKD.format("198.51.100.1"), "4": "ADDRESS=10.0.0.1\n"}
    assert servers(tmp_path, networkd=files) == ["192.0.2.1", "198.51.100.1"]


def test_of_dhclient_the_last_lease_of_an_interface_counts(tmp_path: Path) -> None:
    text = (
        LEASE.format("eth0", "192.0.2.1", VALID)
        + LEASE.format("eth1", "192.0.2.3", "never")
        + LEASE.format("eth0", "192.0.2.2", VALID)
    )
    assert servers(tmp_path, dhclient={"dhclient.leases": "default-duid x;\n" + text}) == ["192.0.2.2", "192.0.2.3"]


def test_a_lease_that_has_expired_counts_no_more(tmp_path: Path) -> None:
    files = {
        "dhclient.eth0.leases": LEASE.format("eth0", "192.0.2.1", OVER),
        "dhclient.eth1.leases": LEASE.format("eth1", "192.0.2.2", "epoch 1780000000; # as local time"),
        "dhclient.eth2.leases": LEASE.format("eth2", "192.0.2.3", "epoch 1780000001; # as local time"),
        "dhclient.eth3.leases": LEASE.format("eth3", "192.0.2.4", "in a while"),
        "dhclient.eth5.leases": LEASE.format("eth5", "192.0.2.7", "4 2026/13/32 20:26:41"),
        "dhclient.eth4.leases": LEASE.format("eth4", "192.0.2.5", VALID) + LEASE.format("eth4", "192.0.2.6", OVER),
    }
    assert servers(tmp_path, dhclient=files) == ["192.0.2.3"]


def test_the_leases_that_this_machine_gives_to_others_are_not_its_own(tmp_path: Path) -> None:
    assert servers(tmp_path, dhclient={"dhcpd.leases": LEASE.format("eth0", "192.0.2.1", VALID)}) == []


def test_what_is_no_address_of_a_server_is_left_out(tmp_path: Path) -> None:
    files = {
        str(number): NETWORKD.format(text) for number, text in enumerate(("x", "0.0.0.0", "127.0.0.1", "224.0.0.1"))
    }
    assert servers(tmp_path, networkd=files) == []


def test_dhclient_tells_of_wins_servers_too(tmp_path: Path) -> None:
    """RFC 2132 section 8.5."""
    named = "  option netbios-name-servers {};\n  renew"
    first, over, other = (
        LEASE.format(interface, "192.0.2.1", expires).replace("  renew", named.format(servers))
        for interface, expires, servers in (
            ("eth0", VALID, "192.0.2.5,192.0.2.6"),
            ("eth1", OVER, "192.0.2.7"),
            ("eth2", "never", "192.0.2.6, 0.0.0.0"),
        )
    )
    (tmp_path / "dhclient.leases").write_text(first + over + other + LEASE.format("eth3", "192.0.2.1", VALID))
    found = wins_servers(NOW, (tmp_path / "missing", tmp_path))
    assert [str(address) for address in found] == ["192.0.2.5", "192.0.2.6"]
