"""The negotiation, sans-IO: (datagram | timer | command, now) -> effects."""
