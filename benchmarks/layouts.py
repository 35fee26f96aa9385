"""Layouts of other programs, read by their own readers: what arrives, and whether the same tokens are trained.

    python benchmarks/layouts.py --trl PYTHON --llamafactory PYTHON --axolotl PYTHON [--records 60]

Made-up records are written with ``filial convert`` and loaded by the program that each layout is for, in an environment
of its own: by TRL's trainers, by LLaMA-Factory's ``get_dataset`` through ``dataset_info.json``, by Axolotl's loader
configured with the lines that ``filial convert`` prints, and by the types of the package ``openai``. Token
ids and labels have to equal those of filial's template ``chat``, row by row; calls of tools have to arrive with
the names and the arguments that the record has. Exit code 1 where one differs.

The environments (each program pins other versions):

    python -m venv trl && trl/bin/pip install trl==1.16.0 transformers==5.23.0 datasets==5.2.0 torch
    python -m venv llamafactory && llamafactory/bin/pip install llamafactory==0.9.5
    python -m venv axolotl && axolotl/bin/pip install axolotl==0.19.0

On a machine without a GPU, Axolotl's loader runs with ``--no-deps`` and transformers==5.16.1, datasets==4.8.4,
trl==1.9.0, peft==0.20.0, accelerate==1.13.0, addict, colorama, posthog, distro, numba and what these need.
LLaMA-Factory imports torchaudio for sound; where it is missing it is done without.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

Row = dict[str, Any]
SPECIAL = ["<|begin_of_text|>", "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
CHAT = (  # what follows an answer is not trained by filial, and by TRL in a completion, so nothing follows it here
    "{%- if tools %}{{ '<|im_start|>system\\n' + (tools | tojson) + '<|im_end|>' }}{% endif %}"
    "{%- for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' }}"
    "{%- if message['role'] == 'assistant' %}{% generation %}{{ message['content'] }}"
    "{%- if message.tool_calls %}{% for call in message.tool_calls %}{{ '<call>' + call.function.name + '(' }}"
    "{{- call.function.arguments | tojson }}{{ ')' }}{% endfor %}{% endif %}{{ '<|im_end|>' }}{% endgeneration %}"
    "{%- else %}{{ message['content'] + '<|im_end|>' }}{% endif %}{% endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
WORDS = [
    "river",
    "stone",
    "lamp",
    "winter",
    "copper",
    "signal",
    "garden",
    "cloud",
    "letter",
    "naïve",
    "東京",
    "x1",
    "3.5",
]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather", "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}  # fmt: skip


def make_records(count: int) -> dict[str, list[Row]]:
    """Records by kind, in filial's own format."""
    rng = random.Random(7)

    def text() -> str:
        return " ".join(rng.choices(WORDS, k=rng.randint(2, 14))).capitalize() + rng.choice([".", "?", "!"])

    def talk(exchanges: int) -> list[Row]:
        system = [{"role": "system", "content": text()}] if rng.random() < 0.5 else []
        roles = ["user", "assistant"] * exchanges
        return [*system, *({"role": role, "content": text()} for role in roles)]

    def marked() -> list[Row]:
        turns = talk(rng.randint(2, 4))
        for turn in turns[:-1]:
            if turn["role"] == "assistant" and rng.random() < 0.5:
                turn["train"] = rng.random() < 0.5
        return turns

    def calls() -> list[Row]:
        arguments: Row = {"city": text()} if rng.random() < 0.5 else {"days": rng.randint(1, 9)}
        call = {"id": f"c{rng.randint(0, 99)}", "name": "weather", "arguments": json.dumps(arguments)}
        return [
            {"role": "user", "content": text()},
            {"role": "assistant", "content": "", "tool_calls": [call]},
            {"role": "tool", "content": text(), "tool_call_id": call["id"]},
            {"role": "assistant", "content": text()},
        ]

    def rejected() -> list[Row]:
        return [{"role": "assistant", "content": text()}]

    number = range(count)
    extra = {"lang": "de"}
    return {
        "single": [{"instruction": text(), "output": text(), "extra": extra} for _ in number],
        "talk": [{"messages": talk(rng.randint(1, 4)), "extra": extra} for _ in number],
        "marked": [{"messages": marked()} for _ in number],
        "preference": [{"messages": talk(rng.randint(1, 3)), "rejected": rejected()} for _ in number],
        "feedback": [{"messages": talk(1), "label": bool(i % 2)} for i in number],
        "calls": [{"messages": calls(), "tools": [TOOL]} for _ in number],
    }


def make_model(folder: Path, texts: Iterator[str]) -> None:
    """A small byte-level tokenizer and the configuration of a small model."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        texts,
        trainers.BpeTrainer(vocab_size=800, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False),
    )
    for name, eos in (("chat", "<|im_end|>"), ("llama3", "<|eot_id|>")):
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=backend, bos_token=SPECIAL[0], eos_token=eos, pad_token=SPECIAL[0],
            additional_special_tokens=SPECIAL[1:],
        )  # fmt: skip
        tokenizer.chat_template = CHAT
        tokenizer.save_pretrained(folder / name)
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2
        )
        config.save_pretrained(folder / name)


class Expectation:
    """What filial trains on: ids, labels and text of records by its template ``chat``."""

    def __init__(self, folder: Path, format: str) -> None:
        from filial.labels import Encoder
        from filial_plugins.local.pretrained import load_tokenizer
        from filial_plugins.templates.chat import Chat

        tokenizer = load_tokenizer(str(folder))
        self._encoder = Encoder(tokenizer)
        self._every, self._last = (Chat(format=format, turns=turns).bind(tokenizer) for turns in ("all", "last"))

    def encode(self, record: Any) -> Row:
        """Return one record; all its answers are trained."""
        return self._encode(self._every, record)

    def encode_side(self, record: Any, answer: Any) -> Row:
        """Return one side of a preference, whose answer alone is trained."""
        return self._encode(self._last, record.replaced(messages=(*record.messages[:-1], answer), rejected=()))

    def _encode(self, template: Any, record: Any) -> Row:
        row = self._encoder.encode(template.render(record))
        return {"ids": row.ids, "labels": row.labels, "text": row.text}


# The readers: each runs in the environment of its program, in which filial is not installed.


def join(prompt: list[int], answer: list[int]) -> Row:
    """Ids and labels of a prompt and its answer."""
    return {"ids": prompt + answer, "labels": [-100] * len(prompt) + answer}


def read_trl(file: Path, work: Path, kind: str, said: Row) -> list[Row]:
    """Load with the trainer of the data set's type, as a user's script does."""
    import transformers
    from datasets import load_dataset
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from trl import DPOConfig, DPOTrainer, KTOConfig, KTOTrainer, SFTConfig, SFTTrainer

    transformers.logging.set_verbosity_error()
    tokenizer = AutoTokenizer.from_pretrained(work / "chat")
    LlamaForCausalLM(LlamaConfig.from_pretrained(work / "chat")).save_pretrained(work / "model")
    model = LlamaForCausalLM.from_pretrained(work / "model")
    data = load_dataset("json", data_files=str(file), split="train", cache_dir=str(work / "cache"))
    common: Row = {
        "output_dir": str(work / "out"), "report_to": [], "use_cpu": True, "max_length": None,
        "remove_unused_columns": False, "bf16": False,
    }  # fmt: skip
    parts: Row = {"model": model, "train_dataset": data, "processing_class": tokenizer}
    if kind == "preference":
        trainer: Any = DPOTrainer(args=DPOConfig(**common), **parts)
        return [
            {side: join(row["prompt_ids"], row[f"{side}_ids"]) for side in ("chosen", "rejected")}
            for row in trainer.train_dataset
        ]
    if kind == "feedback":
        trainer = KTOTrainer(args=KTOConfig(**common, per_device_train_batch_size=2), **parts)
        return [
            {**join(row["prompt_ids"], row["completion_ids"]), "label": row["label"]} for row in trainer.train_dataset
        ]
    trainer = SFTTrainer(args=SFTConfig(**common, assistant_only_loss="messages" in data.column_names), **parts)
    return [
        {"ids": row["input_ids"], "labels": row["labels"], "text": tokenizer.decode(row["input_ids"])}
        for row in trainer.train_dataset
    ]


def read_llamafactory(file: Path, work: Path, kind: str, said: Row) -> list[Row]:
    """Load with `get_dataset`, the data set named as in ``dataset_info.json``."""
    import importlib.machinery
    import os
    import types

    os.environ["DISABLE_VERSION_CHECK"] = "1"
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError):
        sys.modules["torchaudio"] = module = types.ModuleType("torchaudio")
        module.__spec__ = importlib.machinery.ModuleSpec("torchaudio", None)
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer
    from llamafactory.hparams import get_train_args
    from llamafactory.model import load_tokenizer

    stage = {"preference": "rm", "feedback": "kto"}.get(kind, "sft")
    model, data, training, *_ = get_train_args(
        {
            "model_name_or_path": str(work / "llama3"), "stage": stage, "do_train": True, "template": "llama3",
            "dataset": file.stem, "dataset_dir": str(file.parent), "output_dir": str(work / "out"),
            "cutoff_len": 100_000, "report_to": "none", "use_cpu": True, "cache_dir": str(work / "cache"),
            "overwrite_cache": True, "preprocessing_num_workers": 1, "finetuning_type": "full",
        }
    )  # fmt: skip
    parts = load_tokenizer(model)
    template = get_template_and_fix_tokenizer(parts["tokenizer"], data)
    found = get_dataset(template, model, data, training, stage=stage, **parts)["train_dataset"]
    if kind == "preference":
        return [
            {
                side: {"ids": row[f"{side}_input_ids"], "labels": row[f"{side}_labels"]}
                for side in ("chosen", "rejected")
            }
            for row in found
        ]
    decode = parts["tokenizer"].decode
    return [
        {"ids": row["input_ids"], "labels": row["labels"], "text": decode(row["input_ids"]),
         "label": row.get("kto_tags")}
        for row in found
    ]  # fmt: skip


def read_axolotl(file: Path, work: Path, kind: str, said: Row) -> list[Row]:
    """Load with Axolotl's own loader, configured with what `filial convert` printed."""
    import os

    import yaml

    os.environ["AXOLOTL_DO_NOT_TRACK"] = "1"
    from axolotl.utils.data import rl, sft
    from axolotl.utils.dict import DictDefault
    from transformers import AutoTokenizer

    config = yaml.safe_load(said["usage"])
    more = {
        "train_on_inputs": False, "sequence_len": 100_000, "chat_template": "tokenizer_default", "seed": 1,
        "dataset_num_proc": 1, "tokenizer_config": str(work / "chat"), "dataset_prepared_path": str(work / "prepared"),
    }  # fmt: skip
    cfg = DictDefault({**config, **more})
    if kind == "preference":
        found = rl._load_split(cfg, "train")
        return [{key: row[key] for key in ("prompt", "chosen", "rejected")} for row in found]
    tokenizer = AutoTokenizer.from_pretrained(work / "chat")
    found, _ = sft._load_and_process_single_dataset(cfg.datasets[0], cfg, tokenizer, "train", 1)
    return [
        {"ids": row["input_ids"], "labels": row["labels"], "text": tokenizer.decode(row["input_ids"])} for row in found
    ]


def read_openai(file: Path, work: Path, kind: str, said: Row) -> list[Row]:
    """Check each row with the types of the package ``openai``, to which unknown keys of a message are an error."""
    from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolUnionParam
    from pydantic import TypeAdapter

    message = TypeAdapter(ChatCompletionMessageParam)
    tool = TypeAdapter(ChatCompletionToolUnionParam)
    found = []
    for line in file.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for turn in row["messages"]:
            weight = turn.pop("weight", None)
            if weight not in (None, 0, 1) or (weight is not None and turn["role"] != "assistant"):
                raise ValueError(f"a weight of {weight} at a turn of the {turn['role']}")
            message.validate_python(turn, extra="forbid")
        for one in row.get("tools", []):
            tool.validate_python(one, extra="forbid")
        found.append({"messages": row["messages"]})
    return found


READERS: dict[str, Callable[[Path, Path, str, Row], list[Row]]] = {
    "trl": read_trl, "llamafactory": read_llamafactory, "axolotl": read_axolotl, "openai": read_openai,
}  # fmt: skip


def check(found: list[Row], records: list[Any], kind: str, reader: str, expect: Expectation | None) -> tuple[int, str]:
    """Return how many rows are as filial has them, and how the first that is not differs."""
    if len(found) != len(records):
        return 0, f"{len(found)} rows of {len(records)} records"
    good, first = 0, ""
    for number, (row, record) in enumerate(zip(found, records, strict=True)):
        fault = _find_fault(row, record, kind, reader, expect)
        good += not fault
        first = first or (f"row {number}: {fault}" if fault else "")
    return good, first


def _find_fault(row: Row, record: Any, kind: str, reader: str, expect: Expectation | None) -> str:
    if reader == "openai":
        return _find_fault_of_turns(row["messages"], record)
    if kind == "calls":
        (call,) = record.messages[1].tool_calls
        wanted = [json.dumps(json.loads(call.arguments), ensure_ascii=False), record.messages[2].content, "weather"]
        return "".join(f"lacks {text!r}" for text in wanted if text not in row["text"])
    assert expect is not None
    if kind != "preference":
        if kind == "feedback" and row["label"] != record.label:
            return f"label {row['label']}"
        return _compare(row, expect.encode(record))
    for side, answer in (("chosen", record.messages[-1]), ("rejected", record.rejected[0])):
        wanted = expect.encode_side(record, answer)
        same = row["prompt"] + row[side] == wanted["text"] if reader == "axolotl" else not _compare(row[side], wanted)
        if not same:
            return f"{side} is {row[side]}, not {wanted}"
    return ""


def _compare(row: Row, wanted: Row) -> str:
    return "".join(f"{key} {row[key]} are not {wanted[key]}; " for key in ("ids", "labels") if row[key] != wanted[key])


def _find_fault_of_turns(turns: list[Row], record: Any) -> str:
    said = [(turn["role"], turn["content"]) for turn in turns]
    return "" if said == [(turn.role, turn.content) for turn in record.turns()] else f"turns {said}"


LAYOUTS = [
    ("trl", "messages", "talk", ["--to", "trl"]),
    ("trl", "prompt-completion", "single", ["--to", "trl", "-O", "rows=prompt-completion"]),
    ("trl", "preference", "preference", ["--to", "trl"]),
    ("trl", "unpaired-preference", "feedback", ["--to", "trl"]),
    ("trl", "messages, tools", "calls", ["--to", "trl"]),
    ("llamafactory", "sharegpt", "talk", ["--to", "llamafactory"]),
    ("llamafactory", "alpaca", "single", ["--to", "alpaca"]),
    ("llamafactory", "sharegpt, ranking", "preference", ["--to", "llamafactory"]),
    ("llamafactory", "sharegpt, kto_tag", "feedback", ["--to", "llamafactory"]),
    ("llamafactory", "sharegpt, tools", "calls", ["--to", "llamafactory"]),
    ("axolotl", "chat_template", "talk", ["--to", "axolotl"]),
    ("axolotl", "chat_template, train", "marked", ["--to", "axolotl"]),
    ("axolotl", "rl: dpo", "preference", ["--to", "axolotl"]),
    ("axolotl", "chat_template, tools", "calls", ["--to", "axolotl"]),
    ("openai", "messages", "talk", ["--to", "openai"]),
    ("openai", "messages, weight", "marked", ["--to", "openai"]),
    ("openai", "messages, tools", "calls", ["--to", "openai"]),
]


def run_layout(work: Path, python: str, reader: str, kind: str, flags: list[str], records: Path) -> list[Row]:
    """Write records in one layout and read them with its program."""
    out = work / "data" / f"{reader}_{kind}.json{'' if reader == 'llamafactory' else 'l'}"
    info = ["--dataset-info", str(out.with_name("dataset_info.json"))] if reader == "llamafactory" else []
    convert = [sys.executable, "-m", "filial", "convert", str(records), "-o", str(out), *flags, *info, "--json"]
    said = subprocess.run(convert, check=True, capture_output=True, text=True).stdout
    result = work / "result.json"
    read = [python, __file__, "--read", reader, str(out), str(work), kind, said, str(result)]
    done = subprocess.run(read, capture_output=True, text=True, cwd=work)
    if done.returncode:
        raise SystemExit(f"{reader}, {kind}: {done.stderr[-3000:]}")
    rows: list[Row] = json.loads(result.read_bytes())
    return rows


def main() -> None:
    """Write, read and compare each layout whose program has an environment."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("trl", "llamafactory", "axolotl"):
        parser.add_argument(f"--{name}", metavar="PYTHON", help=f"Python of an environment with {name}")
    parser.add_argument("--records", type=int, default=60)
    parser.add_argument("--only", help="one program")
    args = parser.parse_args()
    pythons = {"trl": args.trl, "llamafactory": args.llamafactory, "axolotl": args.axolotl, "openai": sys.executable}
    from filial.formats import read

    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        data = make_records(args.records)
        make_model(work, (line for rows in data.values() for line in map(json.dumps, rows)))
        expect = {"chat": Expectation(work / "chat", "tokenizer"), "llama3": Expectation(work / "llama3", "llama-3")}
        for kind, rows in data.items():
            (work / f"{kind}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        for reader, name, kind, flags in LAYOUTS:
            if not pythons[reader] or args.only not in (None, reader):
                continue
            source = work / f"{kind}.jsonl"
            found = run_layout(work, pythons[reader], reader, kind, flags, source)
            expected = expect["llama3" if reader == "llamafactory" else "chat"]
            good, fault = check(found, list(read(source)), kind, reader, expected)
            wrong += bool(fault)
            print(f"{reader:13} {name:22} {good:5} of {args.records} equal  {fault[:300]}", flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--read"]:
        _, _, reader, file, work, kind, said, result = sys.argv
        rows = READERS[reader](Path(file), Path(work), kind, json.loads(said))
        Path(result).write_text(json.dumps(rows), encoding="utf-8")
    else:
        main()
