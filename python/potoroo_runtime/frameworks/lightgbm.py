"""LightGBM models: pickles, and LightGBM's own text files."""

from __future__ import annotations

from typing import Any, Callable

from ..framework import Framework


def _model(context: Any) -> Any:
    import lightgbm

    if context.suffix == ".txt":
        return lightgbm.Booster(model_file=str(context.path))
    from ..tabular import unpickle

    return unpickle(context.path)


def load(context: Any) -> Callable:
    from ..tabular import predictor

    return predictor(_model(context), context.outputs, "output")


def convert(context: Any) -> Any:
    from onnxmltools import convert_lightgbm
    from onnxmltools.convert.common.data_types import FloatTensorType

    from ..onnx_fit import input_width
    from ..tabular import methods_of

    model = _model(context)
    made = convert_lightgbm(model, initial_types=[("X", FloatTensorType([None, input_width(context.inputs)]))], target_opset=15, zipmap=False)
    names = [output.name for output in made.graph.output]
    return made, [names[1] if method == "predict_proba" else names[0] for method in methods_of(model, context.outputs, "output").values()]


FRAMEWORK = Framework(
    names=("lightgbm",),
    load=load,
    needs_input_schema=True,
    convert=convert,
    requirements=(
        "lightgbm==4.7.0; python_version >= '3.10'",
        "lightgbm==4.6.0; python_version < '3.10'",
        "scikit-learn==1.9.1; python_version >= '3.11'",
        "scikit-learn==1.6.1; python_version < '3.11'",
        "joblib>=1.4",
        "onnx>=1.17",
        "onnxmltools>=1.13",
        "onnxruntime>=1.19",
    ),
)
