"""TensorFlow SavedModels, zipped. Schemas that the upload does not give are those of the signature."""

from __future__ import annotations

from typing import Any, Callable

from ..framework import Framework


def load(context: Any) -> Callable:
    from ..saved_model import predictor, schema_of, signature_of, specs

    function = signature_of(context.path)
    if context.inputs is None:
        context.inputs = schema_of(specs(function))
    if context.outputs is None:
        context.outputs = schema_of(dict(function.structured_outputs))
    return predictor(function, lambda: context.outputs)


FRAMEWORK = Framework(
    names=("tensorflow",),
    load=load,
    archive="always",
    runtime="tensorflow",
    requirements=("tensorflow-cpu==2.21.0; python_version >= '3.10'", "tensorflow-cpu==2.20.0; python_version < '3.10'"),
    guide_requirements=("tensorflow==2.9.3", "protobuf<3.20", "numpy<1.27", "pandas<2.3"),
)
