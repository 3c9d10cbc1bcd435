"""What the agent is told by its environment, beyond what every process of the mesh is told."""

from __future__ import annotations

import os
from pathlib import Path

import psutil
from pydantic import Field

from automesh.mesh.settings import MeshSettings
from automesh.sdk.agent import MAX_SLOTS

_OWN = "AUTOMESH_"


def program_environment() -> dict[str, str]:
    """What programs of tasks inherit: all that this process has, but what the platform is told, which holds secrets."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OWN)}


class Settings(MeshSettings):
    """Settings of the agent; `--slots` and `--unsafe-sandbox` of the command line go first."""

    service: str = "agent"
    agent_name: str = Field("", description="for people; empty: the name of the machine and the instance id")
    slots: int = Field(
        default_factory=lambda: max(1, os.cpu_count() or 1),
        ge=1,
        le=MAX_SLOTS,
        description="how many tasks it may hold at once; empty: one for each CPU",
    )
    unsafe_sandbox: bool = Field(False, description="run what tasks bring without isolation; never where others submit")
    work_dir: Path | None = Field(None, description="where attempts have their scratch folders; empty: state_dir/work")
    pynguin_python: Path | None = Field(
        None, description="a Python with the package pynguin (it needs an environment of its own); empty: do without"
    )
    source_roots: tuple[Path, ...] = Field((), description="folders below which a task may name a `path`, as JSON")
    gpus: str = Field(
        "auto",
        pattern=r"^(auto|none|\d+(,\d+)*)$",
        description="GPUs for trainings: auto (all that nvidia-smi lists), none, or their numbers, as 0,2",
    )
    dataset_cache_dir: Path | None = Field(
        None, description="where datasets are kept between trainings, shared by agents; empty: state_dir/cache/datasets"
    )
    dataset_cache_bytes: int = Field(
        0,
        ge=0,
        description="how much of them may stay, unencrypted, while no training uses it",
    )
    program_memory_bytes: int = Field(
        default_factory=lambda: psutil.virtual_memory().total * 3 // 4,
        ge=0,
        description="what the program of a data_processing or model_training task may allocate; empty: three quarters "
        "of the machine's memory; 0: no limit",
    )
    program_silence_s: float = Field(
        120.0, gt=0, description="a program that says nothing for so long is taken to hang, and stopped"
    )
    task_drain_s: float = Field(7.0, ge=0, description="how long running tasks may take once the process stops")
