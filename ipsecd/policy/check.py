"""Everything ``ipsecd check`` says of a policy file."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ipsecd.errors import ConfigError, Mistake
from ipsecd.policy.load import load_policy
from ipsecd.policy.nodes import in_order
from ipsecd.policy.notes import notes
from ipsecd.policy.unsupported import unsupported


@dataclass(frozen=True, slots=True)
class Verdict:
    """``mistakes`` make the file unusable. ``refused`` is what run and reload refuse of the assigned policy; ``notes``
    stop nothing, and hold what they would refuse of policies that aren't assigned."""

    mistakes: tuple[Mistake, ...] = ()
    refused: tuple[Mistake, ...] = ()
    notes: tuple[Mistake, ...] = ()

    @property
    def good(self) -> bool:
        """Whether the file has no mistakes; ``ipsecd check`` exits with 0 then."""
        return not self.mistakes

    def lines(self) -> tuple[str, ...]:
        """What to print, a line each."""
        refused = {replace(note, message=f"run refuses this: {note.message}") for note in self.refused}
        remarks = in_order({*refused, *self.notes}, "notes")
        return (*map(str, self.mistakes), *(f"{note} [note]" for note in remarks))


def check(text: str, file: str) -> Verdict:
    """The verdict on a policy file's text; ``file`` is its name in messages."""
    try:
        policy_file = load_policy(text, file)
    except ConfigError as error:
        return Verdict(mistakes=error.mistakes)
    refused = unsupported(policy_file)
    others = {note for policy in policy_file.content.policies for note in unsupported(policy_file, policy)}
    return Verdict(refused=refused, notes=(*notes(policy_file), *sorted(others - set(refused), key=str)))
