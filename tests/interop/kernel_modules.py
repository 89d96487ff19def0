"""The modules a guest's kernel needs for IPsec, in the order in which they are loaded."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

MODULES = Path("/usr/lib/uml/modules")
IPSEC = ("ipv6", "xfrm_user", "esp4", "esp6", "ah4", "ah6")
ALGORITHMS = (
    *("authenc", "authencesn", "echainiv", "seqiv", "drbg", "hmac", "xcbc", "cmac", "sha512_generic"),
    *("cbc", "ctr", "gcm", "ccm", "ghash-generic", "chacha20poly1305", "chacha_generic", "poly1305_generic"),
    *("camellia_generic", "des_generic"),
)


def in_order(names: Iterable[str] = (*IPSEC, *ALGORITHMS)) -> list[Path]:
    """The files of these modules, each behind those that it needs. Raises LookupError for one that isn't there."""
    [folder] = MODULES.iterdir()  # there is one, that of the package's kernel
    needs = dict(_needs(folder / "modules.dep"))
    files = {Path(file).stem: file for file in needs}
    found: dict[str, None] = {}
    for name in names:
        file = files[name]
        # each line names all that its module needs, and those that need others of them first
        found |= dict.fromkeys((*reversed(needs[file]), file))
    return [folder / file for file in found]


def _needs(dependencies: Path) -> Iterator[tuple[str, list[str]]]:
    for line in dependencies.read_text().splitlines():
        file, _, needed = line.partition(":")
        yield file, needed.split()
