"""`python -m benchmarks [NAME ...]`: all speed claims, or those named, as one table."""

from __future__ import annotations

import argparse
import importlib

from benchmarks.timing import Row, machine, table
from shoplens.progress import progress

NAMES = ("ragged", "cache", "duplicates", "ranking", "retrieval", "proxies")


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*NAMES, []], metavar="NAME", help=", ".join(NAMES))
    names = parser.parse_args().names or NAMES
    described = machine()
    rows: list[Row] = []
    for name in progress(names, "Benchmarks"):
        rows += importlib.import_module(f"benchmarks.{name}").run()
    print(described, table(rows), sep="\n\n")


if __name__ == "__main__":
    main()
