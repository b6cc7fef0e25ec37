"""One consent in the place of another 授权替代, by one entry of the journal.

A subject signs anew, for longer, for more banks or for less.  Withdrawing the old
consent and granting a new one would be two entries with a gap, or worse an overlap,
between them.  So the new consent names the old one, and the entry that grants it ends
the other: calls are decided by which side of that entry they stand on, at each node
by the order of its own journal.  What was permitted before counts as released; what
was permitted and not yet decrypted is asked about once more (`decide.stands`).

Uses are not carried over, because the new consent has limits of its own; what may be
revealed of a subject is counted by subject and not by consent, and so goes on.  A
consent is replaced once; the new one may be replaced in turn.  The old one is over
also where the new one begins later or does not cover as much: the newer word of the
subject holds.

>>> from contracts.consent import Evidence, SubjectType
>>> one = Consent(
...     "c-1", bytes(32), SubjectType.OPAQUE, ("bank-a",), ("loan",),
...     ("dataset:tax",), 0, 10, None, None, False, Evidence.ONLINE, b"", 0, "registry",
... )
>>> two = replace(one, consent_id="c-2", supersedes="c-1", not_after_ms=20)
>>> old = Grant(one, Status.SUSPENDED, b"p")
>>> superseded(two, b"p", old).status
<Status.SUPERSEDED: 'superseded'>
>>> superseded(two, b"q", old)
Traceback (most recent call last):
    ...
contracts.errors.ConsentConflict: consent `c-2` supersedes `c-1`, which is about \
another subject
"""

from dataclasses import replace

from contracts.consent import Consent, Status
from contracts.decide import Grant
from contracts.errors import ConsentConflict


def superseded(new: Consent, subject: bytes, old: Grant | None) -> Grant:
    """Return how the old consent stands from the entry of `new` on.

    `subject` is the node's pseudonym of the new one's subject.

    1. The old consent is known.
    2. The same registrar signed both.
    3. Both are about the same subject.
    4. The old one is active or suspended: what is withdrawn is not replaced but granted
       anew.
    5. The new one was not given before the old one: an earlier word replaces none.

    Raises `ConsentConflict`, and `RuntimeError` for another consent than it names.
    """
    name = f"consent `{new.consent_id}` supersedes `{new.supersedes}`, which"
    # 1
    if old is None:
        raise ConsentConflict(f"{name} is not known", "send the old consent first")
    if old.consent.consent_id != new.supersedes:
        raise RuntimeError("the grant is not the consent that is superseded")
    # 2
    if old.consent.registrar != new.registrar:
        raise ConsentConflict(f"{name} was signed by another registrar")
    # 3
    if (old.subject, old.consent.subject_type) != (subject, new.subject_type):
        raise ConsentConflict(f"{name} is about another subject")
    # 4
    if old.status not in (Status.ACTIVE, Status.SUSPENDED):
        raise ConsentConflict(
            f"{name} is {old.status}",
            "supersede the consent that took its place"
            if old.status is Status.SUPERSEDED
            else "grant the new consent by itself",
        )
    # 5
    if new.granted_at_ms < old.consent.granted_at_ms:
        raise ConsentConflict(f"{name} was given later")
    return replace(old, status=Status.SUPERSEDED)
