"""`python -m bench [NAME ...]`: runs the named measurements, or all of them, one after the other."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys

import bench


def main() -> int:
    """Runs `main()` of each chosen module of this package that has one."""
    names = [module.name for module in pkgutil.iter_modules(bench.__path__) if not module.name.startswith("_")]
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measures automesh beside peers, in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which: {', '.join(names)} (default: all)")
    chosen = parser.parse_args().names or names
    if unknown := [name for name in chosen if name not in names]:
        print(f"bench: there is no {', '.join(unknown)}; there are {', '.join(names)}", file=sys.stderr)
        return 2
    for name in chosen:
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"bench.{name}").main()
    return 0


if __name__ == "__main__":
    sys.exit(main())
