"""What a training runs on, for its run and its model card."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from services.model.trainer.job import Job
from services.model.trainer.ranks import Place

PACKAGES = ("automesh", "torch", "numpy", "polars", "safetensors", "onnx", "onnxruntime")


def environment(job: Job, device: torch.device, place: Place, precision: str) -> dict[str, Any]:
    """Hardware, versions, digests."""
    return {
        "device": device.type,
        "device_name": _device_name(device),
        "precision": precision,
        "processes": place.world,
        "nodes": place.nodes,
        "threads": torch.get_num_threads(),
        "cpus": len(os.sched_getaffinity(0)),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "versions": {name: found for name in PACKAGES if (found := _version(name))},
        "cuda": torch.version.cuda or "",
        "digests": {**job.digests, "learning": job.learning_digest},
        "deterministic": job.spec.deterministic,
        "seed": job.spec.seed,
    }


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
