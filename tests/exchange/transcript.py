"""What was said on the network, in the letters of RFC 7296: sealed messages are opened with the receiver's own keys."""

from __future__ import annotations

from ipsecd.ike.protect import Protection
from ipsecd.wire.ike import Header
from ipsecd.wire.ikev2 import Message, decode, decode_chain
from ipsecd.wire.payloads import AnyPayload, Delete, Notify, Sk, Skf
from ipsecd.wire.registry import NotifyType, Protocol
from tests.exchange.network import Network

_NAMES = {
    "Sa": "SA",
    "Ke": "KE",
    "Nonce": "N",
    "IdI": "IDi",
    "IdR": "IDr",
    "Auth": "AUTH",
    "TsI": "TSi",
    "TsR": "TSr",
    "VendorId": "V",
    "CertReq": "CERTREQ",
    "Cp": "CP",
}
# said in every IKE_SA_INIT, and left out here
_USUAL = {
    NotifyType.NAT_DETECTION_SOURCE_IP,
    NotifyType.NAT_DETECTION_DESTINATION_IP,
    NotifyType.IKEV2_FRAGMENTATION_SUPPORTED,
    NotifyType.CHILDLESS_IKEV2_SUPPORTED,
    NotifyType(40_969),
}


class Tap:
    """Listens to a network from now on. Repeated datagrams are left out, so what is left is what was meant."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._from = len(network.sent)
        self._keys: dict[tuple[bytes, bytes], Protection] = {}  # by the receiver's SPI and the sender's
        before = network.after_step
        network.after_step = lambda: (before(), self._look())[0]
        self._look()

    def _look(self) -> None:
        for node in self._network.nodes.values():
            core = node.ike._core
            for sa in (*core.ikes.values(), *core.candidates.values()):
                ends = (sa.spi_i, sa.spi_r) if sa.initiator else (sa.spi_r, sa.spi_i)
                if sa.has_keys and ends not in self._keys:
                    self._keys[ends] = sa.secured.protection

    def _receiver(self, header: Header) -> Protection | None:
        ends = (header.spi_r, header.spi_i) if header.from_initiator else (header.spi_i, header.spi_r)
        return self._keys.get(ends)

    def lines(self) -> list[str]:
        """``a CREATE_CHILD_SA 2 {SA, N, TSi, TSr}``; an arrow in front of responses: ``b <- ...``."""
        found, seen = [], set()
        for _, datagram in self._network.sent[self._from :]:
            if datagram.data in seen:
                continue
            seen.add(datagram.data)
            message = decode(datagram.data)
            sender = self._network.nodes[str(datagram.source.address)].name
            arrow = "<-" if message.header.is_response else "->"
            exchange, number = message.header.exchange, message.header.message_id
            found.append(f"{sender} {arrow} {exchange} {number} {self._inside(message)}")
        return found

    def payloads(self, data: bytes) -> tuple[AnyPayload, ...]:
        """What a message holds, sealed or not."""
        message = decode(data)
        if not isinstance(message.sealed, Sk):
            return message.payloads
        receiver = self._receiver(message.header)
        assert receiver is not None
        return decode_chain(message.sealed.first, receiver.open(message.sealed))

    def _inside(self, message: Message) -> str:
        if isinstance(message.sealed, Skf):
            return f"{{{message.sealed.number}/{message.sealed.total}}}"
        if message.sealed is None:
            payloads = message.payloads
        else:
            keys = self._receiver(message.header)
            if keys is None:
                return "{?}"
            payloads = decode_chain(message.sealed.first, keys.open(message.sealed))
        return "{" + ", ".join(name for payload in payloads if (name := _name(payload))) + "}"


def _name(payload: AnyPayload) -> str:
    if isinstance(payload, Notify):
        return "" if payload.type in _USUAL else f"N({payload.type})"
    if isinstance(payload, Delete):
        return "D" if payload.protocol == Protocol.IKE else f"D({len(payload.spis)})"
    name = _NAMES.get(type(payload).__name__, type(payload).__name__)
    return "" if name == "V" else name
