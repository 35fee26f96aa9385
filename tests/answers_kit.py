"""What a model in a folder answers to records: through its teacher, as judges ask, and straight from its own loop."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filial import Judge, Record, Reply, TeacherError, Template, Verdict
from filial.commands import examine
from filial_plugins.local.generation import answer_records
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

        window, stopped = 256, None

        async def ask(self, request):
            try:
                return await teacher.reply(request)
            except TeacherError:
                return Reply(text="")

    class Ask(Judge):
        """Asks what each record asks."""

        async def judge(self, record, candidates, ctx):
            await candidates[0].ask(record.prompt())
            return Verdict(0.0)

    async def said() -> list[str]:
        gateways: Any = {"model": Open()}
        try:
            limits: Any = {"seed": 1, "max_tokens": max_new_tokens}
            done = await examine([_record(r) for r in records], gateways, Ask(), "kit", name="kit", **limits)
        finally:
            await teacher.close()
        return [row.texts["model"][0] for row in done.rows]

    return asyncio.run(said())


def own_answers(
    folder: Path, records: Records, template: Template, *, max_new_tokens: int = 256, batch_size: int = 32
) -> list[str]:
    """From the model's own loop, with the records as the template renders them."""
    model, tokenizer = load_model(folder, encoder_decoder=True), load_tokenizer(folder)
    limits: dict[str, Any] = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
    asked = [_record(r) for r in records]
    return [text for text, _ in answer_records(model, tokenizer, asked, template.bind(tokenizer), **limits)]


def note_template(folder: Path, spec: dict[str, Any]) -> None:
    """Let a model's folder say which template it was trained with."""
    (folder / "filial_template.json").write_text(json.dumps(spec))


def _record(one: Record | str) -> Record:
    return Record(instruction=one) if isinstance(one, str) else one
