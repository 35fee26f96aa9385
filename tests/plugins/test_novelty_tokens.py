"""Texts in Latin letters are compared exactly as by `rouge_score`; those in other scripts by what they are made of."""

from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.tokenize import tokenize as rouge_tokenize

from filial_plugins.filters.novelty.index import RougeIndex, tokenize


@given(st.text(max_size=60))
def test_latin_takes_every_text_as_rouge_score_does(text):
    assert tokenize(text, "latin") == rouge_tokenize(text, None)


LATIN = st.characters(max_codepoint=0x24F) | st.characters(min_codepoint=0x1E00, max_codepoint=0x1EFF)


@given(st.text(alphabet=LATIN | st.sampled_from(" -—“”…😀"), max_size=60))
def test_texts_in_latin_letters_accents_or_not_are_taken_as_rouge_score_does(text):
    theirs = rouge_tokenize(text, None)
    assert tokenize(text) == theirs or not theirs or "µ" in text


@pytest.mark.parametrize(
    "text",
    [
        "Écris un poème sur l'été à la campagne.",
        "Viết một bài thơ về mùa thu.",
        "Translate “Grüße aus München” into plain English — please…",
        "What does the word мир mean in Russian?",
        "Explain the difference between 猫 and 犬.",
        "Compute 12 × 7 ÷ 3 😀",
    ],
)
def test_a_text_with_some_words_of_another_script_stays_latin(text):
    assert tokenize(text) == rouge_tokenize(text, None)


SAMPLES = {
    "Han with a Latin word": ("用 Python 写一个排序函数", "用|python|写|一|个|排|序|函|数"),
    "kana, narrow and wide": ("ｶﾞｲﾄﾞを書く", "ガ|イ|ド|を|書|く"),
    "Hangul by syllables": ("시를 써 주세요.", "시|를|써|주|세|요"),
    "Hangul in parts": (unicodedata.normalize("NFD", "시를 써"), "시|를|써"),
    "Cyrillic by words": ("Напиши résumé на Python3 за 5 минут!", "напиши|résumé|на|python3|за|5|минут"),
    "Greek": ("Γράψε ένα ποίημα", "γράψε|ένα|ποίημα"),
    "Arabic": ("اكتب قصيدة عن الخريف.", "اكتب|قصيدة|عن|الخريف"),
    "Hebrew with points": ("שָׁלוֹם עולם", "שָׁלוֹם|עולם"),
    "Devanagari with its vowel signs": ("हिन्दी में एक कविता लिखो।", "हिन्दी|में|एक|कविता|लिखो"),
    "Thai by characters with their marks": ("เขียนที่นี่", "เ|ขี|ย|น|ที่|นี่"),
    "Khmer": ("សរសេរ", "ស|រ|សេ|រ"),
    "wide Latin": ("ＷＲＩＴＥ　ｉｔ　２", "write|it|2"),
    "marks alone": ("?! …", "?|!|.|.|."),
    "nothing": (" \n\u3000", ""),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_other_scripts(name):
    text, wanted = SAMPLES[name]
    assert tokenize(text) == [unicodedata.normalize("NFKC", word) for word in wanted.split("|") if word]


def test_every_mark_of_a_living_script_belongs_to_its_word():
    broken = []
    for code in range(0x300, 0xFB00):
        mark = chr(code)
        if unicodedata.category(mark)[0] == "M" and len(tokenize(f"яя{mark}я ннн")) != 2:
            broken.append(hex(code))
    assert broken == []


def test_letters_are_latin_if_unicode_names_them_so():
    wrong = []
    for code in range(0x80, 0xD800):
        letter = chr(code)
        if unicodedata.normalize("NFKC", letter).lower() != letter or not letter.isalpha():
            continue
        latin = tokenize(f"a {letter} {letter} {letter}") == ["a"]
        if latin != ("LATIN" in unicodedata.name(letter)) and "MODIFIER" not in unicodedata.name(letter):
            wrong.append(unicodedata.name(letter))
    assert wrong == ["CARON", "GLAGOLITIC SMALL LETTER LATINATE MYSLITE"]


@given(st.text(alphabet=st.characters(max_codepoint=sys.maxunicode), max_size=40))
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
    ],
)
def test_a_latin_word_in_common_does_not_make_other_texts_the_same(first, second):
    assert new(first, second)
    assert not new(first, second, "latin")
