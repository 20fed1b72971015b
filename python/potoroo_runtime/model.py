"""One loaded model: unpacked, loaded, warmed up, its answers held to its schemas."""

from __future__ import annotations

import time
import zipfile
from pathlib import Path
from typing import Any, Callable, Iterator, List, Mapping, Optional, Sequence

import pyarrow as pa

from .archive import unpack
from .columns import conform
from .errors import ModelError, as_model_error, last_line, tell
from .framework import Context, Framework, find
from .inputs import Inputs
from .sample import sample
from .schema import read_schema, to_fields
from .wire import END_OF_STREAM, too_large

# Warm-up that takes longer than this is not repeated to find the best time.
REPEAT_BELOW_MS = 200.0
#: Answers to requests that were handed over together: with so many bytes no other is begun before they are sent.
ENOUGH = 64 << 20


def open_context(path: Path, framework: str, config: Mapping[str, Any], work: Path, stage: Callable[[str], None] = lambda _: None) -> "tuple[Framework, Context]":
    found = find(framework)
    context = Context(
        path=path,
        file_name=str(config.get("fileName") or path.name),
        framework=framework,
        inputs=read_schema(config.get("inputSchema"), "input"),
        outputs=read_schema(config.get("outputSchema"), "output"),
        options=dict(config.get("options") or {}),
    )
    if path.is_dir():
        return found, context
    if found.archive == "always" or (found.archive == "maybe" and context.suffix == ".zip" and zipfile.is_zipfile(path)):
        stage("unpack")
        folder = work / "model"
        folder.mkdir(parents=True)
        context.path = unpack(path, folder)
    return found, context


class Model:
    def __init__(self, path: Path, framework: str, config: Mapping[str, Any], work: Path, stage: Callable[[str], None]) -> None:
        self.framework, self.context = open_context(path, framework, config, work, stage)
        self.notes: List[str] = []
        self.warm_up_ms = 0.0
        stage("load")
        try:
            self.predict = self.framework.load(self.context)
        except Exception as error:
            tell(error)
            raise as_model_error(error, "model_invalid", "The model could not be loaded") from error
        stage("warm-up")
        self._warm_up()

    def run(self, table: pa.Table) -> pa.RecordBatch:
        """Raises ModelError: `schema_mismatch` and kin for what does not fit, `inference_failed` for what the model raises."""
        return self._answer(Inputs(table, self.context.inputs))

    def run_each(self, table: pa.Table, sizes: Sequence[int], seconds: float, begin: Callable[[int], None], most: int) -> "Iterator[tuple[pa.RecordBatch, dict]]":
        """The rows of several requests, each run by itself; after so many seconds, or when there is much to send, no other is begun.

        Gives the rows of all that went well, and of those that were begun how many each gave (`rows`) and [index, code, message] of each that
        failed (`failed`). What would be more than `most` bytes in one comes in two, `more` with the first.
        """
        until = time.perf_counter() + seconds
        try:
            whole = Inputs(table, self.context.inputs)
        except ModelError:
            whole = None  # each of them says for itself whether it fits
        answers, rows, failed, first, size = [], [], [], 0, 0
        for i, count in enumerate(sizes):
            if i > 0 and (time.perf_counter() > until or size > ENOUGH):
                break
            begin(i)
            try:
                inputs = whole.part(first, count) if whole is not None else Inputs(table.slice(first, count), self.context.inputs)
                answer, own = _fitting(self._answer(inputs), most)
            except Exception as error:
                if not isinstance(error, ModelError):
                    tell(error)
                known = as_model_error(error, "inference_failed", "The model's process failed")
                rows.append(0)
                failed.append([i, known.code, known.message])
            else:
                # Together they may need a little more than each by itself: bits for nulls.
                if answers and size + own > most // 4 * 3:
                    yield self._together(answers), {"rows": rows, "failed": failed, "more": True}
                    answers, rows, failed, size = [], [], [], 0
                answers.append(answer)
                rows.append(answer.num_rows)
                size += own
            first += count
        yield self._together(answers), {"rows": rows, "failed": failed}

    def _together(self, answers: List[pa.RecordBatch]) -> pa.RecordBatch:
        if len(answers) == 1:
            return answers[0]
        together = pa.Table.from_batches(answers, self.context.outputs).combine_chunks().to_batches()
        return together[0] if together else pa.RecordBatch.from_pylist([], self.context.outputs)

    def _answer(self, inputs: Inputs) -> pa.RecordBatch:
        try:
            answer = self.predict(inputs)
        except Exception as error:
            if not isinstance(error, ModelError):
                tell(error)
            raise as_model_error(error, "inference_failed", "The model failed on this data") from error
        try:
            return conform(columns_of(answer), self.context.outputs, "output", inputs.rows if self.framework.aligned else None)
        except MemoryError as error:
            raise as_model_error(error, "inference_failed", "The model's answer could not be sent") from error

    def _warm_up(self) -> None:
        if self.context.inputs is None:
            self.notes.append("The model has no input schema, so no warm-up inference was run; declare one to have it proven before it serves.")
            return
        given = self.framework.warm_up(self.context) if self.framework.warm_up is not None else None
        rows = sample(self.context.inputs, 1, None, given)
        for _ in range(3):
            start = time.perf_counter()
            try:
                answer = self.run(rows)
            except ModelError as error:
                if error.code == "inference_failed" and error.__cause__ is not None and self.framework.lenient:
                    self.notes.append(f"The model refused the made-up warm-up row: {last_line(error.__cause__)}.")
                    return
                raise ModelError(error.code if error.code == "engine_out_of_memory" else "warm_up_failed", f"The warm-up inference failed. {error.message}") from error
            taken = (time.perf_counter() - start) * 1000
            self.warm_up_ms = taken if self.warm_up_ms == 0 else min(self.warm_up_ms, taken)
            if self.context.outputs is None:
                self.context.outputs = answer.schema if self.framework.aligned else None
            if taken > REPEAT_BELOW_MS:
                break

    def describe(self) -> "tuple[dict, bytes, bytes]":
        """Head of the ready message and the two schemas as Arrow messages (empty where there is none)."""
        messages = [schema.serialize().to_pybytes() if schema is not None else b"" for schema in (self.context.inputs, self.context.outputs)]
        head = {
            "type": "ready", "inputs": to_fields(self.context.inputs), "outputs": to_fields(self.context.outputs), "warmUpMs": self.warm_up_ms,
            "aligned": self.framework.aligned, "notes": self.notes, "inputBytes": len(messages[0]), "outputBytes": len(messages[1]),
        }
        return head, messages[0], messages[1]


def _fitting(answer: pa.RecordBatch, most: int) -> "tuple[pa.RecordBatch, int]":
    """The answer and its bytes, as they go out. Raises ModelError where it is too large for a message of its own."""
    size = pa.ipc.get_record_batch_size(answer)
    if size > most // 2:
        with_schema = size + answer.schema.serialize().size + len(END_OF_STREAM)
        if with_schema > most:
            raise too_large(with_schema, most)
    return answer, size


def columns_of(answer: Any) -> Mapping[str, Any]:
    if isinstance(answer, Mapping):
        return {str(name): value for name, value in answer.items()}
    if isinstance(answer, (pa.Table, pa.RecordBatch)):
        return dict(zip(answer.schema.names, answer.columns))
    if hasattr(answer, "columns") and hasattr(answer, "iloc"):
        return {str(name): column for name, column in answer.items()}
    raise ModelError("inference_failed", f"The model returned a {type(answer).__name__}; it must return columns by name (a dictionary, a DataFrame or an Arrow table).")
