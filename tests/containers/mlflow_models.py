"""Trains two small models, saves them as MLflow does, and writes down what they themselves answer. Argument: a folder.
`bikes` takes two columns and gives one that is named; `matrix` takes a tensor and gives values without a name."""

import json
import pathlib
import sys

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LinearRegression

folder = pathlib.Path(sys.argv[1])
random = np.random.default_rng(7)


class Named(mlflow.pyfunc.PythonModel):
    def __init__(self, model):
        self.model = model

    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"predicted_mean": self.model.predict(model_input).astype("float32")})


class Named1(Named):
    def predict(self, context, model_input):
        return super().predict(context, model_input)


rides = pd.DataFrame({"temp": random.random(60).astype("float32"), "workingday": random.integers(0, 2, 60).astype("int32")})
counts = 30 * rides["temp"] + 5 * rides["workingday"] + random.random(60)
bikes = LinearRegression().fit(rides, counts)
named = (Named1 if mlflow.__version__.startswith("1.") else Named)(bikes)
mlflow.pyfunc.save_model(path=str(folder / "bikes"), python_model=named, signature=infer_signature(rides, named.predict(None, rides)), pip_requirements=["scikit-learn"])

values = random.random((40, 4)).astype("float32")
matrix = LinearRegression().fit(values, values @ np.array([1.0, -2.0, 3.0, 0.5]))
mlflow.sklearn.save_model(matrix, path=str(folder / "matrix"), serialization_format="cloudpickle", signature=infer_signature(values, matrix.predict(values)), pip_requirements=["scikit-learn"])

asked = rides.head(5)
expected = {
    "bikes": {"rows": asked.to_dict(orient="list"), "answers": mlflow.pyfunc.load_model(str(folder / "bikes")).predict(asked)["predicted_mean"].tolist()},
    "matrix": {"rows": values[:3].tolist(), "answers": [float(v) for v in mlflow.pyfunc.load_model(str(folder / "matrix")).predict(values[:3])]},
}
(folder / "expected.json").write_text(json.dumps(expected))
