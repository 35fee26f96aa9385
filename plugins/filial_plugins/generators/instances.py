"""Write more examples of existing tasks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from filial import Context, Drop, Field, Generator, Origin, Record, hookimpl, in_order
from filial_plugins.generators.self_instruct.examples import CLASSIFICATION, WINDOW, ExampleWriter
from filial_plugins.generators.self_instruct.styles import load_prompts, make_settings


class Instances(Generator):
    """Write more examples with new inputs for the instruction of each input record.

    One request per record, in the form and with the filters of `self-instruct`; for records tagged ``classification``,
    examples are written label first. Only new records are yielded; their parent is the input record, and they have its
    task. An input that the instruction already has, in the input records or in an earlier example, is dropped as
    ``repeated-input``. Conversations are skipped.
    """

    per_record: int = Field(1, ge=1, le=100, description="Examples per input record.")

    async def generate(self, seeds: Sequence[Record], ctx: Context) -> AsyncIterator[Record | Drop]:
        tasks = [seed for seed in seeds if seed.instruction]
        known = {(seed.instruction, seed.input) for seed in tasks}
        chosen = make_settings("filial", {"classification": "skip", "instances": self.per_record})
        writer = ExampleWriter(chosen, load_prompts(chosen))

        async def more(work: tuple[int, Record]) -> list[Record | Drop]:
            (found,) = await writer.write([_make_base(work[1])], ctx.derive("record", work[0]))
            return found

        async for _, results in in_order(enumerate(tasks), more, WINDOW):
            for result in results:
                if isinstance(result, Record):
                    example = (result.instruction, result.input)
                    if example in known:
                        yield Drop("repeated-input", "this instruction already has that input", record=result)
                        continue
                    known.add(example)
                yield result


def _make_base(seed: Record) -> Record:
    """Return a record with the fields that an example takes over from its seed."""
    origin = Origin(parents=(seed.id,) if seed.id else (), round=seed.origin.round)
    tags = (CLASSIFICATION,) if CLASSIFICATION in seed.tags else ()
    return Record(instruction=seed.instruction, task=seed.task, tags=tags, origin=origin)


@hookimpl
def register_generators(register: Callable[[str, type[Generator]], None]) -> None:
    register("instances", Instances)
