"""Logs and registers models in the MLflow server that MLFLOW_TRACKING_URI names, as a user's script would, and writes down what they answer."""

import json
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import sklearn
from mlflow.models import infer_signature
from sklearn.datasets import load_iris, load_wine
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeRegressor

out = Path(sys.argv[1])
MLFLOW_3 = int(mlflow.__version__.split(".")[0]) >= 3
SKLEARN = [f"scikit-learn=={sklearn.__version__}"]


def named(name):
    """Where a model is logged: MLflow 2 puts it among the artifacts of the run."""
    return {"name": name} if MLFLOW_3 else {"artifact_path": name}


iris = load_iris()
rows = iris.data[::30]
expected = {"iris_rows": rows.tolist()}

mlflow.set_experiment("registry tests")
for version, penalty in enumerate((1.0, 0.0001), start=1):
    model = LogisticRegression(C=penalty, max_iter=500).fit(iris.data, iris.target)
    with mlflow.start_run():
        mlflow.sklearn.log_model(model, **named("iris"), registered_model_name="iris", signature=infer_signature(iris.data, model.predict(iris.data)), serialization_format="pickle", pip_requirements=SKLEARN)
    expected[f"iris_{version}"] = model.predict(rows).tolist()
client = mlflow.MlflowClient()
client.update_model_version("iris", "1", description="the first one")
client.set_registered_model_alias("iris", "champion", "2")

wine = load_wine(as_frame=True)
features = wine.data[["alcohol", "hue", "proline"]]
tree = DecisionTreeRegressor(max_depth=4, random_state=7).fit(features, wine.target)
with mlflow.start_run():
    mlflow.sklearn.log_model(tree, **named("wine"), registered_model_name="wine tree's", input_example=features.head(2), serialization_format="pickle", pip_requirements=SKLEARN)
sample = features.iloc[::40]
expected["wine_rows"] = sample.to_dict("records")
expected["wine"] = tree.predict(sample).tolist()


class Scaled(mlflow.pyfunc.PythonModel):
    """A model with an artifact and code of its own."""

    def load_context(self, context):
        self.factors = json.loads(Path(context.artifacts["factors"]).read_text())

    def predict(self, context, model_input: pd.DataFrame, params=None) -> pd.DataFrame:
        from registry_helper import twice

        return pd.DataFrame({"scaled": twice(model_input["a"]) * self.factors["a"] + model_input["b"] * self.factors["b"], "label": ["high" if v > 1 else "low" for v in model_input["a"]]})


(out / "factors.json").write_text(json.dumps({"a": 0.5, "b": 3.0}))
(out / "registry_helper.py").write_text("def twice(values):\n    return values * 2\n")
frame = pd.DataFrame({"a": np.array([0.5, 1.5, 2.5]), "b": np.array([1, 2, 3], dtype=np.int64)})
answers = pd.DataFrame({"scaled": frame["a"] + 3.0 * frame["b"], "label": ["low", "high", "high"]})
with mlflow.start_run() as run:
    mlflow.pyfunc.log_model(
        **named("scaled"), python_model=Scaled(), registered_model_name="scaled", artifacts={"factors": str(out / "factors.json")}, code_paths=[str(out / "registry_helper.py")],
        signature=infer_signature(frame, answers), pip_requirements=[f"pandas=={pd.__version__}"],
    )
    # A model as MLflow 2 registers it: a folder among the artifacts of a run.
    folder = out / "old-style"
    mlflow.sklearn.save_model(tree, str(folder), serialization_format="pickle", pip_requirements=SKLEARN)
    mlflow.log_artifacts(str(folder), "old")
client.create_registered_model("old")
client.create_model_version("old", source=f"runs:/{run.info.run_id}/old", run_id=run.info.run_id)
expected["scaled_rows"] = frame.to_dict("records")
expected["scaled"] = answers["scaled"].tolist()
expected["labels"] = answers["label"].tolist()
(out / "expected.json").write_text(json.dumps(expected))
