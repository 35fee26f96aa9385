"""The built-ins pass the very contracts that `filial.testing` offers to third parties."""

import pytest
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, byte_level

from filial import Format, Mixer, Template
from filial.testing import FormatContract, MixerContract, TemplateContract
from filial_plugins.formats.alpaca import Alpaca as AlpacaRows
from filial_plugins.formats.axolotl import Axolotl
from filial_plugins.formats.candidates import Candidates
from filial_plugins.formats.dialogues import Dialogues
from filial_plugins.formats.llamafactory import LLaMAFactory
from filial_plugins.formats.openai_chat import OpenAIChat
from filial_plugins.formats.pairs import Pairs
from filial_plugins.formats.parquet import Parquet
from filial_plugins.formats.preferences import Preferences
from filial_plugins.formats.prompts import Prompts
from filial_plugins.formats.seeds import Seeds
from filial_plugins.formats.sharegpt import ShareGPT
from filial_plugins.formats.trl import TRL
from filial_plugins.mixers.examples_proportional import ExamplesProportional
from filial_plugins.mixers.proportional import Proportional
from filial_plugins.mixers.temperature import Temperature
from filial_plugins.mixers.weights import Weights
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import NEEDED_TOKENS, Chat
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.vicuna import Vicuna


class TestAlpaca(TemplateContract):
    component: Template = Alpaca()


class TestChat(TemplateContract):
    @pytest.fixture(autouse=True, params=NEEDED_TOKENS)
    def _in_each_named_format(self, request: pytest.FixtureRequest) -> None:
        self.component = Chat(format=request.param).bind(byte_level(special=(*SPECIAL, *FORMAT_TOKENS)))


class TestPlain(TemplateContract):
    component: Template = Plain()


class TestVicuna(TemplateContract):
    component: Template = Vicuna()


class TestWeights(MixerContract):
    component: Mixer = Weights()


class TestProportional(MixerContract):
    component: Mixer = Proportional()


class TestExamplesProportional(MixerContract):
    component: Mixer = ExamplesProportional(maximum=3000)


class TestTemperature(MixerContract):
    component: Mixer = Temperature()


ANSWERED = tuple(record for record in FormatContract.records if record.answer())
"""Layouts for training refuse questions alone."""


class TestAlpacaRows(FormatContract):
    component: Format = AlpacaRows()


class TestAxolotl(FormatContract):
    component: Format = Axolotl()
    records = ANSWERED


class TestLLaMAFactory(FormatContract):
    component: Format = LLaMAFactory()
    records = ANSWERED


class TestTRL(FormatContract):
    component: Format = TRL()
    records = ANSWERED


class TestCandidates(FormatContract):
    component: Format = Candidates()
    rows = (
        {
            "prompt": "Name a river.",
            "completions": [{"response": "The Elbe.", "score": 1}, {"response": "Bonn.", "score": 0}],
        },
    )


class TestDialogues(FormatContract):
    component: Format = Dialogues()
    rows = ({"conversation": [{"role": "user", "content": "Hello?"}]}, {"id": "a", "data": ["2+2?", "4"]})


class TestOpenAIChat(FormatContract):
    component: Format = OpenAIChat()


class TestPairs(FormatContract):
    component: Format = Pairs()
    rows = ({"prompt": "Name a river.", "completion": "The Elbe."}, {"question": "2+2?", "context": "", "answer": "4"})


class TestParquet(FormatContract):
    component: Format = Parquet()


class TestPreferences(FormatContract):
    component: Format = Preferences()
    rows = ({"prompt": "Name a river.", "chosen": "The Elbe.", "rejected": "Bonn."},)


class TestPrompts(FormatContract):
    component: Format = Prompts()
    rows = ({"prompt": "Name a river."}, {"question_id": 1, "turns": ["2+2?", "And 3+3?"]})


class TestSeeds(FormatContract):
    component: Format = Seeds()


class TestShareGPT(FormatContract):
    component: Format = ShareGPT()
