"""The wire between an engine and a model's process.

The engine listens on a Unix socket; the process connects to it once, and the connection's end is the end of either side.
A message is a prefix of 12 bytes (head length as u32, body length as u64, little-endian), a head (JSON, UTF-8, at most
1 MiB) and a body (an Arrow IPC stream, possibly empty, at most `max_body` bytes).

Process to engine, while it loads, about once a second:
    {"type": "progress", "stage": str, "cpu": seconds of CPU used, "rss": bytes resident}
then one of:
    {"type": "ready", "inputs": [Field] | null, "outputs": [Field] | null, "warmUpMs": float, "aligned": bool, "notes": [str],
     "inputBytes": int, "outputBytes": int}    body: the two schemas as Arrow schema messages, one after the other
    {"type": "failed", "code": str, "message": str}    then it exits with 4
Engine to process, any number at a time, answered in any order:
    {"op": "run", "id": int} + Arrow stream  ->  {"type": "result", "id", "ms"} + Arrow stream | {"type": "error", "id", "code", "message"}
    {"op": "run", "id": int, "parts": [rows of each request], "withinMs": float} + Arrow stream of all of them, one after the other
                                             ->  {"type": "result", "id", "ms", "rows": [rows that each gave], "failed": [[index, code, message]]} + Arrow stream
        Each is run by itself, in their order. After `withinMs`, or when their answers are large, no other is begun: `rows` is of those
        that were. Where the answers do not fit one message, one with "more": true comes before: of the first ones, in the same form.
        Who began which stands in the file `at` in the process's folder (u64 id, u64 index), for when it ends unasked.
    {"op": "describe", "id": int}            ->  the ready message again, with that id
    {"op": "ping", "id": int}                ->  {"type": "pong", "id", "rss"}
As many requests are worked on at once as the model's `concurrency` says; a ping waits its turn like the others, so that an
answer means that the model still gets through its work.
"""

from __future__ import annotations

import json
import socket
import struct
import threading
from typing import Any, Optional

from .errors import ModelError

PREFIX = struct.Struct("<IQ")
MAX_HEAD = 1 << 20
MAX_BODY = 1 << 30
#: Of an Arrow IPC stream.
END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"
#: Messages up to this size are read several at once, and written at once.
SMALL = 1 << 16
_encode = json.JSONEncoder(separators=(",", ":")).encode


def too_large(size: int, most: int) -> ModelError:
    return ModelError("inference_failed", f"The model's answer has {size} bytes; at most {most} are let through. Return fewer rows or smaller values.")


class Wire:
    """One connected socket. `receive` is for one thread at a time (the caller holds `reading`); `send` may be called by any."""

    def __init__(self, connection: socket.socket, max_body: int = MAX_BODY) -> None:
        self.connection = connection
        self.max_body = max_body
        self.reading = threading.Lock()
        self._writing = threading.Lock()
        #: What arrived and is not taken yet: bytes `_start` to `_end`.
        self._buffer = memoryview(bytearray(SMALL))
        self._start = self._end = 0

    def send(self, head: dict, *body: Any) -> None:
        """`body` are buffers, sent one after the other."""
        text = _encode(head).encode()
        views = [memoryview(part).cast("B") for part in body]
        views = [view for view in views if view.nbytes]
        size = sum(view.nbytes for view in views)
        if size > self.max_body:
            raise too_large(size, self.max_body)
        start = PREFIX.pack(len(text), size) + text
        with self._writing:
            if size <= SMALL:
                self.connection.sendall(b"".join([start, *views]))
                return
            self.connection.sendall(start)
            for view in views:
                self.connection.sendall(view)

    def receive(self) -> Optional[tuple]:
        """(head, body) of the next message; None when the peer closed. Raises ConnectionError on what is not a message."""
        if not self._have(PREFIX.size):
            return None
        head_size, body_size = PREFIX.unpack_from(self._buffer, self._start)
        if head_size > MAX_HEAD or body_size > self.max_body:
            raise ConnectionError(f"a message of {head_size} + {body_size} bytes is over the bound")
        self._start += PREFIX.size
        return json.loads(bytes(self._take(head_size))), self._take(body_size)

    def _have(self, size: int) -> bool:
        """Reads until `size` bytes lie here; False when the connection ended before the first."""
        while self._end - self._start < size:
            if self._start > 0:
                rest = bytes(self._buffer[self._start:self._end])
                self._start, self._end = 0, len(rest)
                self._buffer[: len(rest)] = rest
            count = self.connection.recv_into(self._buffer[self._end :])
            if count == 0 and self._end == 0:
                return False
            if count == 0:
                raise ConnectionError("the connection ended inside a message")
            self._end += count
        return True

    def _take(self, size: int) -> memoryview:
        """The next bytes, in memory of their own."""
        data = memoryview(bytearray(size))
        have = min(size, self._end - self._start)
        data[:have] = self._buffer[self._start : self._start + have]
        self._start += have
        while have < size:
            count = self.connection.recv_into(data[have:])
            if count == 0:
                raise ConnectionError("the connection ended inside a message")
            have += count
        return data
