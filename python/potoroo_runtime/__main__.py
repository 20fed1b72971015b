"""Serves one model to one engine. See `wire` for what goes over the socket; stdout and stderr are the model's log."""

from __future__ import annotations

import argparse
import faulthandler
import gc
import json
import os
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

from . import process, sandbox
from .errors import ModelError, as_model_error, tell

LOAD_FAILED = 4
MEMORY_KEPT = 5
#: Largest file that a model may write.
MAX_FILE = 8 << 30


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m potoroo_runtime", description="Serves one model to an engine over a Unix socket.")
    parser.add_argument("--model", required=True, help="the uploaded file, or a folder with the content of an archive")
    parser.add_argument("--framework", required=True)
    parser.add_argument("--socket", required=True, help="the engine listens there")
    parser.add_argument("--work", required=True, help="an empty folder of this process's own")
    parser.add_argument("--config", default="{}", help="JSON: fileName, inputSchema, outputSchema, concurrency, memory, maxBody, maxFile, readable, options")
    return parser.parse_args()


def _tell_progress(wire: Any, stage: list, done: threading.Event) -> None:
    while True:
        try:
            wire.send({"type": "progress", "stage": stage[-1], "cpu": process.cpu_seconds(), "rss": process.resident_bytes()})
        except OSError:
            os._exit(0)
        if done.wait(1.0):
            return


def _leave_if_full(limit: int) -> None:
    """A model that keeps what it took would fail on every request to come; a process of its own that starts anew does not."""
    gc.collect()
    if limit and process.private_bytes() > limit * 3 // 4:
        print(f"The model keeps {process.private_bytes() >> 20} of its {limit >> 20} MiB; its process ends, and another takes over.", flush=True)
        os._exit(MEMORY_KEPT)


class _Parts:
    """How far it got with requests that were handed over together: those that were begun are never run again, whatever becomes of their answers."""

    def __init__(self, number: int, at: "process.At") -> None:
        self.number, self.at = number, at
        self.begun = self.told = 0

    def begin(self, part: int) -> None:
        self.at.note(self.number, part)
        self.begun = part + 1

    def failed(self, error: ModelError) -> dict:
        untold = range(self.told, self.begun)
        return {"rows": [0 for _ in untold], "failed": [[part, error.code, error.message] for part in untold]}


def _serve(wire: Any, model: Any, memory: int, at: "process.At") -> None:
    import pyarrow as pa

    from .wire import END_OF_STREAM

    schema = head_of_stream = None
    while True:
        with wire.reading:
            message = wire.receive()
        if message is None:
            return
        head, body = message
        op, number = head.get("op"), head.get("id")
        parts = _Parts(number, at)
        try:
            if op == "run":
                start = time.perf_counter()
                try:
                    table = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
                except (pa.ArrowException, OSError) as error:
                    raise ModelError("malformed_body", f"The Arrow stream cannot be read: {error}.") from None
                full = False
                for answer, more in model.run_each(table, head["parts"], head["withinMs"] / 1000, parts.begin, wire.max_body) if "parts" in head else [(model.run(table), {})]:
                    if schema is None or not answer.schema.equals(schema):
                        schema, head_of_stream = answer.schema, answer.schema.serialize()
                    wire.send({"type": "result", "id": number, "ms": (time.perf_counter() - start) * 1000, **more}, head_of_stream, answer.serialize(), END_OF_STREAM)
                    parts.told += len(more.get("rows", ()))
                    full = full or any(code == "engine_out_of_memory" for _, code, _ in more.get("failed", ()))
                if full:
                    _leave_if_full(memory)
            elif op == "ping":
                wire.send({"type": "pong", "id": number, "rss": process.resident_bytes()})
            elif op == "describe":
                described, inputs, outputs = model.describe()
                wire.send({**described, "id": number}, inputs, outputs)
            else:
                raise ModelError("invalid_request", f"The operation {op!r} is not one of run, ping, describe.")
        except (BrokenPipeError, ConnectionError):
            return
        except Exception as error:
            if not isinstance(error, ModelError):
                tell(error)
            known = as_model_error(error, "inference_failed", "The model's process failed")
            if parts.begun:
                wire.send({"type": "result", "id": number, "ms": (time.perf_counter() - start) * 1000, **parts.failed(known)})
            else:
                wire.send({"type": "error", "id": number, "code": known.code, "message": known.message})
            if known.code == "engine_out_of_memory":
                _leave_if_full(memory)


def main() -> int:
    arguments = _arguments()
    faulthandler.enable()
    config = json.loads(arguments.config)
    lacking = sandbox.confine([arguments.model, arguments.socket, *(config.get("readable") or [])], [arguments.work], network=True)
    process.end_with_parent()
    process.limit_file(int(config.get("maxFile") or MAX_FILE))
    memory = int(config.get("memory") or 0)
    if memory:
        process.limit_memory(memory)

    from .wire import MAX_BODY, Wire

    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.connect(arguments.socket)
    wire = Wire(connection, int(config.get("maxBody") or MAX_BODY))
    stage, done = ["start"], threading.Event()
    threading.Thread(target=_tell_progress, args=(wire, stage, done), name="progress", daemon=True).start()
    work = Path(arguments.work)
    os.chdir(work)
    try:
        from .model import Model

        model = Model(Path(arguments.model), arguments.framework, config, work, stage.append)
        model.notes += lacking
        described, inputs, outputs = model.describe()
        done.set()
        # What is loaded stays: the collector need not go through it again and again.
        gc.collect()
        gc.freeze()
        wire.send(described, inputs, outputs)
    except BaseException as error:
        done.set()
        if not isinstance(error, ModelError):
            tell(error)
        known = as_model_error(error, "model_invalid", "The model could not be loaded")
        sys.stdout.flush()
        wire.send({"type": "failed", "code": known.code, "message": known.message})
        return LOAD_FAILED
    at = process.At(work / "at")
    for _ in range(int(config.get("concurrency") or 1) - 1):
        threading.Thread(target=_serve, args=(wire, model, memory, at), daemon=True).start()
    _serve(wire, model, memory, at)
    return 0


if __name__ == "__main__":
    code = 1
    try:
        code = main()
    finally:
        # Not through the interpreter's end: threads and libraries of model code may hang there.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
