"""Keeps model code in its place: files by Landlock, network by a namespace of its own. Both need a Linux kernel that lets
an ordinary process ask for it; where it does not, the answer says so and the code runs without."""

from __future__ import annotations

import ctypes
import os
import struct
import sys
from typing import Iterable, List

_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
_CREATE, _ADD, _RESTRICT = 444, 445, 446
_NEW_USER, _NEW_NET = 0x10000000, 0x40000000
_NO_NEW_PRIVILEGES = 38
_DROP_BOUND = 24

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _IOCTL = 1 << 14, 1 << 15
#: Rights that the ABI versions 1, 2, 3, 4 and 5 know.
_KNOWN = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1, 5: (1 << 16) - 1}
_ON_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL
_READ = _EXECUTE | _READ_FILE | _READ_DIR
_SCOPES = 3  # no signals to, and no abstract sockets of, processes outside

_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/etc", "/proc", "/sys", "/opt", "/nix")


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _ON_FILES
        rule = struct.pack("<Qi", rights, handle)
        _libc.syscall(_ADD, ruleset, 1, rule, 0)
    finally:
        os.close(handle)


def confine_files(readable: Iterable[str], writable: Iterable[str]) -> bool:
    """From here on this thread and those it starts read only system files, their Python and `readable`, and write only
    `writable`. They cannot look into processes outside either. False where the kernel does not offer it."""
    abi = _libc.syscall(_CREATE, None, 0, 1) if _libc is not None else -1
    if abi < 1:
        return False
    handled = _KNOWN[min(abi, 5)]
    attributes = struct.pack("<QQQ", handled, 0, _SCOPES) if abi >= 6 else struct.pack("<Q", handled)
    ruleset = _libc.syscall(_CREATE, attributes, len(attributes), 0)
    if ruleset < 0:
        return False
    try:
        libraries = [part for part in os.environ.get("LD_LIBRARY_PATH", "").split(":") if part]
        runtime = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        for path in {*_SYSTEM, sys.prefix, sys.exec_prefix, sys.base_prefix, runtime, *libraries, *readable}:
            _allow(ruleset, os.path.realpath(path), handled & _READ)
        _allow(ruleset, "/dev", handled & (_READ | _WRITE_FILE | _IOCTL | _TRUNCATE))
        for path in {"/dev/shm", *writable}:
            _allow(ruleset, os.path.realpath(path), handled)
        if _libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
            return False
        if _libc.syscall(_RESTRICT, ruleset, 0) != 0:
            return False
        _drop_capabilities()
        return True
    finally:
        os.close(ruleset)


def _drop_capabilities() -> None:
    """Root's own ways around the rules, such as reading the memory and environment of other processes."""
    for capability in range(64):
        if _libc.prctl(_DROP_BOUND, capability, 0, 0, 0) != 0:
            break
    _libc.capset(struct.pack("<Ii", 0x20080522, 0), bytes(24))


def cut_network() -> bool:
    """From here on this process has a network with nothing in it. To be called before there is a second thread."""
    if _libc is None:
        return False
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_USER | _NEW_NET) != 0:
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            with open(f"/proc/self/{name}", "w", encoding="ascii") as file:
                file.write(text)
    except OSError:
        pass  # it then runs as nobody in particular, which does no harm
    return True


def confine(readable: Iterable[str], writable: Iterable[str], network: bool) -> List[str]:
    """Does what can be done; one sentence for each thing that cannot."""
    lacking = []
    if not network and not cut_network():
        lacking.append("This system does not let a process give up its network; model code may reach it.")
    if not confine_files(readable, writable):
        lacking.append("This system has no Landlock; model code may read and write the files that this user may.")
    return lacking
