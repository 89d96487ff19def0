"""ipsecd: IPsec for Linux in user space."""

__version__ = "0.1.0"
