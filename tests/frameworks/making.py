"""How the model-making scripts write down a case: a model file, its schemas, rows to send and what the framework itself says to them."""

import base64
import json
import pathlib
import sys
import zipfile

import numpy as np
import pyarrow as pa

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "python"))
from potoroo_runtime.columns import to_arrow  # noqa: E402

FOLDER = pathlib.Path(sys.argv[1])
CASES = []


def schema(**fields):
    return pa.schema([pa.field(name, kind) for name, kind in fields.items()])


def encoded(given):
    return None if given is None else base64.b64encode(given.serialize().to_pybytes()).decode()


def table(columns, given):
    if given is None:
        return pa.table(columns)
    return pa.table([to_arrow(columns[field.name], field.type, field.name) for field in given], schema=given)


def write(name, content):
    path = FOLDER / name
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, content.schema) as writer:
        writer.write_table(content.combine_chunks())
    return path.name


def case(name, framework, file, inputs, outputs, rows, expected, **more):
    """`rows` and `expected`: columns by name. `more`: tolerance, convert (whether it becomes ONNX), options."""
    CASES.append({
        "name": name, "framework": framework, "file": str(file), "inputSchema": encoded(inputs), "outputSchema": encoded(outputs),
        "rows": write(f"{name}.in.arrow", table(rows, inputs)), "expected": write(f"{name}.out.arrow", table(expected, outputs)), **more,
    })


def archive(name, files, folder="model"):
    """A zip of `folder`/name: bytes, text or a path."""
    path = FOLDER / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for inner, content in files.items():
            if isinstance(content, pathlib.Path):
                packed.write(content, f"{folder}/{inner}")
            else:
                packed.writestr(f"{folder}/{inner}", content)
    return path


def archive_of(name, source, folder="model"):
    source = pathlib.Path(source)
    return archive(name, {str(path.relative_to(source)): path for path in sorted(source.rglob("*")) if path.is_file()}, folder)


def done():
    (FOLDER / "cases.json").write_text(json.dumps(CASES))


__all__ = ["np", "pa"]
