"""Registries with the published client, each object printed as a notebook does."""

import json
import time
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pyarrow as pa
from support import Steps, client, raises, show
from wallaroo.deployment_config import DeploymentConfigBuilder
from wallaroo.framework import Framework
from wallaroo.wallaroo_ml_ops_api_client.models.framework import Framework as ApiFramework

step = Steps()
given = json.load(open("given.json"))
expected = given["expected"]
wl = client()
small = DeploymentConfigBuilder().replica_count(1).cpus(0.5).memory("1Gi").build()
#: The client's own enum lacks MLflow's format; what goes over the wire has it.
MLFLOW = SimpleNamespace(_to_openapi_framework=lambda: ApiFramework.MLFLOW)


def answers(name, model, rows):
    """What a pipeline with the model answers."""
    pipeline = wl.build_pipeline(name)
    pipeline.clear()
    pipeline.add_model_step(model)
    pipeline.deploy(deployment_config=small)
    try:
        return pipeline.infer(rows)
    finally:
        pipeline.undeploy()


def ready(model):
    """Waits as the guide does."""
    while model.status() not in ("ready", "error"):
        time.sleep(1)
    assert model.status() == "ready", f"{model.status()}: {model.error_summary()}"
    return model


with step("create, with a token"):
    registry = wl.create_model_registry(name="lab", token=given["token"], url=given["url"], workspace_id=wl.get_current_workspace().id())
    html = show(registry)
    assert given["url"] in html and wl.get_current_workspace().name() in html and given["token"] not in html

with step("create without a workspace: it is in the caller's own"):
    second = wl.create_model_registry(name="second", token="", url=given["plain"])
    assert [w["id"] for w in second.workspaces()] == [wl.get_current_workspace().id()], second.workspaces()

with step("list; no answer holds the token"):
    registries = wl.list_model_registries()
    assert {r.name() for r in registries} == {"lab", "second"}
    assert given["token"] not in show(registries)
    assert all(given["token"] not in str(vars(r)) for r in [*registries, registry])

with step("names are not unique, and what is no address is refused"):
    with raises("not an address"):
        wl.create_model_registry(name="bad", token="t", url="mlflow")
    with raises("user or a password"):
        wl.create_model_registry(name="bad", token="t", url="http://user:secret@example.com")

with step("add to and remove from a workspace"):
    other = wl.create_workspace("other")
    registry.add_registry_to_workspace(workspace_id=other.id())
    assert [r.name() for r in wl.list_model_registries(workspace_id=other.id())] == ["lab"]
    registry.remove_registry_from_workspace(workspace_id=other.id())
    assert wl.list_model_registries(workspace_id=other.id()) == []
    assert show(wl.list_model_registries(workspace_id=other.id()))

with step("list models"):
    models = registry.list_models()
    assert sorted(m.name for m in models) == ["iris", "old", "scaled", "wine tree's"], models
    show(models)
    for model in models:
        show(model)
        show(model.latest_versions)
    iris = next(m for m in models if m.name == "iris")
    assert [v.version for v in iris.latest_versions] == ["2"]

with step("list versions, the newest first"):
    versions = iris.versions()
    assert [v.version for v in versions] == ["2", "1"]
    show(versions)
    assert versions[1].description == "the first one" and versions[0].status == "READY" and "the first one" in show(versions[1])
    assert [v.version for v in next(m for m in models if m.name == "wine tree's").versions()] == ["1"]

with step("list artifacts"):
    files = versions[0].list_artifacts()
    html = show(files)
    names = {f.path: f for f in files}
    assert {"/MLmodel", "/model.pkl", "/requirements.txt"} <= set(names) and "model.pkl" in html
    assert names["/model.pkl"].file_size > 100 and names["/model.pkl"].full_path.startswith(given["url"] + "/api/2.0/mlflow-artifacts/artifacts/")
    deep = {f.path: f for f in next(m for m in models if m.name == "scaled").versions()[0].list_artifacts()}
    assert deep["/artifacts"].is_dir and not deep["/artifacts/factors.json"].is_dir and "/code/registry_helper.py" in deep
    old = {f.path: f for f in next(m for m in models if m.name == "old").versions()[0].list_artifacts()}
    assert "/model.pkl" in old

schemas = {"input_schema": pa.schema([pa.field("inputs", pa.list_(pa.float64(), 4))]), "output_schema": pa.schema([pa.field("predictions", pa.int64())])}
rows = pd.DataFrame({"inputs": expected["iris_rows"]})

for version in (1, 2):
    with step(f"upload model.pkl of version {version}, deploy and infer"):
        path = next(f.full_path for f in versions[2 - version].list_artifacts() if f.path == "/model.pkl")
        model = ready(registry.upload_model(name="iris-file", path=path, framework=Framework.SKLEARN, **schemas))
        show(model)
        assert model.file_name() == "model.pkl" and model.config().runtime() == "onnx", (model.file_name(), model.config().runtime())
        found = answers("iris-file", model, rows)["out.predictions"].tolist()
        assert found == expected[f"iris_{version}"], found

with step("the file of a run, as MLflow 2 registers models"):
    model = ready(registry.upload_model(
        name="old", path=old["/model.pkl"].full_path, framework=Framework.SKLEARN,
        input_schema=pa.schema([pa.field(name, pa.float64()) for name in ("alcohol", "hue", "proline")]), output_schema=pa.schema([pa.field("predictions", pa.float64())]),
    ))
    found = answers("old", model, pd.DataFrame(expected["wine_rows"]))["out.predictions"].tolist()
    np.testing.assert_allclose(found, expected["wine"])

with step("a whole MLflow model with code and artifacts of its own"):
    model = ready(registry.upload_model(
        name="scaled", path="models:/scaled/1", framework=MLFLOW,
        input_schema=pa.schema([pa.field("a", pa.float64()), pa.field("b", pa.int64())]), output_schema=pa.schema([pa.field("scaled", pa.float64()), pa.field("label", pa.string())]),
    ))
    assert model.config().runtime() == "flight" and model.file_name() == "scaled.zip"
    table = answers("scaled", model, pa.Table.from_pylist(expected["scaled_rows"]))
    assert table["out.label"].to_pylist() == expected["labels"]
    np.testing.assert_allclose(table["out.scaled"].to_pylist(), expected["scaled"])

with step("a whole MLflow model as arbitrary Python, by its alias"):
    model = ready(registry.upload_model(name="iris-folder", path="models:/iris@champion", framework=Framework.CUSTOM, **schemas))
    found = answers("iris-folder", model, rows)["out.predictions"].tolist()
    assert found == expected["iris_2"], found

with step("an upload that fails says why"):
    model = registry.upload_model(name="gone", path="models:/iris/9", framework=Framework.SKLEARN, **schemas)
    with raises("error", "iris", "9", kind=AssertionError):
        ready(model)
    assert "version=9" in show(model.get_upload_logs())
    with raises("Failed to start upload"):
        registry.upload_model(name="elsewhere", path="https://example.com/model.pkl", framework=Framework.SKLEARN, **schemas)

step.finish()
