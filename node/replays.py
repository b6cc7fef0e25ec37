"""Whatever an auditor may compute again: calls, statistics, messages of jobs.

`node.transcript` finds each kind in an export, `contracts` computes it; here both ask
for the kind no more.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

from contracts import psi_transcript
from contracts.aggregate_transcript import AggregateCase, AggregateTranscripts
from contracts.job_transcript import JobCase, JobTranscripts
from contracts.private_transcript import PrivateCase, PrivateTranscripts
from contracts.psi_transcript import PsiCase
from contracts.transcript import Case, Replayed, Share, Transcripts
from node import clock
from node.auditor import Auditor
from node.domain import TrustDomain
from node.errors import NotFound
from node.progress import Progress, silent
from node.transcript import (
    find_aggregates,
    find_audits,
    find_cases,
    find_messages,
    find_private,
    find_sessions,
)

AnyCase: TypeAlias = Case | AggregateCase | JobCase | PrivateCase | PsiCase


def find(folder: Path, trust: TrustDomain, name: bytes) -> Sequence[AnyCase]:
    """Find a call, a statistic, a session, a message of a job, or all of a job.

    Raises `NotFound`, and `ExportInvalid`.
    """
    try:
        return find_cases(folder, trust, [name])
    except NotFound:
        for others in (
            find_private,
            find_aggregates,
            find_audits,
            find_sessions,
            find_messages,
        ):
            with suppress(NotFound):
                return others(folder, trust, [name])
        raise


def replayed(
    auditor: Auditor,
    trust: TrustDomain,
    cases: Sequence[AnyCase],
    shares: Sequence[Share],
    progress: Progress = silent,
) -> Iterator[Replayed]:
    """Compute a call again, or some messages of a job, from the shares of its seed."""
    jobs: JobTranscripts | None = None  # its table is long
    for done, case in enumerate(cases):
        progress(done, len(cases))
        match case:
            case AggregateCase():
                yield AggregateTranscripts(trust.paillier).replay(
                    case,
                    shares,
                    auditor.attributes(case),
                    lambda number, of=case: auditor.block(of, number),  # type: ignore[misc]
                )
            case JobCase():
                jobs = jobs or JobTranscripts(trust.paillier)
                yield jobs.replay(case, shares, auditor.job_block)
            case PrivateCase():
                yield PrivateTranscripts(trust.paillier).replay(
                    case, shares, auditor.job_block
                )
            case PsiCase():
                yield psi_transcript.replay(
                    case,
                    shares,
                    auditor.session_points(case, evaluated=False),
                    auditor.session_points(case, evaluated=True),
                    clock.now_ms(),
                )
            case Case():
                yield Transcripts(trust.paillier).replay(
                    case, shares, auditor.blocks(case)
                )
