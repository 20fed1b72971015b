"""Python steps: a script whose function `wallaroo_json` takes the rows and gives rows.

What it takes is what its parameter is annotated with: a pandas DataFrame (also without an annotation), a dictionary of
lists, an Arrow table, a list of records, or `str`: one row as JSON text, one call a row. A function without annotation that
hands its argument to `json.loads` is found out by the TypeError of the first call and called with text from then on.
What it gives may be a DataFrame, an Arrow table, a list of records, a dictionary, or JSON text of the last two. `tensor_fields`
in a dictionary names the fields that count.
"""

from __future__ import annotations

import __future__
import importlib.machinery
import importlib.util
import inspect
import json
import linecache
import sys
from typing import Any, Callable, List, Mapping

from ..errors import ModelError
from ..framework import Framework

IMPORT_NAME = "potoroo_step"


def _kind(function: Callable) -> str:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        return "nothing"
    annotation = parameters[0].annotation
    text = annotation if isinstance(annotation, str) else getattr(annotation, "__name__", str(annotation))
    text = text.split("[")[0].split(".")[-1].strip("'\" ")
    kinds = {"str": "text", "bytes": "text", "dict": "dictionary", "Dict": "dictionary", "Mapping": "dictionary", "InferenceData": "arrays",
             "list": "records", "List": "records", "Table": "table"}
    return kinds.get(text, "frame")


def _depth(value: Any) -> int:
    depth = 0
    while isinstance(value, (list, tuple)) or getattr(value, "ndim", 0):
        depth += 1
        if len(value) == 0:
            break
        value = value[0]
    return depth


def columns_from(answer: Any, schema: Any) -> Any:
    """Columns by name, whatever of the allowed forms the step returned."""
    from ..schema import shape_of

    if isinstance(answer, (str, bytes)):
        try:
            answer = json.loads(answer)
        except ValueError as error:
            raise ModelError("inference_failed", f"The step returned text that is not JSON: {error}.") from None
    if isinstance(answer, (list, tuple)):
        if not all(isinstance(row, Mapping) for row in answer):
            raise ModelError("inference_failed", "The step returned a list; its items must be dictionaries, one a row.")
        names = list(answer[0]) if answer else [] if schema is None else schema.names
        for i, row in enumerate(answer):
            if list(row) != names and set(row) != set(names):
                raise ModelError("schema_mismatch", f"The output's row {i} has the fields {', '.join(map(repr, row))} and row 0 {', '.join(map(repr, names))}.")
        return {name: [row[name] for row in answer] for name in names}
    if not isinstance(answer, Mapping):
        return answer
    chosen = answer.get("tensor_fields")
    if isinstance(chosen, (list, tuple)) and all(isinstance(name, str) and name in answer for name in chosen):
        answer = {name: answer[name] for name in chosen}
    # A dictionary is columns, or one row: the declared type says which; undeclared, scalars say row.
    first = next(iter(answer.items()), None)
    if first is not None:
        name, value = first
        declared = schema.field(name).type if schema is not None and name in schema.names else None
        row = _depth(value) == (len(shape_of(declared)[0]) if declared is not None else 0)
        if row:
            return {key: [item] for key, item in answer.items()}
    return answer


def _merge(parts: List[Mapping[str, Any]]) -> Mapping[str, Any]:
    from ..columns import plain

    return parts[0] if len(parts) == 1 else {name: [item for part in parts for item in plain(part[name])] for name in parts[0]}


def _script(path: Any, name: str, flags: int = 0) -> Any:
    """The script as a module, run. Errors and tracebacks call it by its name; its file is called by its digest."""
    spec = importlib.util.spec_from_loader(IMPORT_NAME, importlib.machinery.SourceFileLoader(IMPORT_NAME, str(path)))
    module = importlib.util.module_from_spec(spec)
    sys.modules[IMPORT_NAME] = module
    content = path.read_bytes()
    linecache.cache[name] = (len(content), None, content.decode(errors="replace").splitlines(True), name)
    exec(compile(content, name, "exec", flags=flags, dont_inherit=True), vars(module))  # noqa: S102 - this is what the process is for
    return module


def load(context: Any) -> Callable:
    try:
        try:
            module = _script(context.path, context.file_name)
        except NameError:
            # The guide's step is annotated with pd.DataFrame and imports nothing: annotations may stay text.
            module = _script(context.path, context.file_name, __future__.annotations.compiler_flag)
    except (SyntaxError, UnicodeDecodeError) as error:
        raise ModelError("model_invalid", f"The script cannot be read as Python {sys.version_info[0]}.{sys.version_info[1]}: {error}.") from None
    function = getattr(module, "wallaroo_json", None)
    if not callable(function):
        raise ModelError("model_invalid", "The script has no function wallaroo_json. Define wallaroo_json(data), which takes the rows and returns rows.")
    kind = [_kind(function)]

    def call(inputs: Any) -> Any:
        if kind[0] == "text":
            return _merge([columns_from(function(json.dumps(row, default=str)), context.outputs) for row in inputs.records()])
        given = {"frame": inputs.frame, "dictionary": inputs.lists, "arrays": inputs.arrays, "records": inputs.records, "table": lambda: inputs.table}.get(kind[0])
        return columns_from(function(given()) if given is not None else function(), context.outputs)

    def predict(inputs: Any) -> Any:
        try:
            return call(inputs)
        except TypeError as error:
            if kind[0] != "frame" or "JSON object must be str" not in str(error):
                raise
            kind[0] = "text"
            return call(inputs)

    return predict


FRAMEWORK = Framework(names=("python",), load=load, aligned=False, lenient=True, runtime="python")
