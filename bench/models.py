"""Training of both networks on one CPU thread, beside a plain PyTorch loop and Lightning; on a GPU where one is.

Every training is a process of its own; the peers take turns, and all see the same data, batches and epochs. What counts
is windows learned per CPU second of an epoch with its validation: other processes of the machine change the wall time.
"""

from __future__ import annotations

import importlib.util
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LIGHTNING = ROOT / ".tools" / "bench-models"
NETWORKS = ("lstm", "transformer")
TRAIN = 800
ROUNDS, EPOCHS = 3, 10
GPU_EPOCHS = 60
GOALS = {"lstm": 1.5, "transformer": 2.0}
GPU_GOAL = 5.0
STREAMING_GOAL = 0.01

Result = dict[str, Any]


def main() -> None:
    """Prints figures and ratios for each network."""
    if importlib.util.find_spec("torch") is None:
        print("torch is not here: `make setup-model` brings it")
        return
    peers = ["ours", "plain", *(["lightning"] if LIGHTNING.exists() else [])]
    if "lightning" not in peers:
        print("Lightning is not here: `make bench-models` brings it to .tools/bench-models")
    print(f"CPU, 1 thread, passive OpenMP, batch 64, {TRAIN} windows of 100 x 10; {ROUNDS} rounds of {EPOCHS} epochs")
    for network in NETWORKS:
        report(network, compare(network, peers, EPOCHS, "cpu"))
    if cuda():
        for network in NETWORKS:
            report_gpu(network, compare(network, peers, GPU_EPOCHS, "cuda"))
    else:
        print("\nno GPU here: the part about GPUs is left out")


def compare(network: str, peers: list[str], epochs: int, device: str) -> dict[str, list[Result]]:
    """Results by peer, one for each round."""
    found: dict[str, list[Result]] = {peer: [] for peer in peers}
    for turn in range(ROUNDS):
        for peer in peers[turn % len(peers) :] + peers[: turn % len(peers)]:
            found[peer].append(run(peer, network, epochs, device))
    return found


def run(peer: str, network: str, epochs: int, device: str) -> Result:
    """One training in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "bench._model_runs", peer, network, str(epochs), device],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{LIGHTNING}"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{peer} on {network} ended with {done.returncode}: {done.stderr[-2000:]}")
    result: Result = json.loads(done.stdout.splitlines()[-1])
    return result


def speeds(results: list[Result], what: str) -> list[float]:
    """Windows a second of each epoch but the first, over all rounds; `what` is "seconds" (CPU) or "wall"."""
    return [TRAIN / each for result in results for each in result[what][1:]]


def report(network: str, found: Mapping[str, list[Result]]) -> None:
    """A table, the ratios against plain, and whether the goals are met."""
    print(f"\n{network}: windows per CPU second (median, best), times plain (median), validation loss at the end")
    plain = statistics.median(speeds(found["plain"], "seconds"))
    for peer, results in found.items():
        own = speeds(results, "seconds")
        loss = statistics.median(result["losses"][-1] for result in results)
        print(
            f"  {peer:<10} {statistics.median(own):7.0f} {max(own):7.0f}   "
            f"x{statistics.median(own) / plain:4.2f}   {loss:.4f}"
        )
    ours = found["ours"]
    ratio = statistics.median(speeds(ours, "seconds")) / plain
    streaming = statistics.median(result["streaming"] for result in ours)
    print(
        f"  ours computes in {ours[0]['precision']}; goal >= {GOALS[network]}x plain: "
        f"{verdict(ratio >= GOALS[network])}"
    )
    print(
        f"  streaming takes {streaming:.3%} of the CPU time; goal <= {STREAMING_GOAL:.0%}: "
        f"{verdict(streaming <= STREAMING_GOAL)}"
    )


def report_gpu(network: str, found: Mapping[str, list[Result]]) -> None:
    """The same by wall time, which a GPU is judged by, with the share of it in which kernels ran."""
    print(f"\n{network} on the GPU: windows per second (median), validation loss at the end")
    speed = {peer: statistics.median(speeds(results, "wall")) for peer, results in found.items()}
    for peer, results in found.items():
        print(f"  {peer:<10} {speed[peer]:9.0f}   {statistics.median(r['losses'][-1] for r in results):.4f}")
    kernels = found["ours"][0]["kernel_share"]
    print(f"  ours: kernels run {kernels:.0%} of the wall time of a step")
    if "lightning" in speed:
        ratio = speed["ours"] / speed["lightning"]
        print(f"  x{ratio:.1f} Lightning; goal >= {GPU_GOAL:.0f}x: {verdict(ratio >= GPU_GOAL)}")


def cuda() -> bool:
    """Whether torch sees a GPU; asked in another process, as torch is large."""
    asked = [sys.executable, "-c", "import sys, torch; sys.exit(not torch.cuda.is_available())"]
    return subprocess.run(asked, check=False).returncode == 0


verdict: Callable[[bool], str] = {True: "met", False: "MISSED"}.__getitem__
