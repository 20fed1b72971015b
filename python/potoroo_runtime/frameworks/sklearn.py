"""scikit-learn models, pickled by pickle or joblib."""

from __future__ import annotations

import warnings
from typing import Any, Callable

from ..framework import Framework


def _model(context: Any) -> Any:
    from ..tabular import unpickle

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = unpickle(context.path)
    for warning in caught:
        print(f"warning: {str(warning.message).splitlines()[0]}")
    warnings.filterwarnings("ignore", message="X does not have valid feature names")
    return model


def load(context: Any) -> Callable:
    from ..tabular import predictor

    model = _model(context)
    features = getattr(model, "feature_names_in_", None)
    return predictor(model, context.outputs, "predictions", None if features is None else tuple(map(str, features)))


def convert(context: Any) -> Any:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    from ..onnx_fit import input_width, wants_double
    from ..tabular import methods_of

    model = _model(context)
    kind = DoubleTensorType if wants_double(context.inputs) else FloatTensorType
    methods = methods_of(model, context.outputs, "predictions")
    options = {id(model): {"zipmap": False}} if hasattr(model, "predict_proba") else None
    made = to_onnx(model, initial_types=[("X", kind([None, input_width(context.inputs)]))], options=options, target_opset={"": 17, "ai.onnx.ml": 3})
    names = [output.name for output in made.graph.output]
    given = {"predict_proba": names[1] if len(names) > 1 else names[0]}
    return made, [given.get(method, names[0]) for method in methods.values()]


FRAMEWORK = Framework(
    names=("sklearn",),
    load=load,
    needs_input_schema=True,
    convert=convert,
    requirements=(
        "scikit-learn==1.9.1; python_version >= '3.11'",
        "scikit-learn==1.6.1; python_version < '3.11'",
        "joblib>=1.4",
        "onnx>=1.17",
        "skl2onnx>=1.19",
        "onnxruntime>=1.19",
    ),
    guide_requirements=("scikit-learn==1.3.0", "numpy<2", "pandas<2.3"),
)
