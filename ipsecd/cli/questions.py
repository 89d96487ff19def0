"""The questions of ``ipsecctl policy new``, in the order in which they are asked: those of Windows' wizards for a
policy, a rule, and a filter.

Who negotiates with whom, and how they prove who they are, is asked behind the action, as it means something only if
that negotiates.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

from ipsecd.policy import shapes
from ipsecd.policy.addresses import address_set, tunnel_end
from ipsecd.policy.complaint import complaint, quoted
from ipsecd.policy.identities import identity
from ipsecd.policy.names import FILTER_ACTIONS
from ipsecd.policy.traffic import WITH_PORTS, ports, protocol

Answers: TypeAlias = Mapping[str, str]

_YES_NO: Final = ("yes", "no")
_METHODS: Final = ("psk", "certificate", "kerberos")
VERSIONS: Final = {"ikev2": ("ikev2",), "ikev1": ("ikev1",), "both": ("ikev2", "ikev1")}
NO_TUNNEL: Final = "none"
_ANY: Final = "any"


def number_or_word(text: str) -> int | str:
    """What the grammar takes for a protocol or a port."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 5 else text


def _name(text: str) -> None:
    if not re.fullmatch(shapes.NAME, text):
        raise complaint(f"{quoted(text)} isn't fit as a name", "a letter, then letters, digits, '_', '.' or '-'")


def _line(text: str) -> None:
    if "\n" in text or not text.isprintable():
        raise complaint("expected one line of readable text")


def _tunnel(text: str) -> None:
    if text != NO_TUNNEL:
        tunnel_end(text)


def _protocol(text: str) -> None:
    protocol(number_or_word(text))


def _ports(text: str) -> None:
    ports(number_or_word(text))


def _identity(text: str) -> None:
    if text:
        identity(text)


def _always(_: Answers) -> bool:
    return True


def _responds(answers: Answers) -> bool:
    return answers["default_response"] == "yes"


def _filtered(answers: Answers) -> bool:
    return answers["traffic"] == "filter"


def _with_ports(answers: Answers) -> bool:
    return _filtered(answers) and protocol(number_or_word(answers["protocol"])) in WITH_PORTS


def negotiates(answers: Answers) -> bool:
    """Whether the rule's action does."""
    return FILTER_ACTIONS[answers["action"]] == "negotiate"


def tunnelled(answers: Answers) -> bool:
    """Whether the rule has a tunnel."""
    return negotiates(answers) and answers["tunnel"] != NO_TUNNEL


def proves_by(method: str) -> Callable[[Answers], bool]:
    """Whether somebody proves who they are by this method, in the rule or in the default response."""

    def asked(answers: Answers) -> bool:
        return method in (answers.get("authentication"), answers.get("default_response_authentication"))

    return asked


def _by_ike(answers: Answers) -> bool:
    return negotiates(answers) or _responds(answers)


def _name_of_rule(answers: Answers) -> str:
    return answers["rule"]


def _file_of_key(answers: Answers) -> str:
    return f"secrets/{answers['credential']}.psk"


def _empty_if(known: str) -> Callable[[Answers], str | None]:
    """Nothing need be answered where that end of the tunnel is known."""
    return lambda answers: None if answers[known] == _ANY else ""


@dataclass(frozen=True, slots=True)
class Known:
    """What the file that the policy goes into has already: policies, and credentials that are pre-shared keys."""

    policies: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Question:
    """``name`` is the answer's, and with hyphens the option's. A ``default`` of None has to be answered; ``example`` is
    an answer to such a one. ``asked`` is whether earlier answers leave it open, and ``belongs_to`` names those that do.
    ``check`` raises Complaint."""

    name: str
    text: str
    default: str | Callable[[Answers], str | None] | None = None
    choices: tuple[str, ...] = ()
    check: Callable[[str], object] = _line
    asked: Callable[[Answers], bool] = _always
    belongs_to: str = ""
    example: str = ""

    @property
    def option(self) -> str:
        return f"--{self.name.replace('_', '-')}"

    @property
    def whole_text(self) -> str:
        """The question, with an answer to it if there is an example."""
        return f"{self.text}, such as {self.example}" if self.example else self.text

    def default_of(self, answers: Answers) -> str | None:
        """What holds where nobody answers."""
        return self.default(answers) if callable(self.default) else self.default


def _free_name(taken: frozenset[str]) -> Callable[[str], None]:
    def check(text: str) -> None:
        _name(text)
        if text in taken:
            raise complaint(f"the file has a policy {quoted(text)} already", "take another name; --replace replaces it")

    return check


def _with_a_new_key(known: frozenset[str]) -> Callable[[Answers], bool]:
    by_psk = proves_by("psk")
    return lambda answers: by_psk(answers) and answers["credential"] not in known


_OF_FILTERS: Final = "--traffic filter"
_OF_PORTS: Final = "--traffic filter and a protocol with ports, such as --protocol tcp"
_OF_NEGOTIATION: Final = "an --action that negotiates, such as require-security"
_OF_TUNNELS: Final = "--tunnel ADDRESS, and an --action that negotiates"
_OF_CERTIFICATES: Final = "--authentication certificate"


def questions(known: Known) -> tuple[Question, ...]:
    """The questions, for a file with these things."""
    return (
        Question("name", "Name of the policy", check=_free_name(known.policies), example="office"),
        Question("description", "Description", ""),
        Question("default_response", "Answer peers that ask for security where no rule says anything", "no", _YES_NO),
        Question("default_response_authentication", "How both sides prove who they are then", "psk", _METHODS,
                 asked=_responds, belongs_to="--default-response yes"),
        Question("rule", "Name of the first rule", "rule", check=_name),
        Question("traffic", "Which traffic it is for", "all-ip", ("all-ip", "all-icmp", "filter")),
        Question("source", "Where packets come from", "me", check=address_set, asked=_filtered,
                 belongs_to=_OF_FILTERS),
        Question("destination", "Where they go", _ANY, check=address_set, asked=_filtered, belongs_to=_OF_FILTERS),
        Question("protocol", "Their protocol, by name or number", _ANY, check=_protocol, asked=_filtered,
                 belongs_to=_OF_FILTERS),
        Question("source_port", "Source port, or ports first-last", _ANY, check=_ports, asked=_with_ports,
                 belongs_to=_OF_PORTS),
        Question("destination_port", "Destination port, or ports first-last", _ANY, check=_ports, asked=_with_ports,
                 belongs_to=_OF_PORTS),
        Question("mirrored", "And packets back", "yes", _YES_NO, asked=_filtered, belongs_to=_OF_FILTERS),
        Question("action", "What happens to it", "require-security", tuple(FILTER_ACTIONS)),
        Question("connections", "Type of connections the rule is for", "all", ("all", "lan", "remote-access")),
        Question("tunnel", "The tunnel's far end: an address, a DNS name, any, or none (host to host)", NO_TUNNEL,
                 check=_tunnel, asked=negotiates, belongs_to=_OF_NEGOTIATION),
        Question("tunnel_local", "Its end here: an address, a DNS name, or any", _ANY, check=tunnel_end,
                 asked=tunnelled, belongs_to=_OF_TUNNELS),
        Question("local_identity", "Who we are", _empty_if("tunnel_local"), check=_identity, asked=tunnelled,
                 belongs_to=_OF_TUNNELS, example="gw.office.example"),
        Question("remote_identity", "Who the peer is", _empty_if("tunnel"), check=_identity, asked=tunnelled,
                 belongs_to=_OF_TUNNELS, example="gw.hq.example"),
        Question("authentication", "How both sides prove who they are", "psk", _METHODS, asked=negotiates,
                 belongs_to=_OF_NEGOTIATION),
        Question("credential", "Name of the pre-shared key", _name_of_rule, check=_name, asked=proves_by("psk"),
                 belongs_to="--authentication psk"),
        Question("key_file", "File that holds the key", _file_of_key, asked=_with_a_new_key(known.keys),
                 belongs_to="--authentication psk and a --credential that the file hasn't yet"),
        Question("certificate_file", "File of our certificate", "tls/machine.pem", asked=proves_by("certificate"),
                 belongs_to=_OF_CERTIFICATES),
        Question("certificate_key", "File of its private key", "tls/machine.key", asked=proves_by("certificate"),
                 belongs_to=_OF_CERTIFICATES),
        Question("authority_file", "File of the authority's certificate", "tls/ca.pem",
                 asked=proves_by("certificate"), belongs_to=_OF_CERTIFICATES),
        Question("versions", "Versions of IKE, of which both begins with ikev2", "ikev2", tuple(VERSIONS),
                 asked=_by_ike, belongs_to=f"{_OF_NEGOTIATION}, or --default-response yes"),
    )  # fmt: skip


QUESTIONS: Final = questions(Known())
