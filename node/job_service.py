"""The services of jobs: the house's desk for banks, the authority's for the house."""

from collections.abc import Iterator

from node.domain import Role
from node.job_authority import JobAuthority
from node.jobs import Jobs
from node.server import Call, Desk, serves, streams
from node.status import from_wire
from node.wire.v1 import (
    job_evaluation_pb2,
    job_evaluation_pb2_grpc,
    job_pb2,
    job_pb2_grpc,
)
from protocols.errors import FormatError


class JobService(job_pb2_grpc.JobServiceServicer):
    """Serves banks; each sees its own jobs."""

    def __init__(self, desk: Desk, jobs: Jobs) -> None:
        self.desk = desk
        self._jobs = jobs

    @serves(Role.BANK)
    def SubmitJob(  # noqa: N802
        self, request_iterator: Iterator[job_pb2.SubmitJobRequest], call: Call
    ) -> job_pb2.SubmitJobResponse:
        """Take a job and its list."""
        first = next(iter(request_iterator), None)
        if first is None or first.WhichOneof("piece") != "job":
            raise FormatError("expected the signed job first")
        pieces = _entries(request_iterator)
        logged = self._jobs.submit(call, from_wire(first.job), pieces)
        return job_pb2.SubmitJobResponse(logged=logged)

    @streams(Role.BANK)
    def WatchJob(  # noqa: N802
        self, request: job_pb2.WatchJobRequest, call: Call
    ) -> Iterator[job_pb2.WatchJobResponse]:
        """Stream a job's progress."""
        for progress in self._jobs.watch(call, request.job):
            yield job_pb2.WatchJobResponse(progress=progress)

    @streams(Role.BANK)
    def FetchJob(  # noqa: N802
        self, request: job_pb2.FetchJobRequest, call: Call
    ) -> Iterator[job_pb2.FetchJobResponse]:
        """Stream what a job has released."""
        yield from self._jobs.fetch(call, request)

    @serves(Role.BANK)
    def CancelJob(  # noqa: N802
        self, request: job_pb2.CancelJobRequest, call: Call
    ) -> job_pb2.CancelJobResponse:
        """End a job."""
        progress = self._jobs.cancel(call.caller, from_wire(request.cancel))
        return job_pb2.CancelJobResponse(progress=progress)

    @serves(Role.BANK)
    def ListJobs(  # noqa: N802
        self, request: job_pb2.ListJobsRequest, call: Call
    ) -> job_pb2.ListJobsResponse:
        """List the caller's jobs."""
        return job_pb2.ListJobsResponse(
            jobs=self._jobs.list(call.caller, request.limit)
        )

    @serves(Role.BANK)
    def CommitJobResult(  # noqa: N802
        self, request: job_pb2.CommitJobResultRequest, call: Call
    ) -> job_pb2.CommitJobResultResponse:
        """Keep a bank's commitment."""
        self._jobs.commit_result(call.caller, from_wire(request.result))
        return job_pb2.CommitJobResultResponse()


class JobEvaluationService(job_evaluation_pb2_grpc.JobEvaluationServiceServicer):
    """Serves the house, nobody else."""

    def __init__(self, desk: Desk, authority: JobAuthority) -> None:
        self.desk = desk
        self._authority = authority

    @serves(Role.HOUSE)
    def AdmitJob(  # noqa: N802
        self, request: job_evaluation_pb2.AdmitJobRequest, _call: Call
    ) -> job_evaluation_pb2.AdmitJobResponse:
        """Take a job while it is fresh."""
        self._authority.admit(from_wire(request.job))
        return job_evaluation_pb2.AdmitJobResponse()

    @serves(Role.HOUSE)
    def PermitJob(  # noqa: N802
        self, request: job_evaluation_pb2.PermitJobRequest, call: Call
    ) -> job_evaluation_pb2.PermitJobResponse:
        """Decide a stretch in one transaction."""
        call.check_alive()
        return self._authority.permit(request)

    @serves(Role.HOUSE)
    def EvaluateJob(  # noqa: N802
        self, request: job_evaluation_pb2.EvaluateJobRequest, call: Call
    ) -> job_evaluation_pb2.EvaluateJobResponse:
        """Decrypt permitted blocks, each once."""
        call.check_alive()
        return self._authority.evaluate(request)


def _entries(
    pieces: Iterator[job_pb2.SubmitJobRequest],
) -> Iterator[job_pb2.JobEntries]:
    for piece in pieces:
        if piece.WhichOneof("piece") != "entries":
            raise FormatError("expected the entries after the job")
        yield piece.entries
