"""The built-ins pass the very contracts that `filial.testing` offers to third parties."""

from filial import Mixer, Template
from filial.testing import MixerContract, TemplateContract
from filial_plugins.mixers.weights import Weights
from filial_plugins.templates.alpaca import Alpaca
from filial_plugins.templates.plain import Plain
from filial_plugins.templates.vicuna import Vicuna


class TestAlpaca(TemplateContract):
    component: Template = Alpaca()


class TestPlain(TemplateContract):
    component: Template = Plain()


class TestVicuna(TemplateContract):
    component: Template = Vicuna()


class TestWeights(MixerContract):
    component: Mixer = Weights()
