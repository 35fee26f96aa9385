"""What to propose where no format knows the columns: those whose names say what they hold; the others stay open."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from filial import words as words_of
from filial.formats import Row

WORDS = {
    "instruction": (
        "instruction", "prompt", "question", "query", "ask", "asked", "request", "inquiry", "problem", "user",
        "customer", "human", "frage", "anfrage", "pregunta", "pergunta", "domanda", "vraag", "pytanie", "вопрос",
        "soru", "pertanyaan", "问题", "提问", "指令", "咨询", "問題", "質問", "指示", "問い合わせ",
        "질문", "문의", "지시", "명령",
    ),
    "input": ("input", "context", "document", "输入", "背景", "入力", "文脈", "입력"),
    "output": (
        "output", "answer", "response", "reply", "completion", "generation", "solution", "resolution", "assistant",
        "agent", "bot", "gpt", "target", "antwort", "respuesta", "réponse", "reponse", "resposta", "risposta",
        "antwoord", "odpowiedź", "ответ", "cevap", "yanıt", "jawaban", "回答", "答案", "回复", "输出",
        "返信", "応答", "出力", "답변", "응답", "출력", "답장",
    ),
    "system": ("system",),
}  # fmt: skip
"""Words in the names of columns, by the field that such a column holds."""
DETAILS = {
    "name", "id", "meta", "email", "mail", "addres", "phone", "date", "time", "type", "category", "topic", "statu",
    "rating", "score", "feedback", "comment", "note", "language", "lang", "source", "model", "url", "tag",
    "ref", "reference", "title", "subject",
    "summary", "satisfaction", "sentiment", "intent", "count", "length", "country",
}  # fmt: skip
"""Words in the names of columns that say something about a question or an answer, and are neither; without an s at the
end."""
OPEN = {"instruction": "COLUMN_OF_QUESTION", "output": "COLUMN_OF_ANSWER"}
"""What stands for a column that the user has to choose."""
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W\d_]+")


def find_likely_columns(sample: Sequence[Row]) -> dict[str, str]:
    """Return field -> column, where names leave no doubt; else the user has to choose (`OPEN`). Nothing where there is
    no text."""
    texts = dict.fromkeys(name for row in sample for name in _list_texts(row))
    if not texts:  # exports of annotation tools wrap the cells
        texts = dict.fromkeys(
            f"{name}.{inner}"
            for row in sample
            for name, value in row.items()
            if isinstance(value, dict)
            for inner in _list_texts(value)
        )
    found: dict[str, list[str]] = {field: [] for field in WORDS}
    for name in texts:
        last = name.rpartition(".")[2] if name not in sample[0] else name
        words = {part.removesuffix("s") for part in _WORD.sub(" ", last).lower().split()}
        fields = [field for field, known in WORDS.items() if not words.isdisjoint(known) or _holds_word(last, known)]
        if len(fields) == 1 and words.isdisjoint(DETAILS):
            found[fields[0]].append(name)
    sure = {field: names[0] for field, names in found.items() if len(names) == 1}
    chosen = {**({field: OPEN[field] for field in list(OPEN)[: len(texts)]}), **sure}
    return {field: chosen[field] for field in WORDS if field in chosen}


def _list_texts(row: Row) -> list[str]:
    """Return the columns that hold a text of several words; scripts without blanks have a word per character."""
    return [name for name, value in row.items() if isinstance(value, str) and len(words_of(value)) > 1]


def _holds_word(name: str, known: Collection[str]) -> bool:
    """Return whether a name in a script without blanks holds one of the words."""
    return not name.isascii() and any(word in name for word in known if not word.isascii())
