"""Word patterns of requests that should not be trained on, by category and level.

Each pattern is a regular expression over lower-cased text with single blanks; word boundaries are put round
it. A level includes the ones before it.
"""

from __future__ import annotations

from typing import Literal

Level = Literal["lenient", "normal", "strict"]
LEVELS: tuple[Level, ...] = ("lenient", "normal", "strict")


def _any_of(*words: str) -> str:
    return f"(?:{'|'.join(words)})"


_SOME = r"(?:[\w'-]+ ){0,4}"
_FEW = r"(?:[\w'-]+ ){0,3}"
_MAKE = _any_of(
    *("make", "making", "build", "building", "construct", "create", "creating", "assemble", "produce"),
    *("prepare", "craft", "synthesi[sz]e", "synthesi[sz]ing"),
)
_HOW = _any_of("how (?:to|do i|can i|would i|could i)", "steps? (?:to|for)", "instructions? (?:to|for|on)",
            "guide (?:to|for)", "ways? to")  # fmt: skip
_CHILD = _any_of("child", "children", "minors?", "underage", "pre-?teens?", "toddlers?",
              "(?:1[0-7]|[1-9])[- ]year[- ]olds?")  # fmt: skip
_SEXUAL = _any_of("sex", "sexual(?:ly)?", "sexy", "erotica?", "porn(?:ography|ographic)?", "nudes?", "naked")
_GROUP = _any_of(
    *("jews", "muslims", "christians", "hindus", "blacks", "black people", "white people", "asians", "arabs"),
    *("africans", "immigrants", "refugees", "gays", "gay people", "lesbians", "trans people", "women"),
    *("disabled people", "roma"),
)
_LOWER = _any_of("inferior", "vermin", "sub-?human", "parasites", "filth", "scum", "animals", "worthless")
_EXPLOSIVE = _any_of(
    *("pipe bomb", "car bomb", "nail bomb", "bomb", "explosive(?: device)?", "molotov(?: cocktail)?"),
    *("grenade", "landmine", "detonator", "ied", "thermite", "napalm"),
)
_TOXIN = _any_of("nerve (?:agent|gas)", "sarin", "vx gas", "mustard gas", "ricin", "anthrax", "botulinum toxin")
_DRUG = _any_of(
    "(?:crystal )?meth", "methamphetamine", "heroin", "fentanyl", "(?:crack )?cocaine", "lsd", "mdma", "ghb"
)
_MALWARE = _any_of("ransomware", "malware", "keylogger", "trojan", "rootkit", "botnet", "spyware",
                "computer (?:virus|worm)")  # fmt: skip
_TARGET = _any_of("account", "bank", "server", "website", "network", "phone", "wi-?fi", "computer", "system", "e-?mail")
_PERSON = _any_of("person", "man", "woman", "child", "wife", "husband", "boss", "neighbou?r", "girlfriend", "boyfriend")

PATTERNS: dict[str, dict[Level, tuple[str, ...]]] = {
    "child-abuse": {
        "lenient": (
            f"{_SEXUAL} {_SOME}{_CHILD}",
            f"{_CHILD} {_SOME}{_SEXUAL}",
            f"groom(?:ing)? (?:a |the |an )?{_CHILD}",
            "loli(?:con)?",
        ),
    },
    "weapons": {
        "lenient": (
            f"{_MAKE} {_SOME}{_TOXIN}",
            f"{_MAKE} {_SOME}(?:nuclear|atomic|dirty|biological|chemical) (?:bomb|weapon|device)s?",
            "(?:weaponi[sz]e|weaponi[sz]ing) (?:a |the )?(?:virus|pathogen|anthrax|smallpox|ebola)",
        ),
        "normal": (
            f"{_MAKE} {_FEW}{_EXPLOSIVE}s?",
            f"{_MAKE} {_SOME}(?:ghost gun|untraceable (?:gun|firearm)|auto sear)s?",
            rf"{_HOW} {_SOME}(?:blow up|bomb) (?:a|an|the|my) \w+",
        ),
        "strict": ("(?:mass shooting|school shooting|assault rifle)s?",),
    },
    "drugs": {
        "normal": (
            f"(?:{_MAKE}|cook|cooking) {_SOME}{_DRUG}",
            f"{_HOW} {_SOME}(?:spike|drug) (?:someone|somebody|a girl|a woman|her drink|his drink)",
        ),
        "strict": (f"{_HOW} (?:buy|get|sell|smuggle|grow|take) {_SOME}(?:drugs|weed|cannabis|ecstasy|{_DRUG})",),
    },
    "self-harm": {
        "lenient": (
            f"{_HOW} {_SOME}(?:kill myself|commit suicide|end my (?:own )?life|hang myself|overdose on)",
            "(?:painless|easiest|best|quickest) (?:ways?|methods?) (?:to|of) (?:die|suicide|kill (?:myself|yourself))",
        ),
        "normal": (
            "(?:you should|go and|go) kill yourself",
            r"(?:encourage|convince|persuade) (?:\w+ ){1,4}(?:to )?commit suicide",
            f"{_HOW} {_SOME}(?:cut|starve|hurt) myself",
            "pro-?(?:ana|anorexia)",
        ),
        "strict": ("suicid(?:e|al)", "self-?harm(?:ing)?"),
    },
    "violence": {
        "normal": (
            rf"{_HOW} {_SOME}(?:murder|poison|kidnap|torture|strangle|stab|assassinate|behead|rape) \w+",
            f"{_HOW} kill (?:someone|somebody|people|him|her|(?:a|my|the|an?other) {_PERSON})",
            "get away with (?:murder|killing|rape)",
        ),
        "strict": ("(?:gore|tortured?|behead(?:ing|ed)?|dismember(?:ed|ing|ment)?|massacre)",),
    },
    "hate": {
        "normal": (
            f"{_GROUP} (?:are|is|were) (?:all |just |nothing but |really |simply )?{_LOWER}",
            f"(?:kill|exterminate|gas|eradicate|lynch|wipe out) (?:all |the |every )?{_GROUP}",
            "(?:white|aryan) (?:supremacy|master race) is",
            "(?:heil hitler|holocaust (?:was a hoax|never happened))",
        ),
        "strict": (f"(?:hate|despise|disgusting) {_GROUP}", "racial slurs?"),
    },
    "malware": {
        "normal": (
            f"(?:write|code|develop|program|{_MAKE}) {_SOME}{_MALWARE}s?",
            f"{_HOW} {_SOME}(?:ddos|hack(?: into)?|break into) {_SOME}{_TARGET}s?",
            "phishing (?:e-?mail|page|site|message|kit)s? (?:to|that|for)",
        ),
        "strict": ("(?:sql injection attack|zero-day exploit|reverse shell|exploit code)s?",),
    },
    "fraud": {
        "normal": (
            f"{_HOW} {_SOME}(?:launder money|clone credit cards?|evade taxes|run a scam|counterfeit money)",
            f"{_HOW} {_SOME}steal (?:an? |someone'?s )?identit(?:y|ies)",
            "(?:fake|forged|counterfeit) (?:passport|banknote|driver'?s licen[cs]e|id card)s?",
        ),
        "strict": ("(?:shoplift(?:ing)?|hot-?wir(?:e|ing)|stolen credit cards?)",),
    },
    "sexual": {
        "strict": (
            "(?:porn(?:ography|ographic)?|erotica|hardcore sex|blow ?job|orgasms?|masturbat(?:e|ion|ing))",
            "(?:explicit|graphic) sexual",
            "sex (?:scene|story|stories|tape)s?",
        ),
    },
}
