"""Requests go together, in order, and one that goes away or fails hurts nobody else."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from services.model.domain.serving.versions import BatchLimits
from services.model.serving.batcher import Batcher, ModelUnloaded, QueueFull
from services.model.serving.statistics import Statistics

LIMIT_S = 10


class Gate:
    """A model that doubles, and computes only while it is open."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.sizes: list[int] = []

    def __call__(self, rows: np.ndarray) -> np.ndarray:
        self.entered.set()
        assert self.open.wait(LIMIT_S)
        self.sizes.append(len(rows))
        if (rows < 0).any():
            raise ValueError("negative")
        return rows * 2


@pytest.fixture
async def executor() -> AsyncIterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def rows(*values: float) -> np.ndarray:
    return np.asarray(values, dtype=np.float32).reshape(-1, 1)


async def entered(gate: Gate) -> None:
    assert await asyncio.to_thread(gate.entered.wait, LIMIT_S)


async def test_what_waits_while_a_batch_computes_goes_together(executor: ThreadPoolExecutor) -> None:
    gate, statistics = Gate(), Statistics()
    batcher = Batcher(gate, executor, BatchLimits(max_rows=8), statistics)
    gate.open.clear()
    first = asyncio.create_task(batcher.submit(rows(1)))
    await entered(gate)
    others = [asyncio.create_task(batcher.submit(rows(value))) for value in (2, 3, 4)]
    await asyncio.sleep(0)
    gate.open.set()
    answers = await asyncio.gather(first, *others)
    assert [answer.item() for answer in answers] == [2, 4, 6, 8]
    assert gate.sizes == [1, 3]
    assert (statistics.windows, statistics.executions, statistics.queue.count) == (4, 2, 4)


async def test_a_batch_never_exceeds_its_bound_but_a_large_request_goes_alone(executor: ThreadPoolExecutor) -> None:
    gate = Gate()
    batcher = Batcher(gate, executor, BatchLimits(max_rows=2), Statistics())
    gate.open.clear()
    first = asyncio.create_task(batcher.submit(rows(0)))
    await entered(gate)
    others = [asyncio.create_task(batcher.submit(rows(*[1] * size))) for size in (1, 1, 1, 5)]
    await asyncio.sleep(0)
    gate.open.set()
    await asyncio.gather(first, *others)
    assert gate.sizes == [1, 2, 1, 5]


async def test_a_request_may_wait_for_company(executor: ThreadPoolExecutor) -> None:
    gate = Gate()
    batcher = Batcher(gate, executor, BatchLimits(max_rows=2, max_delay_s=LIMIT_S), Statistics())
    first = asyncio.create_task(batcher.submit(rows(1)))
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT_S / 2):  # the batch is full: nobody waits the delay out
        await asyncio.gather(first, batcher.submit(rows(2)))
    assert gate.sizes == [2]


async def test_nobody_comes_and_the_delay_ends(executor: ThreadPoolExecutor) -> None:
    batcher = Batcher(Gate(), executor, BatchLimits(max_rows=2, max_delay_s=0.01), Statistics())
    async with asyncio.timeout(LIMIT_S):
        assert (await batcher.submit(rows(3))).item() == 6


async def test_a_full_queue_refuses(executor: ThreadPoolExecutor) -> None:
    gate = Gate()
    batcher = Batcher(gate, executor, BatchLimits(max_queue=1), Statistics())
    gate.open.clear()
    first = asyncio.create_task(batcher.submit(rows(1)))
    await entered(gate)
    second = asyncio.create_task(batcher.submit(rows(2)))
    await asyncio.sleep(0)
    with pytest.raises(QueueFull) as refused:
        await batcher.submit(rows(3))
    assert refused.value.retry_after is not None
    gate.open.set()
    await asyncio.gather(first, second)


async def test_a_caller_that_goes_away_is_passed_over(executor: ThreadPoolExecutor) -> None:
    gate = Gate()
    batcher = Batcher(gate, executor, BatchLimits(), Statistics())
    gate.open.clear()
    first = asyncio.create_task(batcher.submit(rows(1)))
    await entered(gate)
    gone, stays = (asyncio.create_task(batcher.submit(rows(value))) for value in (2, 3))
    await asyncio.sleep(0)
    gone.cancel()
    gate.open.set()
    assert (await stays).item() == 6
    await first
    assert gate.sizes == [1, 1]


async def test_an_error_of_the_model_reaches_its_batch_and_the_next_goes_on(executor: ThreadPoolExecutor) -> None:
    batcher = Batcher(Gate(), executor, BatchLimits(), Statistics())
    with pytest.raises(ValueError, match="negative"):
        await batcher.submit(rows(-1))
    assert (await batcher.submit(rows(1))).item() == 2


async def test_closing_answers_what_waits_and_refuses_what_comes(executor: ThreadPoolExecutor) -> None:
    gate = Gate()
    batcher = Batcher(gate, executor, BatchLimits(), Statistics())
    gate.open.clear()
    waiting = [asyncio.create_task(batcher.submit(rows(value))) for value in (1, 2)]
    await entered(gate)
    closing = asyncio.create_task(batcher.close())
    await asyncio.sleep(0)
    with pytest.raises(ModelUnloaded):
        await batcher.submit(rows(3))
    gate.open.set()
    async with asyncio.timeout(LIMIT_S):
        assert [answer.item() for answer in await asyncio.gather(*waiting)] == [2, 4]
        await closing
