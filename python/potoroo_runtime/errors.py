"""Errors that a caller may see: a stable code of the contract and one sentence. Tracebacks go to the log only."""

from __future__ import annotations


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
