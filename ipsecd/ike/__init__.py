"""The negotiation, sans-IO: (datagram | timer | command, now) -> effects."""

from ipsecd.ike.engine import Ike

__all__ = ["Ike"]
