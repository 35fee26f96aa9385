"""CPU per teacher request, and how full the window stays.

The same requests to the same server in the same process: by the `openai` package as it comes, through the gateway with
the `openai` teacher and the ledger, and through a whole evolve stage. CPU time of this process; start-up and a warm-up
are left out.

    python benchmarks/gateway.py
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from endpoint import Endpoint, serving

from filial import Message, Record, Request
from filial.engine.commit import open_writer
from filial.engine.stage import StageContext
from filial.gateway import Budget, BudgetAccount, Gateway, Ledger
from filial_plugins.filters.evolved import Evolved
from filial_plugins.stages.evolve import Choice, Evolution, Evolve, evolve_records
from filial_plugins.stages.filter import FilterStep
from filial_plugins.strategies.deepen import Deepen
from filial_plugins.teachers.openai import OpenAI

TEXT = "Explain in your own words how the tide moves along a coast, and what a harbour master makes of it. " * 3
AT_ONCE = (64, 256, 1024)
ROUNDS = 3
WARM = 100


def prompts(label: str, n: int) -> list[str]:
    """Different texts of about 330 bytes."""
    return [f"{label} {i}: {TEXT}" for i in range(n)]


async def timed(work: Callable[[list[str]], Awaitable[None]], label: str, n: int) -> float:
    """CPU milliseconds per request."""
    await work(prompts(f"warm {label}", WARM))
    start = time.process_time()
    await work(prompts(label, n))
    return 1000 * (time.process_time() - start) / n


async def bare(url: str, label: str, n: int, at_once: int) -> float:
    """The default client of the `openai` package."""
    import openai

    async with openai.AsyncOpenAI(api_key="none", base_url=url, max_retries=0, timeout=120) as client:
        places = asyncio.Semaphore(at_once)

        async def one(text: str) -> None:
            async with places:
                turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]
                await client.chat.completions.create(model="m", messages=turns, max_tokens=4096)  # type: ignore[arg-type]

        async def work(texts: list[str]) -> None:
            await asyncio.gather(*map(one, texts))

        return await timed(work, label, n)


def opened(url: str, folder: Path, at_once: int) -> Gateway:
    """A gateway as a capped run has it: with a ledger and a journal of what it spends."""
    price = {"prompt": 0.15, "completion": 0.6}
    teacher = OpenAI(model="m", base_url=url, max_concurrency=at_once, usd_per_million=price)
    account = BudgetAccount(Budget(usd=1000.0), folder / "spend.sqlite")
    return Gateway("filial:openai", teacher, Ledger(folder / "ledger.sqlite"), account)


async def through_gateway(url: str, label: str, n: int, at_once: int, folder: Path) -> float:
    """`ctx.ask` without a stage: gateway, ledger, journal."""
    gateway = opened(url, folder, at_once)

    async def work(texts: list[str]) -> None:
        system = Message(role="system", content="Be brief.")
        asked = (Request(messages=(system, Message(role="user", content=text))) for text in texts)
        await asyncio.gather(*(gateway.ask(request) for request in asked))

    try:
        return await timed(work, label, n)
    finally:
        await gateway.close()
        gateway.account.close()


async def through_evolve(url: str, label: str, n: int, at_once: int, folder: Path) -> float:
    """A whole evolve stage: a strategy, its answer, the elimination rules, ids, records and drops on disk."""
    gateway = opened(url, folder, at_once)
    settings = Evolve(strategies=["deepen"])
    plan = Evolution([Choice("deepen", "filial:deepen", Deepen())], [FilterStep("filial:evolved", Evolved())], settings)

    async def work(texts: list[str]) -> None:
        records = [Record(id=f"{i:016x}", instruction=text) for i, text in enumerate(texts[: len(texts) // 2])]
        with open_writer(folder / label.replace(" ", "-")) as writer:
            env = StageContext(stage="evolve", seed=1, writer=writer, ask=gateway.ask, window=gateway.window)
            await evolve_records(records, plan, env)
            assert env.counters.find_imbalance() == ""
            assert env.counters.out > len(records) * 1.5, env.counters

    try:
        return await timed(work, label, n)
    finally:
        await gateway.close()
        gateway.account.close()


def cost(endpoint: Endpoint, n: int) -> None:
    """CPU per request of the three, at each concurrency."""
    print(f"CPU ms per request, median of {ROUNDS} ({n:,} requests each, answers of 60 words, no latency)\n")
    print("in flight   openai default   gateway   evolve stage   default : gateway")
    for at_once in AT_ONCE:
        figures: dict[str, list[float]] = {"bare": [], "gateway": [], "evolve": []}
        for turn in range(ROUNDS):
            label = f"{at_once} {turn}"
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                figures["bare"].append(asyncio.run(bare(endpoint.url, label, n, at_once)))
                figures["gateway"].append(asyncio.run(through_gateway(endpoint.url, f"g {label}", n, at_once, folder)))
                figures["evolve"].append(asyncio.run(through_evolve(endpoint.url, f"e {label}", n, at_once, folder)))
        bare_ms, ours, evolve = (statistics.median(figures[name]) for name in ("bare", "gateway", "evolve"))
        print(f"{at_once:9,}   {bare_ms:14.2f}   {ours:7.2f}   {evolve:12.2f}   {bare_ms / ours:15.1f} x", flush=True)


async def filled(endpoint: Endpoint, at_once: int, n: int, latency_ms: float) -> None:
    """Mean in flight while work remains, as the gateway counts it every 20 ms and as the server counts it in all."""
    endpoint.reset(latency_ms=latency_ms)
    samples: list[tuple[int, int]] = []
    with tempfile.TemporaryDirectory() as name:
        gateway = opened(endpoint.url, Path(name), at_once)
        left = n

        async def one(text: str) -> None:
            nonlocal left
            await gateway.ask(Request(messages=(Message(role="user", content=text),)))
            left -= 1

        async def watch() -> None:
            while left > at_once:
                await asyncio.sleep(0.02)
                now = gateway.status()
                samples.append((now.in_flight, now.window))

        watching = asyncio.create_task(watch())
        start = time.process_time()
        await asyncio.gather(*(one(text) for text in prompts(f"full {at_once}", n)))
        cpu = time.process_time() - start
        watching.cancel()
        await gateway.close()
        gateway.account.close()
    share = sum(i for i, _ in samples) / sum(w for _, w in samples)
    mean = sum(i for i, _ in samples) / len(samples)
    server = endpoint.stats()
    print(
        f"max_concurrency {at_once}, {latency_ms:g} ms: mean in flight {mean:.0f} = {100 * share:.0f} % of the window; "
        f"the server counts {server['mean_in_flight']:.0f} from first to last; "
        f"{1000 * cpu / n:.2f} CPU ms per request"
    )


def main() -> int:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 3000
    with serving() as endpoint:
        cost(endpoint, n)
        print()
        for at_once in (64, 256):
            asyncio.run(filled(endpoint, at_once, 20 * at_once, 200.0))
    return 0


if __name__ == "__main__":
    sys.exit(main())
