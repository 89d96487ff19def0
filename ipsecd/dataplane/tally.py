"""What became of each packet. A drop always has one of these names, and the numbers add up:

from-tun + sent-again = sealed + waiting + held + joined + released + drops (outbound)
from-udp + from-native = ike + keepalive + to-tun + drops (inbound)

``held`` fragments wait for the rest of their packet, ``joined`` ones went on as part of another. ``sent-again`` are
those that were sealed and didn't fit the link. ``released`` waited for an SA and were handed back. The ``dummies`` that
leave were no packets before, and aren't among these.
"""

from __future__ import annotations

from collections import Counter

DROPS = {
    # both roads
    "no-policy": "no SPD entry holds the packet",
    "policy-discard": "its SPD entry says discard",
    "bad-option": "an option or source route in front of AH isn't as long as it says (RFC 4302 section 3.3.3.1)",
    "bad-extension-header": "nobody can tell where the routing header in front of AH ends (RFC 4302 appendix A2)",
    "transport-fragment": "a fragment: transport mode protects whole packets (RFC 4303 section 3.3.4)",
    # the way out
    "malformed-packet": "what the TUN device gave is no IP packet",
    "bypass-on-tun": "its SPD entry says bypass, so steering should have kept it from the TUN device",
    "no-sa-for-error": "an ICMP error, and there is no SA for answers to the packet it is about (RFC 4301 section 6.2)",
    "acquire-throttled": "its child was asked for a moment ago, in vain",
    "too-many-wait": "too many packets wait already, or for too many children",
    "queue-overflow": "too many younger packets wait for the same child",
    "gave-up": "it waited for a child that can't be had now",
    "policy-changed": "it waited for a child that the policy no longer has",
    "too-big": "it doesn't fit in the tunnel and may not be fragmented",
    "sequence-exhausted": "its SA has no sequence number left",
    "fragment-mismatch": "a fragment whose packet's fragments overlap (RFC 5722), or don't make a packet together",
    "fragment-duplicate": "a fragment that is there already",
    "fragment-late": "a fragment, and the rest of its packet didn't come in time",
    "fragment-full": "a fragment, and too many younger ones wait for the rest of their packets",
    # the way in
    "runt": "too short for anything that is expected here",
    "no-source-port": "a datagram from UDP port 0, where nobody can be answered (RFC 768)",
    "not-ah": "neither AH nor ESP",
    "ah-fragment": "a fragment with AH: the kernel puts them together, and none should come here",
    "ah-length": "its AH says a length that it can't have",
    "unfinished-route": "its AH can't be checked before its routing header has been followed to the end",
    "unknown-spi": "no inbound SA has its SPI",
    "sa-expired": "its SA has reached a hard limit",
    "replayed": "its sequence number was seen before",
    "behind-window": "its sequence number is older than the replay window",
    "bad-icv": "its integrity check value is wrong",
    "bad-padding": "its padding isn't what RFC 4303 section 2.4 demands",
    "dummy": "a dummy packet (RFC 4303 section 2.6)",
    "malformed-outer": "what stands in front of its AH or ESP breaks the rules of its IP version, or of fragments",
    "not-in-ah": "its ESP SA takes only what comes inside AH",
    "nested": "ESP or AH inside which weren't agreed, or something else where ESP was",
    "not-tunnel-mode": "it carries no IP packet",
    "wrong-mode": "it carries an IP packet, and its SA is one of transport mode without such in its selectors",
    "inner-version": "the packet inside isn't of the IP version that the ESP trailer names",
    "malformed-inner": "the packet inside breaks the rules of its IP version",
    "ecn-ce-on-not-ect": "congestion met a transport that only understands loss (RFC 6040 section 4.2)",
    "outside-selectors": "the packet inside isn't within its SA's selectors (RFC 4301 section 5.2)",
    "policy-mismatch": "its SPD entry wants another protection than the one it came with",
}


class Tally:
    """Counters of one road: drops by reason, packets by path, packets by SPD entry."""

    def __init__(self) -> None:
        self.drops: Counter[str] = Counter()
        self.paths: Counter[str] = Counter()
        self.entries: Counter[str] = Counter()
