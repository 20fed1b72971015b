"""MXNet models as `HybridBlock.export` and `Module.save_checkpoint` write them: `<name>-symbol.json` and `<name>-<epoch>.params`, in one zip.

MXNet has had no release since 1.9.1, which needs an older numpy than Python 3.12 has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, Tuple

from ..errors import ModelError
from ..framework import Framework


def _files(root: Path) -> Tuple[Path, Path]:
    symbols = sorted(root.rglob("*-symbol.json"))
    if len(symbols) != 1:
        raise ModelError("model_invalid", f"The archive has {len(symbols)} files named *-symbol.json; it must have one, and the *.params beside it.")
    prefix = symbols[0].name[: -len("-symbol.json")]
    params = sorted(symbols[0].parent.glob(f"{prefix}-*.params"))
    if not params:
        raise ModelError("model_invalid", f"The archive lacks {prefix}-<epoch>.params beside {symbols[0].name}. Pack what export() wrote.")
    return symbols[0], params[-1]


def load(context: Any) -> Callable:
    import mxnet as mx
    import numpy as np

    from ..inputs import named

    symbol_file, params_file = _files(context.path)
    try:
        symbol = mx.sym.load(str(symbol_file))
        saved = mx.nd.load(str(params_file))
    except mx.base.MXNetError as error:
        raise ModelError("model_invalid", f"MXNet cannot read the model: {str(error).splitlines()[0]}") from None
    arguments, states = {}, {}
    for name, value in saved.items():
        kind, _, own = name.rpartition(":")
        (states if kind == "aux" else arguments)[own] = value
    names = [name for name in symbol.list_inputs() if name not in arguments and name not in states and not name.endswith("_label")]
    bound: Dict[tuple, Any] = {}

    def module(arrays: Dict[str, Any]) -> Any:
        shapes = [mx.io.DataDesc(name, array.shape, array.dtype) for name, array in arrays.items()]
        key = tuple((desc.name, desc.shape, str(desc.dtype)) for desc in shapes)
        if key not in bound:
            if len(bound) >= 8:  # one for each number of rows: the oldest goes
                bound.pop(next(iter(bound)))
            made = mx.mod.Module(symbol=symbol, data_names=names, label_names=None, context=mx.cpu())
            made.bind(for_training=False, data_shapes=shapes)
            made.set_params(arguments, states, allow_missing=True, allow_extra=True)
            bound[key] = made
        return bound[key]

    def predict(inputs: Any) -> Any:
        given = inputs.arrays()
        if len(names) == 1 and len(given) == 1:
            given = {names[0]: next(iter(given.values()))}
        missing = [name for name in names if name not in given]
        if missing:
            raise ModelError("schema_mismatch", f"The model takes {', '.join(map(repr, names))}; the input field {missing[0]!r} is missing.")
        arrays = {name: np.ascontiguousarray(given[name], dtype=np.float32 if given[name].dtype == np.float64 else given[name].dtype) for name in names}
        ready = module(arrays)
        ready.forward(mx.io.DataBatch([mx.nd.array(array, dtype=array.dtype) for array in arrays.values()]), is_train=False)
        return named([output.asnumpy() for output in ready.get_outputs()], context.outputs)

    return predict


FRAMEWORK = Framework(
    names=("mxnet",),
    load=load,
    needs_input_schema=True,
    archive="always",
    requirements=("mxnet==1.9.1", "numpy==1.23.5", "pandas==2.0.3"),
    pythons=("3.11", "3.10", "3.9"),
)
