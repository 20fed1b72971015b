"""The first process of a container that runs a model. It starts the command and waits for it, and ends with the engine.

    python contained.py --leash SOCKET [--forward SOCKET PORT,PORT...] -- COMMAND...

It connects to the engine at the leash, tells in one line of JSON which limits the kernel holds it to
({"memory": bytes or null, "cpus": number or null}), and in another one, whenever the engine sends something, what is used of them
({"memory": bytes or null, "cpu": seconds or null}); when that connection ends so does everything here. With --forward it listens
on that socket and carries connections to the first of the ports that is open, so that a server is reached in a container without
a network. Exits as the command does; with 128 + n when signal n ended that, and with 117 when it was at its memory limit.

This file is run by itself, by whatever Python (3.6 or later) an image has: it may import nothing but the standard library.
"""

import json
import os
import select
import signal
import socket
import sys
import threading

OUT_OF_MEMORY = 117
CANNOT_START = 127
GROUPS = "/sys/fs/cgroup"


def read_words(path):
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except (OSError, ValueError):
        return []


def out_of_memory_kills():
    """How often the kernel has ended a process here because of the memory limit."""
    for path in (GROUPS + "/memory.events", GROUPS + "/memory/memory.oom_control"):
        words = read_words(path)
        if "oom_kill" in words:
            return int(words[words.index("oom_kill") + 1])
    return 0


def limits():
    memory = (read_words(GROUPS + "/memory.max") or read_words(GROUPS + "/memory/memory.limit_in_bytes") or ["max"])[0]
    quota = read_words(GROUPS + "/cpu.max") or read_words(GROUPS + "/cpu/cpu.cfs_quota_us") + read_words(GROUPS + "/cpu/cpu.cfs_period_us")
    return {
        "memory": int(memory) if memory.isdigit() and int(memory) < 1 << 60 else None,
        "cpus": int(quota[0]) / int(quota[1]) if len(quota) == 2 and quota[0].isdigit() else None,
    }


def number(words, name):
    return int(words[words.index(name) + 1]) if name in words else 0


def usage():
    """Memory without the files that the kernel would let go of first, as container tools count it; and time of the processor."""
    used = read_words(GROUPS + "/memory.current")
    if used:
        idle = number(read_words(GROUPS + "/memory.stat"), "inactive_file")
        micros = number(read_words(GROUPS + "/cpu.stat"), "usage_usec")
        return {"memory": max(0, int(used[0]) - idle), "cpu": micros / 1e6}
    used = read_words(GROUPS + "/memory/memory.usage_in_bytes")
    idle = number(read_words(GROUPS + "/memory/memory.stat"), "total_inactive_file")
    nanos = read_words(GROUPS + "/cpuacct/cpuacct.usage")
    return {"memory": max(0, int(used[0]) - idle) if used else None, "cpu": int(nanos[0]) / 1e9 if nanos else None}


def pump(source, sink):
    try:
        while True:
            data = source.recv(1 << 16)
            if not data:
                break
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        for end in (source, sink):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass


def carry(connection, ports):
    for port in ports:
        try:
            server = socket.create_connection(("127.0.0.1", port), 30)
        except OSError:
            continue
        server.settimeout(None)
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        answer = threading.Thread(target=pump, args=(server, connection), daemon=True)
        answer.start()
        pump(connection, server)
        answer.join()
        server.close()
        break
    connection.close()


def forward(listener, ports):
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=carry, args=(connection, ports), daemon=True).start()


def listen(path):
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(path)
    os.chmod(path, 0o777)  # the engine may be another user; nobody else can enter the folder
    listener.listen(64)
    return listener


def start(command):
    """The command's process. Its standard input is a pipe that ends with this process."""
    kept, _ = os.pipe()
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.dup2(kept, 0)
        os.execvp(command[0], command)
    except OSError as error:
        os.write(2, ("%s cannot be started: %s\n" % (command[0], error.strerror)).encode())
    os._exit(CANNOT_START)


def wait(child, leash, wake):
    """The command's exit status; None when the engine is gone."""
    while True:
        readable = select.select([leash, wake], [], [])[0]
        if leash in readable:
            try:
                if not leash.recv(4096):
                    return None
                leash.sendall(json.dumps(usage()).encode() + b"\n")
            except OSError:
                return None
        if wake not in readable:
            continue
        os.read(wake, 4096)
        while True:  # what the command started and left is this process's to bury
            try:
                found, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if found == child:
                return status
            if found == 0:
                break


def main(arguments):
    split = arguments.index("--")
    options, command = arguments[:split], arguments[split + 1 :]
    leash = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        leash.connect(options[options.index("--leash") + 1])
    except OSError:
        return 0  # the engine ended before this began
    leash.sendall(json.dumps(limits()).encode() + b"\n")
    kills = out_of_memory_kills()
    if "--forward" in options:
        at = options.index("--forward")
        ports = [int(port) for port in options[at + 2].split(",")]
        threading.Thread(target=forward, args=(listen(options[at + 1]), ports), daemon=True).start()
    wake, woken = os.pipe()
    os.set_blocking(woken, False)
    signal.set_wakeup_fd(woken)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    child = start(command)
    status = wait(child, leash, wake)
    try:
        os.killpg(child, signal.SIGKILL)  # outside a process namespace what is left would live on
    except OSError:
        pass
    if status is None:
        return 0
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    if os.WTERMSIG(status) == signal.SIGKILL and out_of_memory_kills() > kills:
        return OUT_OF_MEMORY
    return 128 + os.WTERMSIG(status)


if __name__ == "__main__":
    os._exit(main(sys.argv[1:]))
