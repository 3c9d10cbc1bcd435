"""The Node packages of tests/polyglot: pinned, checked by digest, and from whatever registry this machine uses."""

import json
import re
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "polyglot"
WANTED = json.loads((FOLDER / "package.json").read_text())["dependencies"]
LOCK = json.loads((FOLDER / "package-lock.json").read_text())["packages"]


def test_every_package_is_pinned_to_one_version() -> None:
    assert {name for name, version in WANTED.items() if not re.fullmatch(r"\d+\.\d+\.\d+", version)} == set()
    assert LOCK[""]["dependencies"] == WANTED
    assert {name: LOCK[f"node_modules/{name}"]["version"] for name in WANTED} == WANTED


def test_the_lock_has_a_digest_of_everything_and_names_no_registry() -> None:
    packages = {name: entry for name, entry in LOCK.items() if name}
    assert {name for name, entry in packages.items() if not entry.get("integrity")} == set()
    assert {name for name, entry in packages.items() if "resolved" in entry} == set()
