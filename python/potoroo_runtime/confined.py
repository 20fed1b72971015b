"""`python -m potoroo_runtime.confined [--read PATH]... [--write PATH]... [--no-network] -- COMMAND...`: runs a command that can
write those paths only and read those and system files only, as far as the kernel offers it. It ends with its parent."""

from __future__ import annotations

import argparse
import os
import sys

from . import process, sandbox


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m potoroo_runtime.confined")
    parser.add_argument("--read", action="append", default=[])
    parser.add_argument("--write", action="append", default=[])
    parser.add_argument("--no-network", action="store_true")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    for sentence in sandbox.confine(arguments.read, arguments.write, network=not arguments.no_network):
        print(sentence, file=sys.stderr)
    sys.stderr.flush()
    process.die_with_parent()
    os.execvp(arguments.command[0], arguments.command)


if __name__ == "__main__":
    main()
