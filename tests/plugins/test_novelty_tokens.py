"""Texts in ASCII are compared exactly as by `rouge_score`; all others by what they are made of."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize as rouge_tokenize

from filial_plugins.filters.novelty.index import RougeIndex, tokenize
from filial_plugins.texts import normalize_text


@given(st.text(max_size=60))
def test_latin_takes_every_text_as_rouge_score_does(text):
    assert tokenize(text, "latin") == rouge_tokenize(text, None)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126) | st.sampled_from("\n\t"), max_size=60))
def test_ascii_texts_are_taken_as_rouge_score_does_in_all_scripts(text):
    assert tokenize(text) == (rouge_tokenize(text, None) or [c for c in text if not c.isspace()])


SAMPLES = {
    "French": ("Écris un poème sur l'été à Noël.", "écris|un|poème|sur|l|été|à|noël"),
    "Vietnamese": ("Hãy tả con bò.", "hãy|tả|con|bò"),
    "German in English quotes": ("Translate “Grüße aus München” — please…", "translate|grüße|aus|münchen|please"),
    "English with dashes and quotes": ("It’s “new” – isn’t it?", "it|s|new|isn|t|it"),
    "English with a Russian word": ("What does мир mean?", "what|does|мир|mean"),
    "English with two Han": ("Explain 猫 and 犬.", "explain|猫|and|犬"),
    "English with an emoji": ("Compute 12 × 7 ÷ 3 😀", "compute|12|7|3"),
    "powers and fractions": ("Is 5² = 52, and 1½ cm?", "is|5²|52|and|1½|cm"),
    "ligatures and bold": ("ﬁnd 𝐭𝐡𝐞 word", "find|the|word"),
    "Han with a Latin word": ("用 Python 写一个排序函数", "用|python|写|一|个|排|序|函|数"),
    "kana, narrow and wide": ("ｶﾞｲﾄﾞを書く", "ガ|イ|ド|を|書|く"),
    "Hangul by syllables": ("시를 써 주세요.", "시|를|써|주|세|요"),
    "Hangul in parts": (unicodedata.normalize("NFD", "시를 써"), "시|를|써"),
    "Cyrillic by words": ("Напиши résumé на Python3 за 5 минут!", "напиши|résumé|на|python3|за|5|минут"),
    "Greek": ("Γράψε ένα ποίημα", "γράψε|ένα|ποίημα"),
    "Arabic": ("اكتب قصيدة عن الخريف.", "اكتب|قصيدة|عن|الخريف"),
    "Hebrew with points": ("שָׁלוֹם עולם", "שָׁלוֹם|עולם"),
    "Persian with and without a joiner": ("می‌خواهم بنویسم", "میخواهم|بنویسم"),
    "Arabic stretched": ("الخـــريف", "الخريف"),
    "Arabic as it is printed": ("ﻣﺮﺣﺒﺎ", "مرحبا"),
    "Devanagari with its vowel signs": ("हिन्दी में एक कविता लिखो।", "हिन्दी|में|एक|कविता|लिखो"),
    "Thai by characters with their marks": ("เขียนที่นี่", "เ|ขี|ย|น|ที่|นี่"),
    "Khmer": ("សរសេរ", "ស|រ|សេ|រ"),
    "Khmer with zero-width blanks": ("សរ\u200bសេរ", "ស|រ|សេ|រ"),
    "Javanese": ("ꦱꦼꦫꦠ꧀", "ꦱꦼ|ꦫ|ꦠ꧀"),
    "Chakma, whose marks are above U+FFFF": ("𑄌𑄋𑄴𑄟𑄳𑄦 𑄇", "𑄌𑄋𑄴𑄟𑄳𑄦|𑄇"),
    "Han above U+FFFF": ("𠮷野家", "𠮷|野|家"),
    "emoji alone": ("❤️ 👍🏽", "❤|👍|🏽"),
    "wide Latin": ("ＷＲＩＴＥ　ｉｔ　２", "write|it|2"),
    "marks alone": ("?! …", "?|!|.|.|."),
    "nothing": (" \n\u3000", ""),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_other_scripts(name):
    text, wanted = SAMPLES[name]
    assert tokenize(text) == [unicodedata.normalize("NFC", word) for word in wanted.split("|") if word]
    assert tokenize(unicodedata.normalize("NFD", text)) == tokenize(text)


def test_every_mark_of_a_living_script_belongs_to_its_word():
    broken = []
    for code in (*range(0x300, 0xFB00), *range(0x10A00, 0x12000), *range(0x1E900, 0x1E950)):
        mark = chr(code)
        if unicodedata.category(mark)[0] == "M" and len(tokenize(f"яя{mark}я ннн")) != 2:
            broken.append(hex(code))
    assert broken == []


ANY = st.text(alphabet=st.characters(max_codepoint=sys.maxunicode), max_size=40)


@given(ANY)
def test_composed_and_decomposed_texts_are_one(text):
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert tokenize(composed) == tokenize(decomposed)
    assert normalize_text(composed) == normalize_text(decomposed)


# Unicode's Default_Ignorable_Code_Point, and two controls.
HIDDEN = "\xad\u034f\u061c\u115f\u180e\u200b\u200c\u200d\u200e\u2060\u2066\u3164\ufe0f\ufeff\uffa0\U000e0041\0\x7f"


@pytest.mark.parametrize("hidden", HIDDEN, ids=ascii)
@pytest.mark.parametrize("text", ["Name three rivers.", "Tả con bò.", "写一首诗", "시를 써 주세요", "हिन्दी में", "🎉 👍"])
def test_characters_that_are_not_seen_make_no_difference(text, hidden):
    hiding = hidden.join(f" {text} ")
    assert tokenize(hiding) == tokenize(text)
    assert normalize_text(hiding) == text


@given(ANY)
def test_a_copy_is_never_new_in_any_script(text):
    index = RougeIndex()
    index.add(text)
    near = index.find_nearest(text)
    assert near is not None or not tokenize(text)
    assert near is None or (near.score, near.text) == (1.0, text)


def new(first: str, second: str, scripts: str = "all") -> bool:
    index = RougeIndex(scripts=scripts)
    index.add(first)
    return index.find_nearest(second) is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("把下面的句子翻译成英文。", "把下面的句子翻译成法文。"),
        ("대한민국의 수도는 어디인가요?", "대한민국의 수도가 어디인가요?"),
        ("日本の首都はどこですか？", "日本の首都はどこですか"),
        ("Назови три цвета радуги по порядку.", "Назови четыре цвета радуги по порядку."),
        ("🎉🎉🎉🎁", "🎉🎉🎉🎈"),
    ],
)
def test_like_texts_in_any_script_are_not_new_but_for_the_original(first, second):
    assert not new(first, second)
    assert new(first, second, "latin")


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("用 Python 写一个排序函数。", "解释 Python 的垃圾回收机制。"),
        ("Python으로 정렬 함수를 작성하세요.", "Python의 장점 세 가지를 설명하세요."),
        ("Объясни, что такое GPU.", "Сколько стоит GPU?"),
        ("Tả con bò", "Tả con bơ"),
    ],
)
def test_a_latin_word_in_common_does_not_make_other_texts_the_same(first, second):
    assert new(first, second)
    assert not new(first, second, "latin")
