"""Stands in for the programs of the data and model services: follows the contract, does what job.json says."""

import json
import os
import signal
import sys
import time
from pathlib import Path

FOLDER = Path(sys.argv[-1])
JOB = json.loads((FOLDER / "job.json").read_text())


def say(kind: str, **fields: object) -> None:
    print(json.dumps({"kind": kind, **fields}), flush=True)  # noqa: T201 # lines are what a program says


def write(name: str, text: str) -> dict[str, str]:
    path = FOLDER / "out" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return {"name": name}


def checkpoint(step: int, *, best: bool = False) -> None:
    folder = f"checkpoints/{step:06}"
    write(f"{folder}/model.safetensors", f"weights of step {step}")
    write(f"{folder}/state.json", json.dumps({"step": step}))
    say("checkpoint", folder=folder, step=step, best=best)


def stop(*_: object) -> None:
    checkpoint(99)
    say("stopped")
    sys.exit(0)


def inputs() -> dict[str, str]:
    below = FOLDER / "in"
    files = [Path(at) / name for at, _, names in os.walk(below, followlinks=True) for name in names]
    return {path.relative_to(below).as_posix(): path.read_text() for path in sorted(files)}


def process() -> None:
    say("progress", fraction=0.5, message="halfway")
    files = [write("train.parquet", "rows of " + ", ".join(inputs())), write("deep/statistics.json", "{}")]
    say("done", result={"state": JOB.get("state", "READY"), "rows": 3, "files": files})


def train() -> None:
    signal.signal(signal.SIGTERM, stop)
    say("environment", environment={"argv": sys.argv[:-1], "inputs": inputs(), "env": dict(os.environ)})
    for step in range(1, JOB.get("steps", 3) + 1):
        point = {"name": "train/loss", "value": 1 / step, "step": step, "epoch": 1, "time": 1790000000.5}
        say("points", points=[point], progress={"step": step, "best": {"name": "val/loss", "value": 0.5}})
        say("progress", fraction=step / 3, message=f"step {step}")
    checkpoint(1, best=True)
    if JOB.get("hangs"):
        time.sleep(600)
    files = [write("model/model.safetensors", "weights" * (JOB.get("bytes", 7) // 7)), write("model/config.json", "{}")]
    say("done", result={"metrics": {"val/loss": 0.25}, "files": files})


print("hello from the program", file=sys.stderr, flush=True)  # noqa: T201 # goes into the log
if "failure" in JOB:
    say("failed", **JOB["failure"])
elif "dies" in JOB:
    checkpoint(7)
    os.kill(os.getpid(), signal.SIGKILL)
elif "silent" in JOB:
    pass
elif JOB["op"] == "process":
    process()
else:
    train()
