"""The data plane's knowledge: SPD, SAD, replay, ESP, tunnel headers. Packets in, packets out; no I/O."""
