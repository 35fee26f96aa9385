"""What a model in a folder answers to records: through its teacher, as judges ask, and straight from its own loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filial import Record, Reply, TeacherError, Template
from filial.contracts.context import Candidate
from filial.engine.judge import Answerer, candidates
from filial.engine.stage import StageContext
from filial_plugins.local.models import ended_replies
from filial_plugins.local.pretrained import load_model, load_tokenizer
from filial_plugins.teachers.transformers import Transformers

Records = Sequence[Record | str]


def answers(
    folder: Path, records: Records, template: Template, *, max_new_tokens: int = 256, batch_size: int = 32
) -> list[str]:
    """Through the teacher; empty where it gives none."""
    teacher = Transformers(model=str(folder), dtype="float32", batch_size=batch_size, threads=1).for_template(template)

    class Open:
        """A gateway that lets everything through."""

        async def ask(self, request):
            try:
                return await teacher.reply(request)
            except TeacherError:
                return Reply(text="")

    env = StageContext(stage="judge", seed=1, writer=None)
    seated = candidates([(Answerer("model", "t", teacher, own=True), Open())], env, max_new_tokens)

    async def said() -> list[str]:
        asked = [_record(r) for r in records]
        present: list[Candidate] = [seated(record)[0] for record in asked]
        try:
            found = await asyncio.gather(*(c.ask(r.prompt()) for c, r in zip(present, asked, strict=True)))
        finally:
            await teacher.close()
        return [reply.text for reply in found]

    return asyncio.run(said())


def own_answers(
    folder: Path, records: Records, template: Template, *, max_new_tokens: int = 256, batch_size: int = 32
) -> list[str]:
    """From the model's own loop, with the records as the template renders them."""
    model, tokenizer = load_model(folder, encoder_decoder=True), load_tokenizer(folder)
    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    asked = [_record(r) for r in records]
    return [text for text, _ in ended_replies(model, tokenizer, asked, template.bind(tokenizer), **limits)]


def note_template(folder: Path, spec: dict[str, Any]) -> None:
    """Let a model's folder say which template it was trained with."""
    (folder / "filial_template.json").write_text(json.dumps(spec))


def _record(one: Record | str) -> Record:
    return Record(instruction=one) if isinstance(one, str) else one
