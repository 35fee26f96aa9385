"""Sentences about a request instead of an answer to it, as patterns over small letters."""

from __future__ import annotations

import re


def _any_of(*forms: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{form})" for form in forms))


_INPUT = (
    r"(?:input|text|passage|paragraph|article|sentence|document|file|image|picture|photo|attachment|link|code|table|"
    r"data|list|words?|numbers?|items?|entries|values?|names?|topic|details?|information|context|question|material|"
    r"content|message|request|prompt|story|email|example|instruction)s?"
)
"""What people forget to send."""
_GIVE = (
    r"(?:provide|share|send|paste|enter|give|supply|attach|include|add|specify|clarify|upload|insert|type|submit|show|"
    r"post|explain|rephrase|elaborate|repeat|resend|be (?:more|a (?:bit|little) more))"
)
_GIVEN = r"(?:provided|shared|sent|pasted|given|supplied|attached|included|specified|uploaded|mentioned|visible|clear)"
_YOUR = r"(?:your|the|this|that|my|any|an?|enough|some)"
_UNABLE = (
    r"(?:cannot|can't|can not|could not|couldn't|won't|will not|(?:am|'m|was) (?:unable|not able|not allowed|"
    r"not trained|not designed|not programmed|not made)(?: to)?|do not know how to|don't know how to)"
)
_WORK = (
    r"(?:do|answer|help(?! but\b)|assist|process|work|read|solve|tell|say|determine|find|make sense|understand|"
    r"perform|complete|rewrite|see|open|access|browse|view|follow|give|provide|respond|reply|comply|fulfil|fulfill|handle|identify|"
    r"calculate|write|generate|continue|carry|be of|locate|recogni[sz]e|retrieve|load|parse|interpret|translate|sort)"
)
_SEEMS = r"(?:it (?:looks like|seems|appears)(?: that| as if)? |i (?:think|believe|fear)(?: that)? )"

OPENING = _any_of(
    r"(?:sure(?: thing)?|certainly|of course|absolutely|definitely|okay|ok|alright|all right|right|understood|got it|"
    r"noted|i see|i understand|no problem|will do|with pleasure|gladly|sounds good|perfect|cool)(?=[\s,.!:…-]*$|[,-])",
)
"""A word of assent: the whole sentence, or with a comma behind it."""
FILLER = _any_of(r"(?:hmm+|um+|oh|ah|well|so|now|unfortunately|sadly|honestly|yes,|i(?:'m| am) afraid(?: that)?),?\s+")
"""What a sentence may begin with without saying anything."""
PRAISE = _any_of(
    r"(?:thanks?|thank you|great)[.!,:…]*$",
    r"(?:thank you|thanks) for (?:the|your|sharing|sending|asking|reaching|providing)\b",
    r"(?:(?:that(?:'s| is) )?an? )?(?:great|good|interesting|excellent) (?:question|point)[.!,:…]*$",
)
COURTESY = _any_of(
    r"(?:hello|hi|hey),? (?:and )?welcome\b|ask me (?:anything|any)\b|(?:please )?(?:check|try) (?:again|your)\b",
    r"(?:hello|hi|hey|welcome|yes|no|please wait|one moment)(?: there| again| a moment)?[.!,:…]*$",
)
PROMISE = _any_of(
    r"(?:i(?:'d| would|'ll| will|'m| am) (?:be )?(?:more than |very |always )?)?(?:happy|glad|delighted|pleased) to "
    r"(?:help|assist|do|write|answer|work)",
    r"i(?:'d| would) (?:love|like) to (?:help|assist|answer)\b",
    r"i can (?:\w+ly )?(?:help|assist|do (?:that|this|it))\b",
    r"i(?:'m| am) (?:ready|here|waiting)\b"
    r"(?: to (?:help|assist|start|begin)| when(?:ever)? you\b.{0,30}| for .{0,30})?[.!]*$",
    r"(?:waiting|ready) (?:(?:for|when) (?:your|the|you)|to (?:help|assist|start|begin))\b",
    r"(?:processing|loading|working on)\b.{0,30}[.…]+$",
    r"(?:please )?(?:give|allow) me (?:a|one|some)\b|i(?:'ll| will) be (?:right |straight )?back\b",
    r"(?:let me|let's|i(?:'ll| will)|i(?:'m| am) going to|allow me to) "
    r"(?:think|see|check|look|work|start|begin|get|try|do (?:that|this|it)|take a look)\b",
    r"(?:here(?:'s| is| are| it is| they are| you go| goes)|(?:below|following) (?:is|are)|(?:the|my|your) "
    r"(?:final )?(?:answer|result|output|response)s? (?:is|are))\b[^.!?]{0,60}[:…]+$",
    r"(?:as requested,? )?here(?:'s| is| are) (?:the|your|my) (?:\w+ ){0,2}"
    rf"(?:answers?|results?|outputs?|{_INPUT})[.!…:]+$",
    r"\[(?:insert|your|add|write)\b[^\]]*\]$",
)
"""Says that an answer will come."""
PROMISE_AFTER_ASSENT = _any_of(
    r"i(?:'ll| will| can| am going to|'m going to| have (?:read|received|seen|noted))\b",
    r"\w+ing\b.{1,60}\bnow[.!…]*$",
)
"""Behind a word of assent: another."""
ASIDE = _any_of(
    r"i(?:'m| am) (?:just |only )?an? (?:\w+ ){0,2}(?:ai|bot|chatbot|assistant|language model|computer program)\b",
    r"as an? (?:\w+ ){0,3}(?:ai|bot|chatbot|assistant|language model)\b",
)
"""Says who speaks; no answer alone, and none with other talk."""
REQUEST = _any_of(
    rf"(?:i need you|you(?:'ll| will| would)? (?:need|have|must|should))(?: first)?(?: to)? {_GIVE}\b",
    rf"(?:if (?:possible|so), )?(?:please|kindly),? (?:\w+ly )?{_GIVE}\b",
    rf"(?:could|can|would|will) you (?:please |kindly |perhaps |also |maybe )*{_GIVE}\b",
    r"(?:could|can|would|will) you (?:please |kindly )?tell me "
    r"(?:what|which|how|more\?|(?:a bit )?more about (?:the|what|this))",
    r"please,? tell me\b",
    r"(?:would you mind|do you mind) \w+ing\b",
    r"(?:may|can|could) i (?:see|have|get|ask|know)\b",
    rf"(?:once|if|when|as soon as|after) you (?:{_GIVE}|have {_GIVEN}|let me know)\b.{{0,60}}"
    r"\b(?:i|we)(?:'ll| can| will)\b",
    r"(?:to .{1,40}, )?(?:i|we)(?:'d| would|'ll| will)? (?:also |still |first )?(?:need|require) "
    rf"(?:(?:(?:some |a (?:few|bit|little) )?(?:more|further|additional)|to (?:see|know|have)|{_YOUR})\b)",
    r"i(?:'m| am) (?:still )?(?:waiting for|going to need|missing)\b",
    r"(?:just )?let me know (?:if|what|which|how|when|whether|where)\b",
    r"(?:is|was) there anything else\b",
)
"""Asks for input."""
DEMAND = _any_of(
    rf"(?:just |now |go ahead and |then |to .{{1,40}}, )*(?:{_GIVE}|tell (?:me|us))\b",
    r"(?:what|which|how|where|who|when)\b.{0,60}\?$",
)
"""Behind a promise: asks for input."""
ASKS_BACK = _any_of(
    r"(?:so,? )?(?:what|which|how|where|who|when) (?:\w+ ){0,4}(?:(?:do|did|would|should|can|could|may|shall) (?:you|i)"
    r"|(?:are|were) you|exactly (?:do|would|should|is|are))\b.{0,60}"
    r"\b(?:mean|want|like|help|do|use|asking|referring|talking|looking|prefer|need|know|have in mind)\b.{0,80}\?",
    r"(?:do|did|would) you (?:want|like|mean|prefer|need) (?:me|to|the|an?|that|it)\b.{0,80}\?",
    r"(?:should|shall) i\b.{0,80}\?",
    r"are you (?:asking|referring|talking|looking)\b.{0,80}\?",
    rf"do you have (?:the|your) (?:\w+ )?{_INPUT}\b.{{0,40}}\?",
)
"""Asks back in words that are seldom an answer, whatever the task."""
LACK = _any_of(
    rf"(?:there(?:'s| is| are)(?: not|n't) |not )enough {_INPUT}\b",
    rf"(?:more|further|additional) {_INPUT} (?:is|are|would be|will be) (?:needed|required|necessary)\b",
    rf"nothing (?:was|is|has been) {_GIVEN}\b|i (?:have|was|am)(?: not|n't)(?: been)? (?:shown|{_GIVEN})\b",
    r"it depends on what you\b",
    rf"{_SEEMS}?you(?:'ve)? (?:have(?:n't| not)|did(?:n't| not)|forgot to|(?:may|might) have forgotten to)(?: yet)?"
    rf" (?:{_GIVEN}|{_GIVE})\b",
    rf"{_SEEMS}?(?:(?:the|your|this|that|an?|some) )?(?:\w+ )?{_INPUT}\b.{{0,40}}\b"
    rf"(?:missing|incomplete|empty|unclear|cut off|not {_GIVEN}"
    r"|(?:did|does|do)(?:n't| not) (?:contain|include|come|have|load|open|seem|say|show|appear|make sense))",
    rf"{_SEEMS}?there(?:'s| is| are| was| were)(?: no|n't any| not any) (?:\w+ )?{_INPUT}\b",
    rf"(?:sadly |well )?no (?:\w+ )?{_INPUT} (?:(?:was|were|is|are|has been|have been) )?{_GIVEN}\b",
    r"i (?:do not|don't|cannot|can't|could not|couldn't|did not|didn't) (?:see|find|receive|get|have) "
    rf"{_YOUR} (?:\w+ )?{_INPUT}\b",
    r"it(?:'s| is) (?:unclear|not clear) (?:to me )?(?:what|which|how|whether|if)\b",
)
"""Says that something is missing."""
UNABLE = _any_of(
    r"i (?:do not|don't) think (?:that )?i can\b|i (?:have to|must|will have to) (?:decline|refuse|pass)\b",
    rf"i can only {_WORK}\b|that(?:'s| is) all (?:that )?i (?:know|can)\b",
    r"my (?:training|knowledge|data|abilities|skills)\b.{0,30}\b(?:not|limited|end)\b",
    r"(?:the|this|that|your) (?:question|request|task|prompt) (?:is|seems) "
    r"(?:too|very|rather|quite|not|un\w+|ambiguous|vague)\b",
    rf"(?:without [^,]{{0,40}},? |[^,]{{0,60}}, ?(?:and |but |so )?)?i ?{_UNABLE} (?:\w+ly )?{_WORK}\b",
    rf"i(?:'m| am) [^,.]{{0,40}}(?: and|,? so|,? but) (?:i )?{_UNABLE} (?:\w+ly )?{_WORK}\b",
    rf"{_UNABLE} (?:\w+ly )?{_WORK}\b",
    r"i (?:really |honestly )?(?:do not|don't|did not|didn't) (?:know|understand|follow|get)\b"
    r"(?! (?:why|when|where|who|if|him|her|them|you|me|myself|people)\b)",
    r"i (?:do not|don't) have (?:an answer|the answer|enough|access|any|the ability|information|knowledge|a way)\b",
    r"i have (?:no|not enough) (?:\w+ )?(?:idea|answer|information|access|clue|knowledge|way)\b",
    r"i(?:'m| am| was) (?:not (?:\w+ )?(?:sure|certain|clear)|unsure) "
    r"(?:what|which|how|if i|whether i|about|i (?:can|follow|understand))\b",
    r"i(?:'d| would) rather not\b|i (?:refuse|decline|prefer not|choose not) to\b",
    r"(?:that|this|it)(?:'s| is) not (?:something|a (?:question|request|task)) (?:that )?(?:i|we)\b",
    r"(?:that|this|it)(?:'s| is) (?:not possible|impossible)(?: for me)? to (?:answer|help|do (?:this|that)|process)\b",
    r"(?:the|this|that|your) (?:question|request|task|prompt|instruction)s? (?:cannot|can't|could not|couldn't) be\b",
    r"(?:(?:the|this|that|your) (?:question|request|task)|this|that|it) ?(?:'s|is|goes|lies|seems to be|appears to be) "
    r"(?:far )?(?:beyond|outside)(?: of)? (?:my|what i)\b",
    r"(?:no comment|no idea|not applicable|unable to \w+)\b",
)
"""Declines, beyond the usual ways of refusing (`filial.contracts.texts`)."""

INVITES_QUESTIONS = re.compile(
    r"\b(?:questions?|ask(?:s|ed|ing)?|interview\w*|quiz\w*|riddles?|surveys?|translat\w+|(?:re|para)phrase\w*|"
    r"rewrit\w+|rewrote|sentences?|dialogues?|conversations?|titles?|headlines?|slogans?|repl(?:y|ies)|respond|quotes?|lines?|"
    r"poems?|haikus?|tweets?|posts?|emails?|messages?|correct|edit|convert|change|transform|complete|continue|jokes?)\b"
    r"|[^\x00-\x7f]{4}",
    re.IGNORECASE,
)
"""What a task says whose answer may rightly be a question."""
