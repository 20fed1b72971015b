"""The main road with the published client: upload, configure, deploy, infer in every form, logs, swap, search, undeploy."""

import asyncio
import datetime
import json
import os
import pathlib
import tempfile
import time

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import wallaroo
from wallaroo.framework import Framework

import models
from support import check, client, column, raises, same, show, Steps, TOLERANCE

step = Steps()
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
first = models.dense(folder, "first", 1)
second = models.dense(folder, "second", 2)
rng = np.random.default_rng(42)


def rows(count: int) -> np.ndarray:
    return rng.normal(size=(count, models.FEATURES)).round(4).astype(np.float32)


def frame(values: np.ndarray, name="tensor") -> pd.DataFrame:
    return pd.DataFrame({name: values.tolist()})


def table(values: np.ndarray, name="tensor") -> pa.Table:
    return pa.table({name: pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), values.shape[1])})


def as_arrow_file(path: pathlib.Path, content: pa.Table) -> pathlib.Path:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
        writer.write_table(content)
    return path


sent = []  # (inputs, outputs) of every row that was inferred, in order


def infer(pipeline, data, values: np.ndarray, model, **options):
    result = check(pipeline.infer(data, **options), model, {"dense_input": values}, {"dense_input": "tensor"})
    sent.extend(zip(values, model.run({"dense_input": values})["dense_1"]))
    return result


with step("construct with user and password"):
    wl = client()
    show(wl.list_workspaces())

with step("default workspace is there from the first sign-in"):
    assert wl.get_current_workspace().name() == f"{os.environ['WALLAROO_USER']} - Default Workspace"
    assert wl.get_current_workspace().id() in [w.id() for w in wl.list_workspaces()]

with step("create workspaces and set the current one"):
    workspace = wl.create_workspace("fraud-detection")
    other = wl.get_workspace("second-workspace", create_if_not_exist=True)
    assert wl.get_workspace("second-workspace").id() == other.id()
    shown = wl.set_current_workspace(workspace)
    assert wl.get_current_workspace().id() == workspace.id()
    assert {"fraud-detection", "second-workspace"} <= {w.name() for w in wl.list_workspaces()}
    assert "fraud-detection" in show(wl.list_workspaces()) and show(shown)
    assert workspace.to_json()["created_by"] == wl.auth.user_id()

with step("users: list, find, invite, share a workspace, deactivate"):
    wl.invite_user("maria@example.com", "a-good-password")
    assert "maria@example.com" in [u.email() for u in wl.list_users()]
    assert wl.get_user_by_email("nobody@example.com") is None
    workspace.add_user("maria@example.com")
    assert "maria@example.com" in [u.email() for u in workspace.users()]
    workspace.add_owner("maria@example.com")
    workspace.remove_user("maria@example.com")
    assert "maria@example.com" not in [u.email() for u in workspace.users()]
    wl.deactivate_user("maria@example.com")
    assert wl.get_user_by_email("maria@example.com").enabled() is False
    wl.activate_user("maria@example.com")
    assert wl.get_user_by_email("maria@example.com").enabled() is True
    assert wl.get_email_by_id(wl.auth.user_id()) == os.environ["WALLAROO_USER"]

with step("upload an ONNX model and configure tensor_fields"):
    model = wl.upload_model("fraud-model", first.path, framework=Framework.ONNX).configure(tensor_fields=["tensor"])
    assert model.status() == "ready", model.error_summary()
    assert model.config().tensor_fields() == ["tensor"] and model.config().runtime() == "onnx"
    assert model.file_name() == "first.onnx" and len(model.sha()) == 64 and model.arch() == "x86"
    assert "fraud-model" in show(model)
    assert model.get_upload_logs()

with step("the same bytes again are the same version, others a new one"):
    assert wl.upload_model("fraud-model", first.path, framework=Framework.ONNX).id() == model.id()
    swap = wl.upload_model("fraud-model", second.path, framework=Framework.ONNX).configure(tensor_fields=["tensor"])
    assert swap.id() != model.id() and swap.version() != model.version()
    assert [v.id() for v in wl.list_models()[0].versions()] == [swap.id(), model.id()]

with step("list and find models"):
    assert [m.name() for m in wl.list_models()] == ["fraud-model"]
    show(wl.list_models())
    assert wl.get_model("fraud-model").id() == swap.id()
    assert wl.get_model("fraud-model", version=model.version()).id() == model.id()
    assert wl.model_by_name("fraud-model", model.version()).id() == model.id()
    assert wl.model_version_by_name("fraud-model", swap.version()).sha() == swap.sha()
    assert len(workspace.models()) == 1

with step("search models"):
    assert {m.id() for m in wl.search_models("FRAUD")} == {model.id(), swap.id()}
    assert [m.id() for m in wl.search_models(model.sha())] == [model.id()]
    assert [m.id() for m in wl.search_models("second.onnx")] == [swap.id()]
    assert wl.search_models("no such model") == []
    assert {m.id() for m in wl.search_models(workspace_id=workspace.id(), workspace_name="fraud-detection")} == {model.id(), swap.id()}
    assert wl.search_models(workspace_id=other.id()) == []
    now = datetime.datetime.now(datetime.timezone.utc)
    assert wl.search_models("fraud", uploaded_time_start=now) == []
    assert len(wl.search_models("fraud", uploaded_time_end=now)) == 2
    show(wl.search_models())

with step("build a pipeline with a step"):
    pipeline = wl.build_pipeline("fraud-pipeline").add_model_step(model)
    assert "fraud-model" in str(pipeline.definition())
    show(pipeline)
    assert pipeline.status() == {"status": "Pipeline fraud-pipeline is not deployed"}

with step("deploy with a deployment config"):
    config = wallaroo.DeploymentConfigBuilder().replica_count(2).cpus(0.5).memory("512Mi").build()
    pipeline.deploy(deployment_config=config)
    show(pipeline)

with step("status reads as the guide prints it"):
    status = pipeline.status()
    assert status["status"] == "Running" and status["details"] == [], status
    assert set(status) == {"status", "details", "engines", "engine_lbs", "sidekicks"} and status["sidekicks"] == []
    assert len(status["engines"]) == 2, status
    for engine in status["engines"]:
        assert engine["status"] == "Running" and engine["reason"] is None and engine["details"] == [] and engine["ip"] and engine["name"]
        assert engine["pipeline_statuses"] == {"pipelines": [{"id": "fraud-pipeline", "status": "Running"}]}
        (running,) = engine["model_statuses"]["models"]
        assert running["status"] == "Running" and running["model_version"]["name"] == running["name"] == "fraud-model"
        assert running["model_version"]["file_info"]["version"] == running["version"] == model.version()
        assert running["model_version"]["file_info"]["sha"] == running["sha"] == model.sha()
        assert running["config"]["tensor_fields"] == ["tensor"] and running["config"]["runtime"] == "onnx"
    (balancer,) = status["engine_lbs"]
    assert balancer["status"] == "Running" and {"ip", "name", "reason", "details"} <= set(balancer)

with step("infer with a DataFrame"):
    for count in (1, 3, 50):
        values = rows(count)
        result = infer(pipeline, frame(values), values, first)
        assert list(result.columns) == ["time", "in.tensor", "out.dense_1", "anomaly.count"], list(result.columns)
        assert str(result["time"].dtype).startswith("datetime64")
        assert abs(result["time"][0].timestamp() - datetime.datetime.now(datetime.timezone.utc).timestamp()) < 60

with step("infer with an Arrow table: fixed-size lists and lists"):
    for count in (1, 3, 50):
        values = rows(count)
        result = infer(pipeline, table(values), values, first)
        assert pa.types.is_timestamp(result["time"].type) or pa.types.is_integer(result["time"].type), result["time"].type
        assert column(result, "in.tensor").astype(np.float32).tobytes() == values.tobytes()
    values = rows(4)
    infer(pipeline, pa.table({"tensor": pa.array(values.tolist(), pa.list_(pa.float32()))}), values, first)

with step("infer from files of both kinds"):
    values = rows(7)
    (folder / "rows.json").write_text(frame(values).to_json(orient="records"))
    result = check(pipeline.infer_from_file(folder / "rows.json"), first, {"dense_input": values}, {"dense_input": "tensor"})
    assert isinstance(result, pd.DataFrame)
    result = check(pipeline.infer_from_file(as_arrow_file(folder / "rows.arrow", table(values))), first, {"dense_input": values}, {"dense_input": "tensor"})
    assert isinstance(result, pa.Table)
    sent.extend(list(zip(values, first.run({"dense_input": values})["dense_1"])) * 2)

with step("infer with datasets left out and asked for"):
    values = rows(2)
    outputs = first.run({"dense_input": values})["dense_1"]
    assert list(pipeline.infer(frame(values), dataset=["out"]).columns) == ["out.dense_1"]
    assert list(pipeline.infer(frame(values), dataset_exclude=["in"]).columns) == ["time", "out.dense_1", "anomaly.count"]
    whole = pipeline.infer(frame(values), dataset=["*", "metadata"])
    assert json.loads(whole["metadata.last_model"][0]) == {"model_name": "fraud-model", "model_sha": model.sha()}
    assert whole["metadata.pipeline_version"][0] == pipeline.versions()[0].name()
    assert len(whole["metadata.elapsed"][0]) == 2 and all(isinstance(n, int) for n in whole["metadata.elapsed"][0])
    elapsed = pipeline.infer(table(values), dataset=["*", "metadata.elapsed"])
    assert "metadata.elapsed" in elapsed.column_names and "metadata.last_model" not in elapsed.column_names
    assert len(elapsed["metadata.elapsed"][0]) == 2
    sent.extend(list(zip(values, outputs)) * 4)

with step("parallel and asynchronous inference"):
    values = rows(12)
    result = asyncio.run(pipeline.parallel_infer(tensor=frame(values), timeout=20, num_parallel=4, batch_size=3))
    check(result, first, {"dense_input": values}, {"dense_input": "tensor"})
    result = asyncio.run(pipeline.parallel_infer(tensor=table(values), timeout=20, num_parallel=4, batch_size=5))
    check(result, first, {"dense_input": values}, {"dense_input": "tensor"})
    sent.extend(list(zip(values, first.run({"dense_input": values})["dense_1"])) * 2)

with step("the address of the pipeline answers plain HTTP, in both of the guide's forms"):
    values = rows(1)
    (wanted,) = first.run({"dense_input": values})["dense_1"]
    call = {"headers": wl.auth.auth_header(), "json": frame(values).to_dict("records"), "timeout": 10}
    answer = httpx.post(pipeline.url(), params={"dataset[]": "*", "dataset.separator": "."}, **call)
    assert answer.status_code == 200, answer.text
    np.testing.assert_allclose(answer.json()[0]["out.dense_1"], wanted, rtol=TOLERANCE)
    (result,) = httpx.post(pipeline.url(), **call).json()
    assert result["model_name"] == "fraud-model" and result["model_version"] == model.version() and result["pipeline_name"] == "fraud-pipeline"
    np.testing.assert_allclose(result["outputs"][0]["Float"]["data"], wanted, rtol=TOLERANCE)
    assert httpx.post(pipeline.url(), json=call["json"]).status_code == 401
    external = wl.httpx_client.post("v1/api/admin/get_pipeline_external_url", json={"workspace_id": workspace.id(), "pipeline_name": "fraud-pipeline"})
    assert external.json() == {"url": pipeline.url()}
    sent.extend([(values[0], wanted)] * 2)

with step("infer with a dictionary"):
    values = rows(2)
    outputs = first.run({"dense_input": values})["dense_1"]
    result = pipeline.infer({"tensor": values.tolist()})
    np.testing.assert_allclose(np.ravel([r["outputs"][0]["Float"]["data"] for r in result]), np.ravel(outputs), rtol=TOLERANCE)
    (folder / "custom.json").write_text(json.dumps({"tensor": values.tolist()}))
    assert len(pipeline.infer_from_file(folder / "custom.json", data_format="custom-json")) == len(result)
    sent.extend(list(zip(values, outputs)) * 2)

with step("what is not a number goes in and comes out"):
    values = rows(2)
    values[0, 3] = np.nan
    outputs = first.run({"dense_input": values})["dense_1"]
    for data in (frame(values), table(values)):
        result = column(pipeline.infer(data), "out.dense_1").astype(np.float32)
        np.testing.assert_allclose(result, outputs, rtol=TOLERANCE)
    sent.extend(list(zip(values, outputs)) * 2)


def logged(line, count: int, **options):
    """The log once it has this many rows: each replica ships its own, the last within a second or so."""
    for _ in range(100):
        log = line.logs(limit=10_000, **options)
        if len(log) >= count:
            break
        time.sleep(0.1)
    assert len(log) == count, (len(log), count)
    return log


def rows_of(log, name="dense_1", source="tensor"):
    return [(np.float32(i), np.float32(o)) for i, o in zip(column(log, f"in.{source}"), column(log, f"out.{name}"))]


def same_rows(actual, expected):
    """The same rows, however often each, in whatever order: two replicas write two logs."""
    key = lambda pair: (np.nan_to_num(pair[0], nan=1e9).tobytes(), np.nan_to_num(pair[1], nan=1e9).round(3).tobytes())  # noqa: E731
    assert len(actual) == len(expected), (len(actual), len(expected))
    for (ai, ao), (ei, eo) in zip(sorted(actual, key=key), sorted(expected, key=key)):
        np.testing.assert_array_equal(ai, ei)
        np.testing.assert_allclose(ao, eo, rtol=TOLERANCE, atol=TOLERANCE)


started = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)

with step("logs of all that was inferred, oldest first"):
    logged(pipeline, len(sent))
    log = pipeline.logs(start_datetime=started, end_datetime=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1))
    assert list(log.columns) == ["time", "in.tensor", "out.dense_1", "anomaly.count"], list(log.columns)
    assert log["time"].is_monotonic_increasing
    same_rows(rows_of(log), sent)

with step("logs as Arrow, newest first, limited"):
    log = pipeline.logs(limit=5, arrow=True)
    assert isinstance(log, pa.Table) and log.num_rows == 5
    times = [t.timestamp() if hasattr(t, "timestamp") else t for t in log["time"].to_pylist()]
    assert times == sorted(times, reverse=True)
    same_rows(rows_of(pipeline.logs(limit=10_000, arrow=True)), sent)

with step("logs with metadata"):
    log = pipeline.logs(limit=3, dataset=["time", "out", "metadata"])
    assert {"metadata.last_model", "metadata.pipeline_version", "metadata.elapsed", "metadata.partition", "metadata.dropped"} <= set(log.columns), list(log.columns)
    assert json.loads(log["metadata.last_model"][0])["model_sha"] == model.sha()

with step("export logs to JSON and to Arrow"):
    pipeline.export_logs(directory=str(folder / "json"), file_prefix="log", limit=10_000)
    lines = [json.loads(line) for file in sorted((folder / "json").iterdir()) for line in file.read_text().splitlines() if line]
    assert len(lines) == len(sent), (len(lines), len(sent))
    pipeline.export_logs(directory=str(folder / "arrow"), file_prefix="log", arrow=True, start_datetime=started, end_datetime=datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1))
    exported = pa.concat_tables([pa.ipc.open_file(str(file)).read_all() for file in sorted((folder / "arrow").iterdir())])
    assert exported.num_rows == len(sent)
    assert len(wl.get_raw_logs(pipeline.get_topic_name(), limit=10_000)) == len(sent)

with step("swap the model in the running pipeline"):
    before = [v.name() for v in pipeline.versions()]
    pipeline.replace_with_model_step(0, swap).deploy()
    status = pipeline.status()
    assert status["status"] == "Running"
    assert {m["version"] for e in status["engines"] for m in e["model_statuses"]["models"]} == {swap.version()}, status
    values = rows(3)
    infer(pipeline, frame(values), values, second)
    infer(pipeline, table(values), values, second)
    assert len(wl.get_pipeline("fraud-pipeline").versions()) == len(before) + 1

with step("the log goes on across the swap"):
    same_rows(rows_of(logged(pipeline, len(sent))), sent)

with step("deploy an earlier version again"):
    old = wl.get_pipeline("fraud-pipeline").versions()[1]
    show(old)
    old.deploy("fraud-pipeline", old.model_configs())
    values = rows(2)
    infer(pipeline, frame(values), values, first)

with step("replace the model of the deployment"):
    deployment = wl.deployment_by_name("fraud-pipeline")
    deployment.replace_model(swap)
    deployment.wait_for_running()
    values = rows(2)
    infer(pipeline, frame(values), values, second)

with step("list, find and search pipelines"):
    assert "fraud-pipeline" in [p.name() for p in wl.list_pipelines()]
    assert [p.name() for p in wl.list_pipelines(workspace_id=workspace.id(), workspace_name="fraud-detection")] == ["fraud-pipeline"]
    assert "fraud-model" in show(wl.list_pipelines())
    assert wl.get_pipeline("fraud-pipeline").id() == pipeline.id()
    assert [p.id() for p in wl.pipelines_by_name("fraud-pipeline", workspace_id=workspace.id(), workspace_name="fraud-detection")] == [pipeline.id()]
    assert [p.id() for p in workspace.pipelines()] == [pipeline.id()]
    assert {v.name() for v in wl.search_pipelines("fraud")} == {v.name() for v in wl.get_pipeline("fraud-pipeline").versions()}
    assert wl.search_pipelines("no such pipeline") == [] and wl.search_pipelines("fraud", deployed=False) == []
    assert wl.list_pipelines(workspace_id=other.id(), workspace_name="second-workspace") == []
    assert len(wl.search_pipelines(deployed=True, workspace_id=workspace.id(), workspace_name="fraud-detection")) > 0
    assert wl.search_pipelines(created_start=datetime.datetime.now(datetime.timezone.utc)) == []
    show(wl.search_pipelines())
    assert wl.get_pipeline("fraud-pipeline").get_pipeline_configuration()["definition"]["steps"]
    assert "fraud-pipeline" in [d.name() for d in wl.list_deployments() if d.deployed()]
    show(wl.list_deployments())

with step("a pipeline keeps its steps when it is built again"):
    again = wl.build_pipeline("fraud-pipeline")
    assert again.id() == pipeline.id() and again.versions()[0].definition()["steps"]

with step("scikit-learn's classifier: two outputs, one of them a scalar"):
    fitted = models.classifier(folder, "classifier")
    iris = wl.build_pipeline("classify").add_model_step(wl.upload_model("classifier", fitted.path, framework=Framework.ONNX))
    iris.deploy()
    values = rng.normal(size=(6, 4)).round(3).astype(np.float32)
    check(iris.infer(frame(values, "X")), fitted, {"X": values})
    check(iris.infer(table(values, "X")), fitted, {"X": values})
    logged(iris, 12)
    # One replica, one log: row by row in the order in which they were sent, and the other way round.
    expected = np.concatenate([values, values])
    until = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(minutes=1)
    log = iris.logs(start_datetime=started, end_datetime=until, arrow=True)
    same(column(log, "in.X").astype(np.float32), expected, "in.X")
    for name, outputs in fitted.run({"X": expected}).items():
        same(column(log, f"out.{name}"), outputs, f"out.{name}")
    same(column(iris.logs(limit=100), "in.X").astype(np.float32), expected[::-1], "in.X")
    assert len(iris.logs(limit=4)) == 4
    iris.undeploy()

with step("every element type, several inputs and outputs"):
    typed = models.kinds(folder, "kinds")
    line = wl.build_pipeline("kinds").add_model_step(wl.upload_model("kinds", typed.path, framework=Framework.ONNX))
    line.deploy()
    feeds = {
        "amount": np.array([[0.1, -2.5], [1e-7, 3.0]]),
        "count": np.array([7, -(2**40)], dtype=np.int64),
        "flag": np.array([True, False]),
        "text": np.array(["plain", "naïve 🦘 \"quoted\""], dtype=object),
        "small": np.array([[0, 1, 255], [9, 8, 7]], dtype=np.uint8),
    }
    check(line.infer(pd.DataFrame({k: v.tolist() for k, v in feeds.items()})), typed, feeds)
    feeds["count"] = np.array([2**60 + 1, -(2**53) - 1], dtype=np.int64)
    arrays = {k: pa.FixedSizeListArray.from_arrays(pa.array(v.ravel()), v.shape[1]) if v.ndim == 2 else pa.array(v) for k, v in feeds.items()}
    check(line.infer(pa.table(arrays)), typed, feeds)
    log = logged(line, 4, arrow=True)
    assert set(column(log, "in.count").tolist()) >= {2**60 + 1, -(2**53) - 1}
    line.undeploy()

with step("images: nested lists in and out"):
    picture = models.image(folder, "image")
    line = wl.build_pipeline("image").add_model_step(wl.upload_model("image", picture.path, framework=Framework.ONNX))
    line.deploy()
    values = rng.normal(size=(2, 3, 4, 5)).round(3).astype(np.float32)
    check(line.infer(frame(values, "image")), picture, {"image": values})
    nested = pa.array(values.tolist(), pa.list_(pa.list_(pa.list_(pa.float32()))))
    check(line.infer(pa.table({"image": nested})), picture, {"image": values})
    line.undeploy()

with step("two models in a row"):
    middle = models.dense(folder, "third", 3)
    a = wl.upload_model("stage-one", middle.path, framework=Framework.ONNX)
    chain = wl.build_pipeline("chain").add_model_step(a)
    chain.deploy()
    values = rows(2)
    check(chain.infer(frame(values, "dense_input")), middle, {"dense_input": values})
    show(chain)
    chain.undeploy()

with step("sign in with a token"):
    (folder / "token.json").write_text(json.dumps({"token": wl.auth.auth_header()["Authorization"].split(" ", 1)[1], "user_email": wl.auth.user_email(), "user_id": wl.auth.user_id()}))
    os.environ["WALLAROO_SDK_CREDENTIALS"] = str(folder / "token.json")
    by_token = client("token")
    assert {w.name() for w in by_token.list_workspaces()} == {w.name() for w in wl.list_workspaces()}
    by_token.set_current_workspace(by_token.get_workspace("fraud-detection"))
    values = rows(2)
    infer(by_token.get_pipeline("fraud-pipeline"), frame(values), values, second)
    del os.environ["WALLAROO_SDK_CREDENTIALS"]

with step("undeploy"):
    pipeline.undeploy()
    with raises("not found"):
        pipeline.status()
    assert len(wl.search_pipelines("fraud", deployed=False)) > 0
    with raises("404", "not deployed"):
        pipeline.infer(frame(rows(1)))
    same_rows(rows_of(logged(pipeline, len(sent))), sent)

with step("deploy again after an undeploy"):
    pipeline.deploy()
    values = rows(2)
    infer(pipeline, frame(values), values, second)
    pipeline.undeploy()

step.finish()
