"""XGBoost models: pickles, and XGBoost's own JSON and UBJSON files."""

from __future__ import annotations

import json
from typing import Any, Callable

from ..framework import Framework


def _model(context: Any) -> Any:
    import xgboost

    if context.suffix not in (".json", ".ubj", ".ubjson", ".xgb", ".bst", ".model"):
        from ..tabular import unpickle

        return unpickle(context.path)
    suffix = ".json" if context.suffix == ".json" else ".ubj"
    path = context.path
    if path.suffix != suffix:  # the library goes by the name
        path = _linked(path, suffix)
    booster = xgboost.Booster(model_file=str(path))
    about = json.loads((booster.attributes() or {}).get("scikit_learn", "{}"))
    kinds = {"classifier": xgboost.XGBClassifier, "regressor": xgboost.XGBRegressor, "ranker": xgboost.XGBRanker}
    if about.get("_estimator_type") not in kinds:
        return booster
    model = kinds[about["_estimator_type"]]()
    model.load_model(str(path))
    return model


def _linked(path: Any, suffix: str) -> Any:
    from pathlib import Path

    link = Path.cwd() / f"model{suffix}"
    if not link.exists():
        link.symlink_to(path)
    return link


class _Booster:
    """A bare booster with a `predict` of a matrix."""

    def __init__(self, booster: Any) -> None:
        self._booster = booster

    def predict(self, rows: Any) -> Any:
        import xgboost

        return self._booster.predict(xgboost.DMatrix(rows, feature_names=self._booster.feature_names))


def load(context: Any) -> Callable:
    import xgboost

    from ..tabular import predictor

    model = _model(context)
    return predictor(_Booster(model) if isinstance(model, xgboost.Booster) else model, context.outputs, "output")


def convert(context: Any) -> Any:
    from onnxmltools import convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    from ..errors import ModelError
    from ..onnx_fit import input_width
    from ..tabular import methods_of

    model = _model(context)
    if not hasattr(model, "get_booster"):
        raise ModelError("model_unsupported", "A bare booster does not say whether it classifies, so it is served by XGBoost itself.")
    model.get_booster().feature_names = None
    made = convert_xgboost(model, initial_types=[("X", FloatTensorType([None, input_width(context.inputs)]))], target_opset=15)
    names = [output.name for output in made.graph.output]
    return made, [names[1] if method == "predict_proba" else names[0] for method in methods_of(model, context.outputs, "output").values()]


FRAMEWORK = Framework(
    names=("xgboost",),
    load=load,
    needs_input_schema=True,
    convert=convert,
    requirements=(
        "xgboost-cpu==3.2.0; python_version >= '3.10'",
        "xgboost-cpu==2.1.4; python_version < '3.10'",
        "scikit-learn==1.9.1; python_version >= '3.11'",
        "scikit-learn==1.6.1; python_version < '3.11'",
        "joblib>=1.4",
        "onnx>=1.17",
        "skl2onnx>=1.19",
        "onnxmltools>=1.13",
        "onnxruntime>=1.19",
    ),
    guide_requirements=("scikit-learn==1.3.0", "xgboost==1.7.4", "numpy<2", "pandas<2.3"),
)
