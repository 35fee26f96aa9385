from filial_pirate import Pirate

from filial.testing import StrategyContract, context, run_async


class TestPirate(StrategyContract):
    component = Pirate()


class TestTexan(StrategyContract):
    component = Pirate(accent="texan")
    reply = "Howdy! Reckon ya could name three colours?"


def test_accent_is_in_the_prompt():
    asked = []

    def teacher(request):
        asked.append(request.messages[-1].content)
        return "Arr, name three colours!"

    child = run_async(Pirate(accent="bristol").evolve(StrategyContract.records[0], context(teacher)))
    assert child.instruction == "Arr, name three colours!"
    assert asked == ["Retell this task as a bristol pirate would:\n\nName three colours."]
