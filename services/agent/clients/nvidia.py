"""Which NVIDIA GPUs this machine has, as its driver's own program tells. No GPU is a fine answer, too."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence

import structlog

from automesh.core.errors import ValidationError
from services.agent.domain.gpus import Gpu

PROGRAM = "nvidia-smi"
QUERY = ("--query-gpu=index,uuid,name,memory.total", "--format=csv,noheader,nounits")
LIMIT_S = 15.0  # a driver that is not loaded yet takes a while
MIB = 1024 * 1024

log = structlog.get_logger(__name__)


async def find_gpus(wanted: str = "auto", *, program: str = PROGRAM) -> Sequence[Gpu]:
    """`wanted` is "auto" for all, "none", or the indices to use, as "0,2". Raises ValidationError for one that is not
    there."""
    if wanted == "none":
        return ()
    found = await _present(program)
    if wanted == "auto":
        return found
    indices = [int(part) for part in wanted.split(",")]
    by_index = {gpu.index: gpu for gpu in found}
    if missing := [index for index in indices if index not in by_index]:
        raise ValidationError(
            f"AUTOMESH_GPUS names GPU {missing[0]}, and there is {sorted(by_index) or 'none'}: see `{program} -L`",
            field="gpus",
        )
    return tuple(by_index[index] for index in dict.fromkeys(indices))


async def _present(program: str) -> Sequence[Gpu]:
    path = shutil.which(program)
    if path is None:
        return ()
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    try:
        process = await asyncio.create_subprocess_exec(path, *QUERY, stdin=null, stdout=pipe, stderr=null)
    except OSError as error:
        log.warning("GPUs cannot be listed", program=path, error=str(error))
        return ()
    try:
        async with asyncio.timeout(LIMIT_S):
            output, _ = await process.communicate()
    except TimeoutError:
        log.warning("GPUs cannot be listed: the program does not answer", program=path)
        return ()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return gpus_from_csv(output.decode("utf-8", "replace")) if process.returncode == 0 else ()


def gpus_from_csv(text: str) -> Sequence[Gpu]:
    """What the program writes; a line that is none is passed over (a GPU that fell off the bus is told in words)."""
    return tuple(gpu for line in text.splitlines() if (gpu := _gpu(line)) is not None)


def _gpu(line: str) -> Gpu | None:
    cells = [cell.strip() for cell in line.split(",")]
    try:
        index, uuid, *name, memory = cells
        return Gpu(int(index), uuid, ", ".join(name), int(memory) * MIB)
    except ValueError:
        return None
