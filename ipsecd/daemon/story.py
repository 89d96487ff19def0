"""What each event says to an operator: a sentence with the event's fields in it.

Besides the fields of the event a sentence may name ``who``: the rule, or of a rule without a tunnel the one host, else
the peer, else the address it is about, and who uses that; and ``which``: the child, else ``who``.
An event without a sentence here still comes out, as its words and fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from ipsecd.printable import printable
from ipsecd.wire.hostpair import hosts_named


@dataclass(frozen=True, slots=True)
class Told:
    """``unauthenticated``: anybody on the network can cause it, so its lines are rate-limited."""

    text: str
    unauthenticated: bool = False


STORY: dict[str, Told] = {
    # --- the daemon -----------------------------------------------------------------------------------------------
    "starting": Told("ipsecd {version} starts with {file}"),
    "group-unknown": Told("There is no group {group} here: nobody but root may control ipsecd"),
    "ready": Told("Ready: {summary}"),
    "start-failed": Told("ipsecd can't start: {reason}"),
    "last-floor-stands": Told("The floor of the last good policy stands: what it protects doesn't leave in clear"),
    "no-floor": Told("The floor of the last good policy can't be raised: {reason}"),
    "slept": Told("The machine has slept for {seconds:.0f} s: looking whether the peers are still there"),
    "stopping": Told("Stopping on {cause}; the floor stays, so what is protected doesn't leave in clear"),
    "stopping-bare": Told("Stopping on {cause}; no policy is in force, the floor of the last one stays"),
    "stopping-unprotected": Told("Stopping on {cause}; no policy is in force, nothing is protected"),
    "stop-hurried": Told("Stopping took longer than {seconds:g} s and was cut short"),
    "stopped": Told("Stopped"),
    "fault": Told("Fault in ipsecd while handling {what}: {error}; please report it", unauthenticated=True),
    "library": Told("{library}: {message}"),
    "lines-suppressed": Told("{count} more lines that anybody on the network can cause were left out"),
    "control-refused": Told("User {uid} (process {pid}) may not control ipsecd"),
    "algorithm-withdrawn": Told("{algorithm} fails its self-test and isn't offered: {reason}"),
    "no-ipv6": Told("This machine has no IPv6"),
    "no-native": Told("ESP and AH travel in UDP alone, as there are no raw sockets for anything else: {reason}"),
    # --- the policy -----------------------------------------------------------------------------------------------
    "policy-mistake": Told("{mistake}"),
    "policy-changed": Told("The policy has changed: {difference}"),
    "policy-unchanged": Told("The policy is what it was"),
    "policy-follows": Told("Names or addresses have changed, the policy follows: {difference}"),
    "policy-does-not-follow": Told("Names or addresses have changed, but the policy can't follow: {reason}"),
    "reload-failed": Told("Nothing was changed: {reason}"),
    "floor-not-as-before": Told("What failed was undone, but the floor of before can't be put back: {reason}"),
    "assigned": Told("Policy {policy} is assigned {by}"),
    "assign-failed": Told("Nothing was changed: {reason}"),
    "assigned-is-gone": Told("{file} has no policy {policy}, which ipsecctl has assigned: its own holds, {instead}"),
    "assignment-forgotten": Told("The policy file has the later word: {policy} is assigned, not {chosen} by ipsecctl"),
    "assignment-not-saved": Told("What is assigned isn't what the next start will find: {reason}"),
    "assignment-not-loaded": Told(
        "What ipsecctl has assigned can't be read: {reason}. If a policy has left its floor, that stands, and no "
        "policy is in force until ipsecctl assign or unassign; else the policy file's word holds"
    ),
    "unassigned-but-persistent": Told("No policy is in force any more, by command, but the persistent rules are"),
    "unassigned": Told("No policy is in force any more, by command: nothing is protected"),
    "nothing-assigned": Told("{why}: nothing is protected"),
    "floor-without-policy": Told(
        "{why}, but the floor of the last one stands: what that covers doesn't leave in clear until "
        "ipsecctl unassign takes the floor away"
    ),
    "unassign-failed": Told("The policy stays in force: {reason}"),
    "rule-unusable": Told("{rule}: nothing can be negotiated: {reason}"),
    "local-absent": Told("{rule}: {reason}"),
    "password-not-judged": Told("The password of user {user} wasn't looked at: {reason}", unauthenticated=True),
    "spoken-not-saved": Told("Which peers speak IKEv2 can't be kept for the next start: {reason}"),
    "spoken-not-known": Told(
        "Which peers speak IKEv2 isn't known any more, so where a rule allows both none is spoken to by IKEv1: {reason}"
    ),
    "keylog-on": Told("KEYS ARE KEPT for export (keylog: true): {peers}. Whoever gets them reads the traffic"),
    "certificate-doubtful": Told("Credential {credential}: peers will refuse our certificate, which {doubt}"),
    "short-key": Told("Credential {credential} has {octets} octets; a pre-shared key should be random and longer"),
    "name-resolved": Told("{name} is {addresses}"),
    "name-unknown": Told("{name} has no address"),
    "name-gone": Told("{name} has no address any more; what protects or blocks it still means {addresses}"),
    "names-not-saved": Told("What names and sets mean can't be kept for the next start: {reason}"),
    "names-not-loaded": Told("What names or sets meant before isn't known: {reason}"),
    "name-unanswered": Told("The DNS says nothing about {name}: {reason}; what was known of it stays"),
    "set-unseen": Told("What the set {name} is now can't be seen: {reason}; it stays what it was"),
    # --- the kernel -----------------------------------------------------------------------------------------------
    "kernel-setting": Told("A setting of this machine is in the way: {problem}"),
    "interfaces-changed": Told("Interfaces by type of connection are now: {interfaces}"),
    "reach-changed": Told("Which addresses are reached by which type of connection has changed"),
    "outside-moved": Told("Interfaces that lead to peers and to everybody else are now: {interfaces}"),
    "kernel-state-restored": Told("Something has removed or changed what is ours in the kernel; put back: {what}"),
    "kernel-state-not-restored": Told("What is ours in the kernel can't be put back: {error}"),
    "kernel-state-contested": Told("Quarrel over the kernel's state: {hint}"),
    "boot-not-loaded": Told(
        "The boot mode isn't known, so nothing but the exemptions passes until a policy is in force: {reason}"
    ),
    "boot-not-saved": Told("The boot mode stays what it was: {reason}"),
    "floor-not-owned": Told("Others can remove the floor (nft flush ruleset), until it is put back: {reason}"),
    "floor-not-saved": Told("The floor stands, but wouldn't after a reboot: {error}"),
    "tun-lost": Told("The TUN device is gone: {reason}"),
    "plane-open": Told("This kernel can't shut in the data plane's process {road} with {missing}"),
    "plane-stuck": Told("The data plane's process {road} doesn't answer any more: ending it"),
    "plane-died": Told("The data plane's process {road} has died ({how}); please report it"),
    "plane-again": Told("The data plane has been started again: what it carried is negotiated anew"),
    "plane-not-again": Told("The data plane can't be started again: {reason}"),
    "giving-up": Told("ipsecd gives up: {reason}; the floor stands, so what is protected doesn't leave in clear"),
    "roads-refuse": Told("The data plane refuses a message: {reason}"),
    "address-given": Told(
        "{peer}: the gateway has given us {addresses}; DNS servers {dns}, WINS servers {nbns}, networks {subnets}"
    ),
    "address-taken-back": Told("{peer}: what the gateway had given us is no longer ours: {addresses}"),
    "address-not-put": Told("Addresses that a gateway has given us can't be put on the TUN device: {reason}"),
    # --- IKE SAs --------------------------------------------------------------------------------------------------
    "child-wanted": Told("{child}: {source} wants to send to {destination} ({protocol})"),
    "ike-calling": Told("{rule}: calling {remote}"),
    "ike-downgraded": Told("{who}: calling by {version}, which is less safe: {reason}"),
    "ike-called-off": Told("{who}: no longer calling: {reason}"),
    "ike-established": Told("{who}: IKE SA established, {path}, {suite}, {encapsulation} encapsulation"),
    "ike-rekeyed": Told("{who}: IKE SA rekeyed, {suite}"),
    "ike-rekey-failed": Told("{who}: IKE SA not rekeyed: {reason}"),
    "ike-closed": Told("{who}: IKE SA closed: {reason}"),
    "ike-failed": Told("{who}: no IKE SA: {reason}"),
    "ike-refused": Told("{who}: refused: {reason}", unauthenticated=True),
    "sa-init-refused": Told("{remote} asked for an IKE SA, and was refused: {reason}", unauthenticated=True),
    "auth-failed": Told("{who}: authentication failed: {reason}", unauthenticated=True),
    "bad-request": Told("{who}: a request that breaks the protocol: {reason}", unauthenticated=True),
    "credential-refused": Told("{who}: the peer refuses credential {credential}; calling again with {next}"),
    "peer-dead": Told("{who}: the peer doesn't answer any more"),
    "ike-unreachable": Told("{remote}: {reason}", unauthenticated=True),
    "peer-complains": Told("{who}: {reason}"),
    "internal-error": Told("Fault in the negotiation, in {what}: {error}; please report it", unauthenticated=True),
    # --- soft SAs ---------------------------------------------------------------------------------------------------
    "soft-sa-made": Told("{rule}: {reason}: talking IN CLEAR to {remote} for {seconds:.0f} s"),
    "soft-sa-ended": Told("{rule}: no longer talking in clear to {remote} after {seconds:.0f} s: {reason}"),
    "soft-sa-refused": Told("{rule}: {remote} doesn't answer, and isn't talked to in clear: {reason}"),
    "soft-sa-failed": Told("{rule}: the floor can't be made to let {remote} pass in clear: {reason}"),
    "soft-sa-not-ended": Told(
        "The floor can't be kept from letting {remotes} pass in clear before it is time: {reason}"
    ),
    "heard-not-saved": Told("Which peers have answered can't be kept for the next start: {reason}"),
    "heard-not-forgotten": Told(
        "Which peers have answered can't be forgotten, and none of them is talked to in clear: {reason}"
    ),
    "heard-not-loaded": Told("Which peers have answered before isn't known, so none is talked to in clear: {reason}"),
    # --- the default response ---------------------------------------------------------------------------------------
    "response-begun": Told("{child}: from now on only an SA carries {filter}"),
    "response-over": Told("{child}: no SA is left, the other rules hold again for {filter}"),
    "response-failed": Told("{rule}: {reason}"),
    # --- child SAs ------------------------------------------------------------------------------------------------
    "clear-dropped": Told("{rule}: {count} packets dropped, {filter}: {reason}", unauthenticated=True),
    "integrity-failed": Told("{count} packets dropped: {reason}", unauthenticated=True),
    "replay-found": Told("{count} packets dropped: {reason}", unauthenticated=True),
    "replay-late": Told("{count} packets dropped: {reason}", unauthenticated=True),
    "spi-unknown": Told("{count} packets dropped: {reason}", unauthenticated=True),
    "child-established": Told(
        "{child}: child SA established, {filter}, {suite}, {sa_mode} mode, {protocol}, {encapsulation} encapsulation"
    ),
    "child-rekeyed": Told("{child}: child SA rekeyed, {suite}"),
    "child-rekey-failed": Told("{child}: child SA not rekeyed: {reason}"),
    "child-closed": Told("{child}: child SA closed: {reason}"),
    "child-idle": Told("{child}: child SA closed, as {reason}"),
    "child-expired": Told("{child}: child SA expired"),
    "child-unreached": Told("{child}: {reason}", unauthenticated=True),
    "child-lost": Told("{child}: child SA lost with a process of the data plane"),
    "child-failed": Told("{which}: no child SA: {reason}"),
    "child-narrowed": Told("{child}: {reason}"),
    "padding-declined": Told("{child}: the peer takes no padding, so what we send shows its sizes"),
    "install-failed": Told("{child}: {reason}"),
}


def is_unauthenticated(event: str) -> bool:
    """Whether lines about this event must be rate-limited."""
    told = STORY.get(event)
    return told is not None and told.unauthenticated


def sentence(event: str, fields: Mapping[str, Any]) -> str:
    """The event in words. Fields a sentence needs but the event lacks make it fall back to a plain listing."""
    told = STORY.get(event)
    peer = str(fields.get("peer") or "")
    who = str(fields.get("rule") or peer or fields.get("remote") or "")
    if hosts_named(peer):
        who = peer if "," in who else f"{who.partition('@')[0]}@{peer.partition('@')[2]}"
    if user := fields.get("user"):
        who += f" ({printable(str(user))})"
    known = {"who": who, "which": fields.get("child") or who, **fields}
    if told is not None and all(name is None or name in known for name in _NEEDS[event]):
        return told.text.format_map(known)
    listed = " ".join(f"{name}={_shown(value)}" for name, value in fields.items() if name != "traceback")
    words = event.replace("-", " ")
    return f"{words}: {listed}" if listed else words


def _shown(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text or not text else text


_NEEDS = {event: tuple(name for _, name, _, _ in Formatter().parse(told.text)) for event, told in STORY.items()}
