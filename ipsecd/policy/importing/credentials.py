"""Authentication methods as credentials. A pre-shared key doesn't come into a policy file: what comes is the name of
the file that is to hold it."""

from __future__ import annotations

from ipsecd.policy.importing.draft import Proof
from ipsecd.policy.importing.imported import Report
from ipsecd.policy.importing.naming import Names
from ipsecd.policy.paths import Value

_MACHINE = "machine"
_CHAIN, _KEY = "tls/machine.pem", "tls/machine.key"


class Credentials:
    """The credentials of one import; ``section`` is what the policy file says of them."""

    def __init__(self, report: Report) -> None:
        self.section: dict[str, Value] = {}
        self._report = report
        self._names = Names("key", (_MACHINE,))
        self._psks: dict[str, str] = {}
        self._authorities: dict[str, str] = {}

    def methods(self, proofs: list[Proof], owner: str) -> list[Value]:
        """What stands behind ``authentication``: each of these once. ``owner`` is the rule that needs them, after which
        a key is called."""
        methods: list[Value] = []
        for proof in proofs:
            method: Value = {proof.kind: self._name(proof, owner)}
            if method not in methods:
                methods.append(method)
        return methods or [{"kerberos": self._machine()}]

    def _name(self, proof: Proof, owner: str) -> str:
        if proof.kind == "kerberos":
            return self._machine()
        return self._psk(proof, owner) if proof.kind == "psk" else self._certificate(proof)

    def _machine(self) -> str:
        self.section.setdefault(_MACHINE, {"kerberos": {}})
        return _MACHINE

    def _psk(self, proof: Proof, owner: str) -> str:
        if proof.secret not in self._psks:
            name = self._psks[proof.secret] = self._names.fresh(owner)
            file = f"secrets/{name}.psk"
            self.section[name] = {"psk": {"file": file}}
            message = f"the pre-shared key isn't carried over: write it into {file}, beside the policy file"
            self._report.remark(proof.mark, message, "nothing but the key, readable by its owner alone")
        return self._psks[proof.secret]

    def _certificate(self, proof: Proof) -> str:
        key = proof.authority.casefold()
        if key not in self._authorities:
            name = self._authorities[key] = self._names.fresh(_common_name(proof.authority) or "ca")
            file = f"tls/{name}.pem"
            self.section[name] = {"certificate": {"chain": _CHAIN, "key": _KEY, "authorities": [file]}}
            message = f"the certificate of the authority is to be put into {file}, beside the policy file"
            self._report.remark(proof.mark, message, f"and the machine's own into {_CHAIN} and {_KEY}")
        return self._authorities[key]


def _common_name(authority: str) -> str:
    """The last part of a distinguished name that tells authorities apart, or the text itself."""
    parts = dict(part.strip().partition("=")[::2] for part in authority.split(",") if "=" in part)
    named = {kind.strip().upper(): value.strip() for kind, value in parts.items()}
    return named.get("CN") or named.get("OU") or named.get("O") or authority
