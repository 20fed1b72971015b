"""PyTorch models in TorchScript form (.pt, .pth, .ot)."""

from __future__ import annotations

from typing import Any, Callable, List

from ..errors import ModelError, last_line
from ..framework import Framework


def _module(context: Any) -> Any:
    import torch

    try:
        return torch.jit.load(str(context.path), map_location="cpu").eval()
    except RuntimeError as error:
        raise ModelError("model_invalid", f"The file is not a TorchScript module; save the model with torch.jit.script(model).save(path). PyTorch says: {last_line(error)}") from error


def _tensors(module: Any, inputs: Any) -> List[Any]:
    """In the order of forward's arguments where the columns bear their names, else in the schema's order. Floats take the
    weights' type, as a module computes in one type."""
    import torch

    weight = next((p.dtype for p in module.parameters() if p.is_floating_point()), None)
    arrays = inputs.arrays()
    arguments = [argument.name for argument in module.forward.schema.arguments[1:]]
    names = [name for name in arguments if name in arrays] if set(arrays) <= set(arguments) else list(arrays)
    tensors = []
    for name in names:
        if arrays[name].dtype == object:
            raise ModelError("schema_mismatch", f"The input field {name!r} has text or rows of differing length, which a tensor cannot hold.")
        tensor = torch.from_numpy(arrays[name].copy())
        tensors.append(tensor.to(weight) if weight is not None and tensor.is_floating_point() else tensor)
    return tensors


def load(context: Any) -> Callable:
    import torch

    from ..inputs import named

    module = _module(context)

    def predict(inputs: Any) -> Any:
        with torch.inference_mode():
            answer = module(*_tensors(module, inputs))
        return named(answer, context.outputs)

    return predict


def convert(context: Any) -> Any:
    import io

    import onnx
    import pyarrow as pa
    import torch

    from ..inputs import Inputs
    from ..sample import sample
    from ..schema import shape_of

    for field in [*context.inputs, *context.outputs]:
        leaf = shape_of(field.type)[1]
        if pa.types.is_floating(leaf) and not pa.types.is_float32(leaf):
            raise ModelError("model_unsupported", f"The field {field.name!r} is {leaf}; a PyTorch model is converted when the floats of its schemas are float32.")
    module = _module(context)
    tensors = _tensors(module, Inputs(sample(context.inputs, 2, 3)))
    names = [f"x{i}" for i in range(len(tensors))]
    chosen = [f"y{i}" for i in range(len(context.outputs))]
    file = io.BytesIO()
    torch.onnx.export(module, tuple(tensors), file, dynamo=False, opset_version=17, input_names=names, output_names=chosen, dynamic_axes={name: {0: "rows"} for name in [*names, *chosen]})
    return onnx.load_model_from_string(file.getvalue()), chosen


FRAMEWORK = Framework(
    names=("pytorch",),
    load=load,
    needs_input_schema=True,
    convert=convert,
    requirements=("torch==2.9.1; python_version >= '3.10'", "torch==2.8.0; python_version < '3.10'", "onnx>=1.17", "onnxruntime>=1.19"),
    guide_requirements=("torch==1.13.1", "torchvision==0.14.1", "numpy<2", "pandas<2.3"),
)
