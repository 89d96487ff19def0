"""OpenVPN: one peer to one peer, TLS with a certificate of each, packets handled by its process (no DCO)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from scripts.measuring.contestants.contestant import Contestant, Running, first_line
from scripts.measuring.contestants.sides import A, B, Side
from tests.interop.waiting import eventually
from tests.netns.sites import Sites

PORT = 1_194
INNER = {"a": "10.9.0.1", "b": "10.9.0.2"}
ROLES = {"a": f"tls-client\nremote {A.remote}", "b": "tls-server\ndh none"}


class Openvpn(Contestant):
    needs: Mapping[str, str] = {"openvpn": "openvpn"}

    def version(self) -> str:
        return first_line("openvpn", "--version")

    @contextmanager
    def run(self, sites: Sites, folder: Path) -> Iterator[Running]:
        """Only side b runs at first: side a calls as soon as it does."""
        prints = {side.side: _credentials(folder / side.side, side.side) for side in (A, B)}
        daemons = [_daemon(sites, B, folder, prints)]
        yield Running(lambda: daemons.insert(0, _daemon(sites, A, folder, prints)), daemons)


def _daemon(sites: Sites, side: Side, folder: Path, prints: dict[str, str]) -> int:
    home, net = folder / side.side, ip_network(side.far)
    text = side.configuration(
        "openvpn.conf",
        role=ROLES[side.side],
        port=PORT,
        folder=home,
        inner=INNER[side.side],
        other_inner=INNER[side.other],
        far_address=net.network_address,
        far_mask=net.netmask,
        fingerprint=prints[side.other],
    )
    (home / "openvpn.conf").write_text(text)
    with (home / "output").open("w") as output:
        command = ["openvpn", "--config", str(home / "openvpn.conf")]
        process = sites.popen(side.place, command, stdout=output, stderr=subprocess.STDOUT)

    def listens() -> bool:
        if process.poll() is not None:
            raise RuntimeError(f"openvpn ended: {(home / 'output').read_text()}")
        return f":{PORT}" in sites.run(side.place, ["ss", "-Hlun"]).stdout

    if side is B:
        eventually(listens, "openvpn listens")
    return process.pid


def _credentials(folder: Path, name: str) -> str:
    """Make a key and a certificate that signs itself; returns the fingerprint by which the other side knows it."""
    folder.mkdir()
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").touch(mode=0o600)
    (folder / "key.pem").write_bytes(private)
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()
