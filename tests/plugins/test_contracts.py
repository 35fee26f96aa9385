"""The built-ins pass the very contracts that `filial.testing` offers to third parties."""

import pytest
from tokenizer_kit import FORMAT_TOKENS, SPECIAL, byte_level

from filial import Mixer, Template
from filial.testing import MixerContract, TemplateContract
from filial_plugins.mixers.weights import Weights
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.chat import NEEDS, Chat
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.vicuna import Vicuna


class TestAlpaca(TemplateContract):
    component: Template = Alpaca()


class TestChat(TemplateContract):
    @pytest.fixture(autouse=True, params=NEEDS)
    def _in_each_named_format(self, request: pytest.FixtureRequest) -> None:
        self.component = Chat(format=request.param).bind(byte_level(special=(*SPECIAL, *FORMAT_TOKENS)))


class TestPlain(TemplateContract):
    component: Template = Plain()


class TestVicuna(TemplateContract):
    component: Template = Vicuna()


class TestWeights(MixerContract):
    component: Mixer = Weights()
