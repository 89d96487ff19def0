"""The exchanges of IKEv2 (RFC 7296), a module each: how we ask, and how we answer."""
