"""The commands ``ipsecd`` and ``ipsecctl``."""
