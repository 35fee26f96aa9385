"""Rows under other names than a format has, and reading them with the sentence about their columns."""

import json

from filial.formats import read

ROW = {
    "row": 7,
    "ticket": "T-1",
    "customer_message": "My router blinks, why?",
    "agent_reply": "Restart it.",
    "lang": "en",
}
MAPPED = {"instruction": "customer_message", "output": "agent_reply"}
PAIR = {"instruction": "Name a river.", "output": "The Elbe."}


def put(path, *rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def load(path, **how):
    said = []
    return list(read(path, note=said.append, **how)), [text.removeprefix(f"{path}: ") for text in said]
