"""Run the whole pipeline offline in minutes: no key, no download."""

from __future__ import annotations

import asyncio
import copy
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import yaml

from filial import Message, Record, Request, Teacher, Template, UsageError, resolve
from filial.commands import Run, command_line, from_dict, grid, load, manager, print_json, reporter
from filial.formats import read
from filial_plugins.commands.tables import funnel_table, judge_table, survival_table
from filial_plugins.teachers.transformers import Transformers

HERE = Path(__file__).parent
PACKAGED = HERE / "demo.yaml"

WHAT = """\
This is a closed world: a teacher made of code that knows some dozens of
verifiable tasks (sort these words, drop the even numbers, ...), and a base model
of 0.5 million parameters that has read about that world but has never seen an
instruction. It shows that the pipeline works, step by step, with everything
measured. It says nothing about quality in the open world.
"""

EXAMS = {
    "seen": "seen instructions, new inputs",
    "paraphrase": "unseen paraphrases",
    "evolved": "unseen evolved instructions",
    "composition": "unseen compositions",
}


@click.command()
@click.argument("recipe", required=False, type=click.Path(path_type=Path))
@click.option("--full", is_flag=True, help="Also train without evolved data and with a noisy teacher (takes longer).")
@click.option("--seconds", type=click.FloatRange(1), help="Seconds of training per model, instead of the recipe's.")
@click.option(
    "--home",
    type=click.Path(path_type=Path),
    default=Path("filial-demo"),
    show_default=True,
    help="Folder for the recipe, the run and its files.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.pass_context
def command(
    ctx: click.Context, recipe: Path | None, full: bool, seconds: float | None, home: Path, as_json: bool
) -> int:
    """Run the whole pipeline offline in minutes: generate, evolve, filter, mix, train, judge.

    RECIPE replaces the demo's own recipe, which is written to the home folder for you to edit.
    """
    path = recipe or _ensure_recipe(home)
    changes = [f"train.max_seconds={seconds:g}"] if seconds else []
    said = reporter()
    said.note(WHAT)
    said.note(f"Recipe: {path}\n")
    run = Run(load(path, manager(ctx), changes), manager(ctx), home, "demo", said)
    summary = run.execute()
    probe = probe_plain(ctx, run)
    rows = _run_variants(ctx, run) if full else []
    if as_json:
        print_json({**summary, "base_with_plain_prompts": probe, "variants": rows})
        return run.exit_code()
    _print_results(ctx, run, path, summary, probe, rows)
    return run.exit_code()


def _ensure_recipe(home: Path) -> Path:
    """Return the path of the recipe in the home folder; copy the packaged recipe there if there is none."""
    path = home / "demo.yaml"
    if not path.exists():
        home.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(PACKAGED, path)
    return path


def probe_plain(ctx: click.Context, run: Run) -> dict[str, float]:
    """Return the exact match of the base model for each exam when it is asked without chat tokens.

    The score of zero before training could be caused by chat tokens that the base has never seen; plain prompts hold
    none.
    """
    template = manager(ctx).build("templates", {"use": "plain"})
    assert isinstance(template, Template)
    base = Transformers(model=str(resolve(run.recipe.model or "", run.recipe.base)), dtype="float32")
    teacher = base.for_template(template)
    shares = {}
    for judge in run.recipe.judges:
        if judge.data == "heldout":
            continue
        records = list(read(resolve(judge.data.file, run.recipe.base), strict=True, limit=100))
        answers = asyncio.run(_ask_all(teacher, records, judge.max_new_tokens))
        shares[judge.name] = sum(a == r.output for a, r in zip(answers, records, strict=True)) / len(records)
    return shares


async def _ask_all(teacher: Teacher, records: Sequence[Record], most: int) -> list[str]:
    """Return a teacher's answers to single-turn records, in order, also answers cut at the token limit."""
    asked = [
        Request(messages=(Message("user", one.question()),), input=one.input, max_tokens=most, partial=True)
        for one in records
    ]
    try:
        return [reply.text for reply in await asyncio.gather(*map(teacher.reply, asked))]
    finally:
        await teacher.close()


def _print_results(
    ctx: click.Context, run: Run, path: Path, summary: dict[str, Any], probe: dict[str, float],
    rows: list[dict[str, Any]],
) -> None:  # fmt: skip
    """Print the tables and figures of a run."""
    click.echo("\nThe funnel: what came in, what was made, what was dropped and why\n")
    click.echo(funnel_table(summary))
    click.echo("\nSurvival: what happened to each strategy's attempts\n")
    click.echo(survival_table(summary))
    train, data = summary["train"], summary["dataset"]
    click.echo(
        f"\nTrained on {data['train']:,} records ({data['heldout']:,} were held out) for {train['seconds']:.0f} s, "
        f"{train['steps']:,} steps, loss {train['loss']:.3f}\n"
    )
    shown = {**summary, "judge": {EXAMS.get(k, k): v for k, v in summary.get("judge", {}).items()}}
    click.echo("Exact match on held-out records; 'nearest' copies the answer of the nearest training record\n")
    click.echo(judge_table(shown))
    plain = ", ".join(f"{100 * share:.0f} %" for share in probe.values())
    click.echo(f"\nThe base asked with plain prompts instead of chat tokens: {plain}.")
    if rows:
        click.echo("\nThe effect of evolution and filters (exact match in %; same training time)\n")
        click.echo(_format_differences(rows))
    click.echo(f"\nEverything is in {run.folder}: the records of each stage, the data set, the model, the answers.")
    click.echo("Next: look at the records; change the recipe and run it again; judge the model on records of your own:")
    click.echo(f"  {command_line(ctx, 'show', str(run.folder))}")
    click.echo(f"  {command_line(ctx, 'run', str(path), '--home', str(run.home), '--name', 'mine')}")
    click.echo(f"  {command_line(ctx, 'judge', 'exact-match', 'DATA', '--model', str(run.model))}")


def _format_differences(rows: list[dict[str, Any]]) -> str:
    """Format the variants as a table, with two rows of differences in percentage points."""
    whole, plain, noisy, filtered = rows
    table = [[row["what"], f"{row['records']:,}", *(f"{100 * row[name]:.1f}" for name in EXAMS)] for row in rows]
    for what, more, less in (("evolution bought", whole, plain), ("the filters bought", filtered, noisy)):
        table.append([what, "", *(f"{100 * (more[name] - less[name]):+.1f}" for name in EXAMS)])
    return grid(["trained on", "records", *EXAMS], table)


def _run_variants(ctx: click.Context, main: Run) -> list[dict[str, Any]]:
    """Run the recipe three more times: without evolved data, with a noisy teacher, with a noisy teacher and filters.

    All variants are judged on the records that judged the main run.
    """
    resolved = main.recipe.to_dict()
    exams = _write_exams(main)
    rows = [_make_row("as above", main.summary, main.summary["dataset"]["train"])]
    for name, what, change in (
        ("no-evolution", "no evolved data", _remove_evolution),
        ("noise", "noisy teacher, no filter", _add_noise),
        ("noise-filtered", "noisy teacher, filtered", _add_noise_and_filter),
    ):
        data = change(copy.deepcopy(resolved))
        data["heldout"], data["judge"] = 0, exams
        recipe = from_dict(data, manager(ctx), name=name, base=main.recipe.base)
        run = Run(recipe, manager(ctx), main.home, name, main.reporter)
        main.reporter.note(f"\n{what}")
        run.execute()
        rows.append(_make_row(what, run.summary, run.summary["dataset"]["train"]))
    return rows


def _make_row(what: str, summary: dict[str, Any], records: int) -> dict[str, Any]:
    figures = {name: results["model"]["passed"] for name, results in summary["judge"].items()}
    return {"what": what, "records": records, **figures}


def _write_exams(main: Run) -> list[dict[str, Any]]:
    """Write the main run's exams as files, so that every variant is judged on the same records.

    Return the judge entries.
    """
    folder = main.folder / "exams"
    folder.mkdir(exist_ok=True)
    out = []
    for judge in main.recipe.judges:
        written = {**judge.to_dict(), "against": []}
        if judge.data == "heldout":
            lines = (main.folder / "judge" / f"{judge.name}@model.jsonl").read_text().splitlines()
            asked = {yaml.safe_load(line)["id"] for line in lines}
            from filial.formats import write

            records = [r for r in read(main.folder / "dataset" / "heldout.jsonl") if r.id in asked]
            write(folder / f"{judge.name}.jsonl", records)
            written["data"] = str((folder / f"{judge.name}.jsonl").resolve())
            written.pop("only", None)
        out.append(written)
    return out


def _find_stage(data: dict[str, Any], verb: str) -> dict[str, Any]:
    """Return the first stage of that verb in a resolved recipe."""
    for stage in data["stages"]:
        if verb in stage:
            found: dict[str, Any] = stage[verb]
            return found
    raise UsageError(f"demo --full changes the {verb} stage of the recipe, but it has none")


def _remove_evolution(data: dict[str, Any]) -> dict[str, Any]:
    data["stages"] = [s for s in data["stages"] if "evolve" not in s and "mix" not in s]
    return data


def _add_noise(data: dict[str, Any]) -> dict[str, Any]:
    data["teacher"]["noise"] = 0.2
    _find_stage(data, "evolve")["eliminate"] = []
    data["stages"] = [s for s in data["stages"] if "filter" not in s]
    return data


def _add_noise_and_filter(data: dict[str, Any]) -> dict[str, Any]:
    """Make the teacher noisy, keep all filters, and ask again at the end.

    Records whose answers disagree are dropped.
    """
    data["teacher"]["noise"] = 0.2
    places = [i for i, stage in enumerate(data["stages"]) if "generate" in stage]
    data["stages"].insert(places[-1] + 1, {"filter": [{"use": "agreement", "draws": 2}]})
    return data
