"""Record all requests to teachers and their answers in a file of the run's folder."""

from __future__ import annotations

from filial import Asker, Field, HookPlugin, Reply, Request, RunInfo, Teacher, TeacherError, hookimpl
from filial.gateway import write_failure
from filial_plugins.ledger.cassette import CassetteWriter


class Recorder(HookPlugin):
    """Record each request to a teacher and its answer.

    The format is that of `filial ledger export`; `filial ledger import` reads it. A continued run appends to the file.
    Finished stages are not asked again, and so not recorded again.
    """

    file: str = Field(
        default="cassette.jsonl", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.jsonl$",
        description="Name of the file in the run's folder.",
    )  # fmt: skip
    _writer: CassetteWriter | None = None

    @hookimpl
    def run_started(self, run: RunInfo) -> None:
        if run.teacher:
            words = run.teacher.rpartition(":")[2], run.recipe["teacher"]["use"]
            self._writer = CassetteWriter(run.folder / self.file, run.teacher, *words)

    @hookimpl(trylast=True)
    async def ask(self, request: Request, teacher: Teacher, proceed: Asker) -> Reply:
        """Record the reply or the final failure. The hook runs last, so it sees the question as the teacher gets it."""
        try:
            reply = await proceed(request)
        except TeacherError as error:
            if self._writer is not None and error.key:
                self._writer.record(teacher, request, write_failure(error))
            raise
        if self._writer is not None:
            self._writer.record(teacher, request, reply)
        return reply

    @hookimpl
    def run_finished(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
