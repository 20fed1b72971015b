"""What this process does about itself: ends with its parent, keeps within its memory, tells how it gets on."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import struct
import sys
import threading
from pathlib import Path


def die_with_parent() -> None:
    """The kernel's part of it, on Linux; it holds over an exec."""
    if sys.platform == "linux":
        parent_death_signal = 1  # PR_SET_PDEATHSIG
        ctypes.CDLL(None, use_errno=True).prctl(parent_death_signal, signal.SIGKILL, 0, 0, 0)


def end_with_parent() -> None:
    """Ends this process when the one that started it does: the kernel's word on Linux, the end of stdin (a pipe held there) everywhere."""
    die_with_parent()

    def watch() -> None:
        while True:
            try:
                if not os.read(0, 4096):
                    break
            except OSError:
                break
        os._exit(0)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def limit_memory(limit: int) -> None:
    """No more than `limit` bytes of writable private memory. Mapped files and reserved addresses do not count on Linux."""
    kind = resource.RLIMIT_DATA if sys.platform == "linux" else resource.RLIMIT_AS
    hard = resource.getrlimit(kind)[1]
    bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (bound, bound))


def limit_file(limit: int) -> None:
    """No file grows beyond `limit` bytes: writing more fails as on a full disk, and the process goes on."""
    hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bound, bound))


class At:
    """Which part of which message is being worked on, in a file that outlives this process."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(bytes(_PAIR.size))
        with open(path, "r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _PAIR.size)

    def note(self, message: int, part: int) -> None:
        _PAIR.pack_into(self._memory, 0, message, part)


_PAIR = struct.Struct("<QQ")


def private_bytes() -> int:
    """What counts against `limit_memory`, as near as this system tells."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmData:"))
    except (OSError, StopIteration):
        return resident_bytes()


def resident_bytes() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024


def cpu_seconds() -> float:
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime
