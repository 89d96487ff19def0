"""Octets <-> frozen values. No state, no keys, no I/O."""
