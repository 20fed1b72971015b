"""What scikit-learn, XGBoost and LightGBM models have in common: a matrix in, predictions or probabilities out."""

from __future__ import annotations

import pickle
import struct
from typing import Any, Callable, Dict, Mapping, Optional, Tuple

import pyarrow as pa

from .errors import ModelError
from .schema import shape_of


def unpickle(path: Any) -> Any:
    """Any pickle, written by pickle or joblib. It runs the file's code: only ever in a process without anything to steal."""
    import joblib

    try:
        return joblib.load(path)
    except ModuleNotFoundError as error:
        raise ModelError("model_invalid", f"The pickle needs the package {error.name!r}, which its environment lacks. Name it in requirements.") from error
    except (EOFError, struct.error) as error:
        raise ModelError("model_invalid", "The file ends before its pickle does: it is empty or cut off. Save the fitted model again.") from error
    except (pickle.UnpicklingError, KeyError) as error:
        # joblib looks up what each byte means, so that a byte that means nothing is a key that is missing.
        if isinstance(error, KeyError) and not isinstance(error.args[0] if error.args else None, int):
            raise
        raise ModelError("model_invalid", "The file is not a pickle. Save the fitted model with joblib.dump or pickle.dump, or name the framework that the file is of.") from error


def method_for(model: Any, name: str, kind: Optional[pa.DataType]) -> str:
    """Which method gives the output field: probabilities when its name or its width says so, else predictions."""
    classes = getattr(model, "classes_", None)
    shape = shape_of(kind)[0] if kind is not None else ()
    if hasattr(model, "predict_proba"):
        wide = shape and shape[-1] > 1 and classes is not None and not isinstance(classes, list) and len(classes) == shape[-1]
        if "prob" in name.lower() or wide:
            return "predict_proba"
    for method in ("predict", "transform", "decision_function", "score_samples"):
        if hasattr(model, method):
            return method
    raise ModelError("model_invalid", f"A {type(model).__name__} neither predicts nor transforms. Upload the fitted model itself.")


def methods_of(model: Any, outputs: Optional[pa.Schema], default: str) -> Dict[str, str]:
    fields = [(field.name, field.type) for field in outputs] if outputs is not None else [(default, None)]
    return {name: method_for(model, name, kind) for name, kind in fields}


def predictor(model: Any, outputs: Optional[pa.Schema], default: str, features: Optional[Tuple[str, ...]] = None) -> Callable:
    """`features`: the names that the model was fitted with; columns of these names are handed over as a DataFrame."""
    methods = methods_of(model, outputs, default)

    def predict(inputs: Any) -> Mapping[str, Any]:
        by_name = features is not None and set(features) == set(inputs.names)
        rows = inputs.frame()[list(features)] if by_name else inputs.matrix()
        answers = {method: getattr(model, method)(rows) for method in set(methods.values())}
        return {name: answers[method] for name, method in methods.items()}

    return predict
