"""`python -m potoroo_runtime.convert --model FILE --framework F --out FILE --work DIR --config JSON`

Tries to make an ONNX model of an uploaded one and compares the two on made-up input. The last line of stdout is JSON:
`{"ok": true, "rows": n, "largestDifference": x, "notes": [...]}` with the model in `--out`, or `{"ok": false, "reason": "one sentence"}`
and the model is to be run by its framework. The uploaded bytes are loaded in this process: without network, with no files
but its own folder to write, and with limits of memory and time. Exits 0 in both cases."""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from . import process, sandbox
from .errors import ModelError, last_line

ROWS = 64
#: Largest file that the conversion may write.
MAX_FILE = 8 << 30
#: Floats agree within this, relative to the larger one and absolute near zero.
TOLERANCE = 1e-4
ABSOLUTE = 1e-5


def _compare(own: Any, converted: dict) -> float:
    """The largest difference; raises ModelError naming the field and row where the two do not agree."""
    import numpy as np

    from .columns import to_numpy

    largest = 0.0
    for name in own.column_names:
        ours, theirs = to_numpy(own.column(name)), np.asarray(converted[name])
        if ours.shape != theirs.shape:
            raise ModelError("model_unsupported", f"The converted model's output {name!r} has the shape {list(theirs.shape)} and the framework's {list(ours.shape)}.")
        if ours.dtype.kind == "f":
            difference = np.abs(ours.astype(np.float64) - theirs.astype(np.float64))
            bound = ABSOLUTE + TOLERANCE * np.maximum(np.abs(ours), np.abs(theirs))
            wrong = ~((difference <= bound) | (np.isnan(ours) & np.isnan(theirs)) | (ours == theirs))
            largest = max(largest, float(np.nanmax(difference, initial=0.0)))
        else:
            wrong = ours != theirs
        if wrong.any():
            row = int(np.argwhere(wrong)[0][0])
            count = int(np.any(wrong.reshape(len(wrong), -1), axis=1).sum())
            raise ModelError("model_unsupported", f"The converted model does not agree with the framework: output {name!r} differs in {count} of {len(wrong)} rows, first in row {row}.")
    return largest


def _convert(arguments: argparse.Namespace, config: dict) -> dict:
    from .columns import conform, to_numpy
    from .inputs import Inputs
    from .model import columns_of, open_context
    from .sample import sample

    framework, context = open_context(Path(arguments.model), arguments.framework, config, Path(arguments.work))
    if framework.convert is None:
        raise ModelError("model_unsupported", f"Models of the framework {arguments.framework} are run by Python.")
    if context.inputs is None or context.outputs is None:
        raise ModelError("model_unsupported", "A conversion needs the input and the output schema.")
    import onnxruntime

    from .onnx_fit import fit

    made, chosen = framework.convert(context)
    matrix = len(made.graph.input) == 1 and len(context.inputs) > 1 or arguments.framework in ("sklearn", "xgboost", "lightgbm")
    fitted = fit(made, context.inputs, context.outputs, chosen, matrix)
    out = Path(arguments.work) / "converted.onnx"
    out.write_bytes(fitted.SerializeToString())
    onnxruntime.set_default_logger_severity(4)
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    predict = framework.load(context)
    largest = 0.0
    for seed in (1, 2):
        rows = sample(context.inputs, ROWS, seed)
        own = conform(columns_of(predict(Inputs(rows))), context.outputs, "output", ROWS)
        answer = session.run(None, {name: to_numpy(rows.column(name)) for name in rows.column_names})
        largest = max(largest, _compare(own, dict(zip([output.name for output in session.get_outputs()], answer))))
    os.replace(out, arguments.out)
    return {"ok": True, "rows": 2 * ROWS, "largestDifference": largest}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m potoroo_runtime.convert")
    for name in ("model", "framework", "out", "work"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--config", default="{}", help="JSON: fileName, inputSchema, outputSchema, options, memory")
    arguments = parser.parse_args()
    config = json.loads(arguments.config)
    os.chdir(arguments.work)
    lacking = sandbox.confine([arguments.model], [arguments.work, os.path.dirname(os.path.abspath(arguments.out))], network=False)
    process.end_with_parent()
    process.limit_file(MAX_FILE)
    if config.get("memory"):
        process.limit_memory(int(config["memory"]))
    # What the model prints goes to stderr, so that the answer is the only thing on stdout.
    answer_to = os.dup(1)
    os.dup2(2, 1)
    try:
        answer = {**_convert(arguments, config), "notes": lacking}
    except ModelError as error:
        answer = {"ok": False, "reason": error.message}
    except BaseException as error:
        traceback.print_exc()
        answer = {"ok": False, "reason": f"The conversion failed: {last_line(error)}"}
    sys.stdout.flush()
    sys.stderr.flush()
    os.write(answer_to, (json.dumps(answer) + "\n").encode())
    os._exit(0)


if __name__ == "__main__":
    main()
