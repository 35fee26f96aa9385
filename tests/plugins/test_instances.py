"""The generator `instances`: new inputs for the instruction of each record, none of them twice."""

from __future__ import annotations

from self_instruct_kit import SEEDS, reasons, records, run

from filial import Record
from filial.testing import GeneratorContract, context
from filial_plugins.generators.instances import Instances


class TestInstancesContract(GeneratorContract):
    component = Instances(per_record=2)
    reply = "Example 1\nInput: 1\nOutput: one\nExample 2\nInput: 2\nOutput: two"


def test_instances_have_new_inputs_and_a_parent():
    said = "Example 1\nInput: 1\nOutput: one\n\nExample 2\nInput: 2\nOutput: two"
    seeds = [Record(id="a", instruction="Spell it.", input="1", output="one", task="spell"), SEEDS[0]]
    items = run(Instances(per_record=2), context(said)._ask, seeds)
    assert [(r.instruction, r.input, r.task, r.origin.parents) for r in records(items)] == [
        ("Spell it.", "2", "spell", ("a",)),
        (SEEDS[0].instruction, "1", "", ("s0",)),
        (SEEDS[0].instruction, "2", "", ("s0",)),
    ]
    assert reasons(items) == {"repeated-input": 1}


def test_instances_of_the_same_instruction_do_not_repeat_each_other():
    said = "Input: 9\nOutput: nine"
    seeds = [Record(id=name, instruction="Spell it.", input=name, output="x") for name in "abc"]
    items = run(Instances(), context(said)._ask, seeds)
    assert len(records(items)) == 1
    assert reasons(items) == {"repeated-input": 2}
