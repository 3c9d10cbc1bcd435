"""Finding GPUs, and who may use which."""

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from automesh.core.errors import ValidationError
from services.agent.clients.nvidia import find_gpus, gpus_from_csv
from services.agent.domain.gpus import Gpu, GpuLeases, GpuUnavailable

GIB = 1024**3
ONE, TWO = Gpu(0, "GPU-a", "NVIDIA H100 80GB HBM3", 80 * GIB), Gpu(1, "GPU-b", "NVIDIA H100 80GB HBM3", 80 * GIB)
LISTING = "0, GPU-a, NVIDIA H100 80GB HBM3, 81920\n1, GPU-b, NVIDIA H100 80GB HBM3, 81920\n"
LIMIT_S = 10


@pytest.fixture
def program(tmp_path: Path) -> str:
    """Stands in for nvidia-smi: answers as it does on a machine with two GPUs."""
    path = tmp_path / "nvidia-smi"
    path.write_text(f'#!/bin/sh\ncase "$*" in *query-gpu*csv*) printf "{LISTING}";; *) exit 2;; esac\n')
    path.chmod(0o755)
    return str(path)


async def test_gpus_are_found_as_the_driver_lists_them(program: str) -> None:
    assert await find_gpus(program=program) == (ONE, TWO)
    assert await find_gpus("1", program=program) == (TWO,)
    assert await find_gpus("none", program=program) == ()


async def test_a_gpu_that_is_not_there_cannot_be_chosen(program: str) -> None:
    with pytest.raises(ValidationError, match=r"AUTOMESH_GPUS names GPU 7, and there is \[0, 1\]"):
        await find_gpus("1,7", program=program)


async def test_a_machine_without_a_driver_has_no_gpus(tmp_path: Path) -> None:
    assert await find_gpus(program="no-such-program") == ()
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed'; exit 9\n")
    broken.chmod(0o755)
    assert await find_gpus(program=str(broken)) == ()


def test_a_gpu_that_fell_off_is_passed_over() -> None:
    assert gpus_from_csv("Unable to determine the device handle for GPU0\n" + LISTING) == (ONE, TWO)
    assert gpus_from_csv("0, GPU-a, Odd, name, 1\n") == (Gpu(0, "GPU-a", "Odd, name", 1024**2),)


async def test_a_run_has_its_gpu_alone_and_the_next_one_waits() -> None:
    leases, waited = GpuLeases([ONE]), asyncio.Event()

    async def second() -> tuple[Gpu, ...]:
        async with leases.lease(1, on_wait=waited.set) as gpus:
            return gpus

    async with asyncio.timeout(LIMIT_S):
        async with leases.lease(1) as gpus:
            assert gpus == (ONE,)
            task = asyncio.create_task(second())
            await waited.wait()
            assert not task.done()
        assert await task == (ONE,)


async def test_runs_that_share_are_spread_and_keep_out_those_that_do_not() -> None:
    leases, waited = GpuLeases([ONE, TWO]), asyncio.Event()
    async with asyncio.timeout(LIMIT_S), AsyncExitStack() as stack:
        taken = [(await stack.enter_async_context(leases.lease(1, shared=True)))[0] for _ in range(4)]
        assert sorted(gpu.index for gpu in taken) == [0, 0, 1, 1]
        alone = asyncio.create_task(stack.enter_async_context(leases.lease(1, on_wait=waited.set)))
        await waited.wait()
        alone.cancel()
        await asyncio.wait([alone])
        assert alone.cancelled()


async def test_whoever_needs_several_is_not_passed_by() -> None:
    leases, order, waiting = GpuLeases([ONE, TWO]), list[str](), asyncio.Semaphore(0)

    async def run(name: str, count: int) -> None:
        async with leases.lease(count, on_wait=waiting.release):
            order.append(name)

    async with asyncio.timeout(LIMIT_S):
        async with leases.lease(1):
            tasks = [asyncio.create_task(run("both", 2))]
            await waiting.acquire()
            tasks.append(asyncio.create_task(run("one", 1)))
            await waiting.acquire()
            assert order == []
        await asyncio.gather(*tasks)
    assert order == ["both", "one"]


async def test_a_cancelled_wait_lets_the_next_one_through_and_a_cancelled_grant_is_given_back() -> None:
    leases, waited = GpuLeases([ONE]), asyncio.Event()

    async def hold() -> None:
        async with leases.lease(1, on_wait=waited.set):
            await asyncio.Event().wait()

    async with asyncio.timeout(LIMIT_S):
        async with leases.lease(1):
            task = asyncio.create_task(hold())
            await waited.wait()
        task.cancel()  # granted by now, and not yet told
        await asyncio.wait([task])
        async with leases.lease(1) as gpus:
            assert gpus == (ONE,)


async def test_more_gpus_than_there_are_is_refused_at_once() -> None:
    with pytest.raises(GpuUnavailable, match=r"2 GPU\(s\) are asked for and this machine has 1"):
        async with GpuLeases([ONE]).lease(2):
            pass
