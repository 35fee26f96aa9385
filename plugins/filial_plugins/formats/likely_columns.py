"""What to propose where no format knows the columns: those whose names say what they hold; the others stay open."""

from __future__ import annotations

import re
from collections.abc import Sequence

from filial.formats import Row

WORDS = {
    "instruction": (
        "instruction", "prompt", "question", "query", "ask", "asked", "request", "inquiry", "problem", "user",
        "customer", "human", "frage", "anfrage", "pregunta", "pergunta", "domanda", "vraag", "pytanie", "вопрос",
        "soru", "pertanyaan", "问题", "提问", "問題", "質問", "질문",
    ),
    "input": ("input", "context", "document"),
    "output": (
        "output", "answer", "response", "reply", "completion", "generation", "solution", "resolution", "assistant",
        "agent", "bot", "gpt", "target", "antwort", "respuesta", "réponse", "reponse", "resposta", "risposta",
        "antwoord", "odpowiedź", "ответ", "cevap", "yanıt", "jawaban", "回答", "答案", "回复", "답변", "응답",
    ),
    "system": ("system",),
}  # fmt: skip
"""Words in the names of columns, by the field that such a column holds."""
DETAILS = {
    "name", "id", "meta", "email", "mail", "addres", "phone", "date", "time", "type", "category", "topic", "statu",
    "rating", "score", "feedback", "comment", "note", "language", "lang", "source", "model", "url", "tag",
    "title", "subject", "summary", "satisfaction", "sentiment", "intent", "count", "length", "country",
}  # fmt: skip
"""Words in the names of columns that say something about a question or an answer, and are neither; without an s at the
end."""
OPEN = {"instruction": "COLUMN_OF_QUESTION", "output": "COLUMN_OF_ANSWER"}
"""What stands for a column that the user has to choose."""
_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])|[\W\d_]+")


def find_likely_columns(sample: Sequence[Row]) -> dict[str, str]:
    """Return field -> column, where names leave no doubt; else the user has to choose (`OPEN`). Nothing where there is
    no text."""
    texts = dict.fromkeys(
        name for row in sample for name, value in row.items() if isinstance(value, str) and " " in value.strip()
    )
    found: dict[str, list[str]] = {field: [] for field in WORDS}
    for name in texts:
        words = {part.removesuffix("s") for part in _WORD.sub(" ", name).lower().split()}
        fields = [field for field in WORDS if not words.isdisjoint(WORDS[field])]
        if len(fields) == 1 and words.isdisjoint(DETAILS):
            found[fields[0]].append(name)
    sure = {field: names[0] for field, names in found.items() if len(names) == 1}
    chosen = {**({field: OPEN[field] for field in list(OPEN)[: len(texts)]}), **sure}
    return {field: chosen[field] for field in WORDS if field in chosen}
