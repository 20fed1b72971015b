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


END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"


def _leave_if_full(limit: int) -> None:
    """A model that keeps what it took would fail on every request to come; a process of its own that starts anew does not."""
    gc.collect()
    if limit and process.private_bytes() > limit * 3 // 4:
        print(f"The model keeps {process.private_bytes() >> 20} of its {limit >> 20} MiB; its process ends, and another takes over.", flush=True)
        os._exit(MEMORY_KEPT)


def _serve(wire: Any, model: Any, memory: int, at: "process.At") -> None:
    import pyarrow as pa

    schema = head_of_stream = None
    while True:
        with wire.reading:
            message = wire.receive()
        if message is None:
            return
        head, body = message
        op, number = head.get("op"), head.get("id")
        try:
            if op == "run":
                start = time.perf_counter()
                try:
                    table = pa.ipc.open_stream(pa.py_buffer(body)).read_all()
                except (pa.ArrowException, OSError) as error:
                    raise ModelError("malformed_body", f"The Arrow stream cannot be read: {error}.") from None
                failed: list = []
                if "parts" in head:
                    answer, rows, failed = model.run_each(table, head["parts"], head["withinMs"] / 1000, lambda part: at.note(number, part))
                    more = {"rows": rows, "failed": failed}
                else:
                    answer, more = model.run(table), {}
                if schema is None or not answer.schema.equals(schema):
                    schema, head_of_stream = answer.schema, answer.schema.serialize()
                wire.send({"type": "result", "id": number, "ms": (time.perf_counter() - start) * 1000, **more}, head_of_stream, answer.serialize(), END_OF_STREAM)
                if any(code == "engine_out_of_memory" for _, code, _ in failed):
                    _leave_if_full(memory)
            elif op == "ping":
                wire.send({"type": "pong", "id": number, "rss": process.resident_bytes()})
            elif op == "describe":
                described, inputs, outputs = model.describe()
                wire.send({**described, "id": number}, inputs, outputs)
            else:
                raise ModelError("invalid_request", f"The operation {op!r} is not one of run, ping, describe.")
        except ModelError as error:
            wire.send({"type": "error", "id": number, "code": error.code, "message": error.message})
            if error.code == "engine_out_of_memory":
                _leave_if_full(memory)
        except (BrokenPipeError, ConnectionError):
            return
        except Exception as error:
            tell(error)
            known = as_model_error(error, "inference_failed", "The model's process failed")
            wire.send({"type": "error", "id": number, "code": known.code, "message": known.message})


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
