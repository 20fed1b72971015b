"""Errors that a caller may see: a stable code of the contract and one sentence. Tracebacks go to the log only."""

from __future__ import annotations

import sys
import threading
import time
import traceback


class ModelError(Exception):
    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def last_line(error: BaseException) -> str:
    """What a traceback's last line would say, in at most 500 characters: type and message."""
    text = " ".join(str(error).split())
    name = type(error).__name__
    return (f"{name}: {text}" if text else name)[:500]


def as_model_error(error: BaseException, code: str, what: str) -> ModelError:
    """Anything that came out of model code, typed. Codes: the given one, or `engine_out_of_memory`."""
    if isinstance(error, ModelError):
        return error
    if isinstance(error, MemoryError):
        return ModelError("engine_out_of_memory", f"{what}: the model's process reached its memory limit. Give the model more memory or send fewer rows a request.")
    return ModelError(code, f"{what}: {last_line(error)}")


#: A model that fails on every request says why once in this many seconds.
REPEAT_AFTER = 1.0
_told: dict = {}
_telling = threading.Lock()


def tell(error: BaseException) -> None:
    """Its traceback into the log, in one write. Where the same line has failed a moment ago it is only counted, and the next one says how often."""
    last_frame = error.__traceback__
    while last_frame is not None and last_frame.tb_next is not None:
        last_frame = last_frame.tb_next
    where = (type(error), last_frame.tb_frame.f_code, last_frame.tb_lineno) if last_frame is not None else (type(error), None, 0)
    with _telling:
        last, left = _told.get(where, (None, 0))
        now = time.monotonic()
        if last is not None and now - last < REPEAT_AFTER:
            _told[where] = (last, left + 1)
            return
        if len(_told) > 100:
            _told.clear()
        _told[where] = (now, 0)
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    sys.stderr.write(f"{text}({left} more like it since the last that is shown.)\n" if left else text)
    sys.stderr.flush()
