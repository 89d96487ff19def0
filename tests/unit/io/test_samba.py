"""The WINS servers, as Samba's configuration names them."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipsecd.io.samba import samba_wins_servers


def servers(folder: Path, *texts: str) -> list[str]:
    paths = tuple(folder / f"{number}.conf" for number in range(len(texts) + 1))  # the last one is missing
    for path, text in zip(paths, texts, strict=False):
        path.write_text(text)
    return [str(address) for address in samba_wins_servers(paths)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("[global]\n   wins server = 192.0.2.5 192.0.2.6\n", ["192.0.2.5", "192.0.2.6"]),
        ("wins server = 192.0.2.5\n", ["192.0.2.5"]),  # what stands before any section is global
        ("[ Global ]\nWINS  Server=mars:192.0.2.5, venus:192.0.2.6\n", ["192.0.2.5", "192.0.2.6"]),
        ("[global]\nwins server = 192.0.2.5 \\\n  192.0.2.6\n", ["192.0.2.5", "192.0.2.6"]),
        ("[global]\nwins server = 192.0.2.5\nwins server = 192.0.2.6\n", ["192.0.2.6"]),
        ("[global]\nwins server = wins.example 127.0.0.1 0.0.0.0 192.0.2.5\n", ["192.0.2.5"]),
        ("[global]\n;  wins server = 192.0.2.5\n# wins server = 192.0.2.6\nwins support = yes\n", []),
        ("[global]\nworkgroup = W\n[share]\nwins server = 192.0.2.5\n", []),
        ("[global]\nwins server =\n", []),
        ("", []),
    ],
)
def test_the_global_section_names_them(tmp_path: Path, text: str, found: list[str]) -> None:
    assert servers(tmp_path, text) == found


def test_what_a_dhcp_client_has_written_beside_it_counts_too(tmp_path: Path) -> None:
    one, two = "[global]\nwins server = 192.0.2.5\n", "   wins server = 192.0.2.6 192.0.2.5\n"
    assert servers(tmp_path, one, two) == ["192.0.2.5", "192.0.2.6"]
