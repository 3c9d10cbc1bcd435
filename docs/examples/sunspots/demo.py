"""`make demo-model`: from a file to predictions, by commands that are printed before they run.

python docs/examples/sunspots/demo.py [--state-dir FOLDER] [--keep]
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
TRITON = HERE.parents[2] / ".tools" / "tritonclient" / "bin" / "python"
TRUST_DOMAIN = "automesh.local"
GATES_FAILED = 3  # exit status of `automesh model gates`


class Walk:
    """The commands of the demonstration."""

    def __init__(self, options: list[str]) -> None:
        self._automesh = [sys.executable, "-m", "automesh.cli", *options]

    def say(self, title: str) -> None:
        """A heading."""
        print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n{title}", flush=True)

    def show(self, *arguments: str, may_exit: int = 0) -> None:
        """Prints the command and runs it before everybody's eyes."""
        print(f"$ automesh {shlex.join(arguments)}", flush=True)
        done = subprocess.run([*self._automesh, *arguments], check=False, cwd=HERE)
        if done.returncode not in {0, may_exit}:
            done.check_returncode()

    def ask(self, *arguments: str) -> str:
        """Runs a command for its output."""
        done = subprocess.run([*self._automesh, *arguments], check=True, cwd=HERE, stdout=subprocess.PIPE, text=True)
        return done.stdout

    def runs(self) -> bool:
        """Whether a stack runs already."""
        return subprocess.run([*self._automesh, "status"], check=False, capture_output=True).returncode == 0


def main() -> int:
    """Starts the stack if need be, walks, and stops what it started."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state-dir", help="of the stack; as in `automesh --state-dir`")
    parser.add_argument("--keep", action="store_true", help="leave the stack running afterwards")
    given = parser.parse_args()
    if not TRITON.exists():
        parser.exit(2, "demo: tritonclient is missing: run `make demo-model`, which brings it\n")
    walk = Walk(["--state-dir", given.state_dir] if given.state_dir else [])
    ours = not walk.runs()
    if ours:
        walk.say("The stack starts")
        walk.show("up", "--detach")
    try:
        tour(walk)
    except subprocess.CalledProcessError as error:
        print(f"demo: the command failed with exit status {error.returncode}; look: automesh logs", file=sys.stderr)
        return 1
    finally:
        if ours and not given.keep:
            walk.say("The stack stops")
            walk.show("down")
    return 0


def tour(walk: Walk) -> None:
    """The whole way."""
    walk.say("1  A dataset of a file: checked, split by time, scaled by the training years, cut into windows")
    walk.show("data", "process", "sunspots", "--file", "yearly.csv", "--pipeline", "pipeline.yaml", "--wait")
    dataset = newest(walk)
    walk.show("data", "stats", dataset)
    walk.say("2  An LSTM learns to foretell the next year")
    walk.show("model", "train", "--data", dataset, "--watch", "lstm.yaml")
    lstm = latest(walk)
    walk.say("3  Gates in front of the champion, and the LSTM passes them")
    gates = ["--metric", "test/mae<=0.6", "--not-worse", "val/loss:10", "--latency-ms", "50"]
    walk.show("model", "set-gates", "sunspots", *gates)
    walk.show("model", "promote", "sunspots", str(lstm))
    walk.say("4  A Transformer asks for its place")
    walk.show("model", "train", "--data", dataset, "--watch", "transformer.yaml")
    walk.show("model", "compare", f"sunspots:{lstm}", f"sunspots:{latest(walk)}")
    walk.show("model", "gates", "sunspots", "--version", str(latest(walk)), may_exit=GATES_FAILED)
    walk.show("model", "moves", "sunspots")
    walk.say("5  The champion foretells years it never saw, asked by tritonclient over mutual TLS")
    foretell(walk, dataset)
    walk.say("6  Curves, residuals and the model itself, as files")
    walk.show(
        "model",
        "export",
        "sunspots",
        "--version",
        str(lstm),
        "--out",
        str(Path(tempfile.gettempdir()) / "automesh-sunspots"),
    )


def newest(walk: Walk) -> str:
    """The dataset made last."""
    return str(json.loads(walk.ask("data", "list", "--json"))[0]["dataId"])


def latest(walk: Walk) -> int:
    """The latest version of the model."""
    models = json.loads(walk.ask("model", "list", "--json"))
    return next(int(model["latestVersion"]) for model in models if model["name"] == "sunspots")


def foretell(walk: Walk, dataset: str) -> None:
    """Downloads the part for testing and has tritonclient ask for it."""
    mean, std = scaling(json.loads(walk.ask("data", "show", dataset, "--json")))
    with tempfile.TemporaryDirectory() as scratch:
        test = Path(scratch) / "test.csv"
        walk.show("data", "download", dataset, "--part", "test", "--format", "csv", "--out", str(test))
        walk.show("cert", "issue", "--client", "demo", "--out", scratch)
        address = walk.ask("mesh", "address", "model").strip()
        command = [str(TRITON), "foretell.py", address, scratch, f"model.{TRUST_DOMAIN}", str(test), mean, std]
        print("$ python foretell.py ...", flush=True)
        subprocess.run(command, check=True, cwd=HERE, input=walk.ask("token"), text=True)


def scaling(shown: dict[str, Any]) -> tuple[str, str]:
    """Mean and standard deviation of the training years, from the facts of the version."""
    facts = next(step for step in shown["version"]["facts"]["steps"] if step.get("method") == "Z_SCORE")
    column = facts["columns"]["sunspots"]
    return str(column["mean"]), str(column["std"])


if __name__ == "__main__":
    sys.exit(main())
