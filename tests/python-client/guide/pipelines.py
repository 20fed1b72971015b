"""Section 6.2 of the guide, first part: building, changing, versioning and deploying pipelines."""

import ast

import polars as pl
from wallaroo.framework import Framework

from guide import because, client, example, prints, re, same, typed, workspace, written
import stock

wl = client(interactive=True)  # as in a notebook: it prints what it waits for
workspace(wl, "guide-pipelines")


def upload(name, path):
    return wl.upload_model(name, path, framework=Framework.ONNX)


embedder, smodel = upload("embedder-o", stock.layer("embedder.onnx", "tensor", 100, "embedding", size=8)), upload("smodel-o", stock.layer("sentiment_model.onnx", "embedding", 8, "dense_1"))
original, replacement_model = (upload(f"ccfraud{name}", stock.layer(f"{name}.onnx", "dense_input", 29, "dense_1", seed=seed)) for seed, name in enumerate(("original", "replacement")))
houseprice, houseprice_rf_model_version = upload("house-price-prime", stock.house_price("prime.onnx")), upload("house-price-rf-model", stock.house_price("rf.onnx", 1))
status_told = (
    "status: text, details: [], engines[].ip: text, engines[].name: text, engines[].status: text, engines[].reason: none, engines[].details: [],"
    " engines[].pipeline_statuses.pipelines[].id: text, engines[].pipeline_statuses.pipelines[].status: text,"
    " engines[].model_statuses.models[].name: text, engines[].model_statuses.models[].version: uuid, engines[].model_statuses.models[].sha: sha, engines[].model_statuses.models[].status: text,"
    " engine_lbs[].ip: text, engine_lbs[].name: text, engine_lbs[].status: text, engine_lbs[].reason: none, engine_lbs[].details: [], sidekicks: []"
)
status_of_old = ", ".join(field for field in status_told.split(", ") if not field.endswith("[]")).replace("status: text, ", "status: text, details: none, ", 1)
more = "engines[].model_statuses.models[].model_version.*", "engines[].model_statuses.models[].config.*"
version_told = "name: text, version: uuid, creation_time: day-month, last_updated_time: day-month, deployed: bool, tags: none, steps: text"
typed_told = "name: text, create_time: time, definition: text"


def runs(pipeline, *models):
    """The status, which names the models that run."""
    status = pipeline.status()
    prints(status, status_told, status_of_models=list(more))
    same([m["name"] for e in status["engines"] for m in e["model_statuses"]["models"]], [m.name() for m in models])
    return status


def steps_of(pipeline) -> list:
    return [model["name"] for step in ast.literal_eval(pipeline.definition()) for model in step["ModelInference"]["models"]]


with example("create a pipeline"):
    imdb_pipeline = wl.build_pipeline("imdb-pipeline")
    same(imdb_pipeline.status(), {"status": "Pipeline imdb-pipeline is not deployed"})

with example("list all pipelines"):
    columns = "name: text, created: day-month, last_updated: day-month, deployed: text, tags: none, versions: uuid, steps: none, published: bool"
    prints(wl.list_pipelines(), columns, workspace_columns=["workspace_id", "workspace_name"], arch_columns=["arch", "accel"])

with example("select an existing pipeline"):
    wl.build_pipeline("ccfraud-pipeline").add_model_step(original).deploy()
    prints(typed(wl.list_pipelines()), "[].name: text, [].create_time: time, [].definition: text")
    current_pipeline = wl.list_pipelines()[0]
    same(current_pipeline.name(), "ccfraud-pipeline")
    old = ["details", "engines[].details", "engine_lbs[].details", "sidekicks"]
    prints(current_pipeline.status(), status_of_old, status_of_models=list(more), status_details=old)
    current_pipeline.undeploy()

with example("add steps to a pipeline"):
    imdb_pipeline.add_model_step(embedder)
    imdb_pipeline.add_model_step(smodel)
    same(set(imdb_pipeline.status()), {"name", "create_time", "definition"}, "status-before-deploying", {"status"})
    prints(typed(imdb_pipeline), typed_told)
    (first, second) = ast.literal_eval(imdb_pipeline.definition())
    prints(first, "ModelInference.models[].name: text, ModelInference.models[].version: uuid, ModelInference.models[].sha: sha")
    same(steps_of(imdb_pipeline), ["embedder-o", "smodel-o"])

with example("replace a step of a running pipeline"):
    pipeline = wl.build_pipeline("hotswappipeline").add_model_step(original)
    pipeline.deploy()
    runs(pipeline, original)
    pipeline.replace_with_model_step(0, replacement_model).deploy()
    runs(pipeline, replacement_model)
    pipeline.undeploy()

with example("remove a step"):
    assert re.fullmatch(r"<bound method Pipeline.status of \{'name': 'imdb-pipeline', .*\}>", repr(imdb_pipeline.status)), repr(imdb_pipeline.status)
    prints(typed(imdb_pipeline.remove_step(1)), typed_told)
    same(steps_of(imdb_pipeline), ["embedder-o"])

with example("clear all steps"):
    same(steps_of(imdb_pipeline.clear()), [])

with example("create a version of a pipeline"):
    pipeline = wl.build_pipeline("houseprice-estimator").add_model_step(houseprice)
    pipeline.create_version()
    prints(
        pipeline, "name: text, version: uuid, creation_time: day-month, last_updated_time: day-month, deployed: bool, tags: none, steps: text",
        pipeline_display=["version", "versions", "creation_time", "created", "last_updated_time", "last_updated", "deployed", "steps", "published"], workspace_columns=["workspace_id", "workspace_name"], arch_columns=["arch", "accel"],
    )
    pipeline.clear()
    pipeline.add_model_step(houseprice_rf_model_version)
    new_pipeline_version = pipeline.create_version()
    prints(new_pipeline_version, version_told)

with example("list the versions of a pipeline"):
    pipeline.clear().add_model_step(houseprice).add_validations(dear=pl.col("out.variable").list.get(0) > 1e6).create_version()
    same(len(pipeline.versions()), 4, "versions-kept", 1)
    pipeline = wl.get_pipeline("houseprice-estimator")
    versions = pipeline.versions()
    same(len(versions), 4)
    for pipeline_version in versions[:-1]:
        prints(pipeline_version, version_told)
    assert "house-price-prime<br/>Check" in versions[0]._repr_html_(), versions[0]._repr_html_()
    same([v.id() for v in versions], sorted((v.id() for v in versions), reverse=True))
    assert re.fullmatch(r"[0-9a-f-]{36}", pipeline.versions()[1].name())

with example("deploy again with other steps"):
    modelA, modelB = houseprice, houseprice_rf_model_version
    pipeline.clear()
    pipeline.add_model_step(modelA)
    pipeline.deploy()
    pipeline.clear()
    pipeline.add_model_step(modelB)
    pipeline.deploy()
    runs(pipeline, modelB)

with example("deploy the current version"):
    sample_pipeline = wl.build_pipeline("test-pipeline")
    sample_pipeline.add_model_step(embedder)
    sample_pipeline.add_model_step(smodel)
    sample_pipeline.deploy()
    prints(sample_pipeline.status(), status_of_old, status_of_models=list(more), status_details=old)
    sample_pipeline.undeploy()

with example("deploy an earlier version"):
    pipeline_version = pipeline.versions()[1]
    prints(pipeline_version, version_told)
    pipeline_version.deploy("houseprice-estimator", pipeline_version.model_configs())
    runs(pipeline, modelA)
    pipeline.undeploy()

with example("deploy with the default configuration, and watch"):
    imdb_pipeline.add_model_step(embedder).add_model_step(smodel)
    with written() as out:
        imdb_pipeline.deploy()
    # The client says that it waits only when it has to: the engines may be quicker than its first question.
    assert re.fullmatch(r"(Waiting for deployment - this will take up to 45s \.+)? ok\n", out.getvalue()), repr(out.getvalue())
    runs(imdb_pipeline, embedder, smodel)
    because("no-licence")

with example("undeploy a pipeline"):
    prints(typed(imdb_pipeline.undeploy()), typed_told)

example.finish()
