"""Deployments: what runs, what it answers, and what is in its log."""

import asyncio
import datetime
import json

import httpx
import numpy as np
import openai
import pandas as pd
import pyarrow as pa
from wallaroo.deployment import Deployment
from wallaroo.model_version import ModelVersion

from harness import row, show
from pipeline_rows import inference
from support import API, column, raises, same
from world import frame, now, table


@row("pipeline: deploy")
def deploy(w):
    w.deployed_at = now()
    w.pipeline.clear().add_model_step(w.first)
    assert w.pipeline.deploy(deployment_config=w.config) is w.pipeline
    assert w.pipeline.versions()[0].definition()["steps"] == [inference(w.first)]
    w.sent = []
    # A connected pipeline that has no steps of its own here is deployed as its newest version, and that changes nothing.
    again = w.wl.get_pipeline("conf-pipeline").deploy(deployment_config=w.config)
    assert again.versions()[0].id() == w.pipeline.versions()[0].id()
    no_wait = w.wl.get_pipeline("conf-pipeline").deploy(deployment_config=w.config, wait_for_status=False)
    assert no_wait._deployment.id() == again._deployment.id()


@row("pipeline: status")
def status(w):
    told = w.pipeline.status()
    assert (told["status"], told["details"], told["sidekicks"]) == ("Running", [], [])
    (engine,) = told["engines"]
    assert engine["pipeline_statuses"] == {"pipelines": [{"id": "conf-pipeline", "status": "Running"}]}
    (running,) = engine["model_statuses"]["models"]
    assert (running["name"], running["version"], running["sha"], running["status"]) == ("conf-model", w.first.version(), w.first.sha(), "Running")
    assert running["config"]["id"] == w.first.config().id() and running["config"]["tensor_fields"] == ["tensor"]
    assert w.wl.get_pipeline("where-is-it").status() == {"status": "Pipeline where-is-it is not deployed"}


@row("client: list deployments")
def list_deployments(w):
    (found,) = [d for d in w.wl.list_deployments() if d.name() == "conf-pipeline"]
    assert found.id() == w.pipeline._deployment.id() and found.deployed() is True and [c.id() for c in found.model_configs()] == [w.first.config().id()]
    assert found.id() in [d.id() for d in w.member.list_deployments()] and w.stranger.list_deployments() == []


@row("client: deployment by name")
def deployment_by_name(w):
    w.deployment = w.wl.deployment_by_name("conf-pipeline")
    assert w.deployment.id() == w.pipeline._deployment.id() and w.deployment.name() == "conf-pipeline"


@row("deployment: read by id")
def read_deployment(w):
    read = Deployment(w.wl, {"id": w.deployment.id()})
    assert read.name() == read.pipeline_name() == "conf-pipeline" and read.deployed() is True
    assert [c.id() for c in read.model_configs()] == [w.first.config().id()]
    assert [v.id() for v in read.pipeline_versions()] == [w.pipeline.versions()[0].id()]
    engine = read.engine_config()["engine"]
    assert engine["replicas"] == 1 and engine["resources"]["limits"] == {"cpu": 0.25, "memory": "512Mi"} and engine["arch"] == "x86"
    assert show(read)


@row("pipeline: url")
def url(w):
    assert w.pipeline.url() == f"{API}/v1/api/pipelines/infer/conf-pipeline-{w.deployment.id()}/conf-pipeline"
    assert w.wl.get_pipeline("conf-pipeline").url() == w.pipeline.url()


@row("pipeline: external url")
def external_url(w):
    assert w.pipeline.get_external_url() == w.pipeline.url() == w.member.pipelines_by_name("conf-pipeline")[0].get_external_url()


@row("pipeline: display")
def display(w):
    html = show(w.pipeline)
    for text in ("conf-pipeline", "conformance", "conf-model", w.pipeline.versions()[0].name(), "x86", "<td>True</td>"):
        assert text in html, (text, html)
    assert "conf-model" in show(w.wl.list_pipelines(workspace_id=w.workspace.id()))
    assert "conf-pipeline" in show(w.wl.search_pipelines("conf-pipe", deployed=True))
    assert "True" in show(w.pipeline.versions()[0]) and show(w.wl.search_pipelines("nothing of that name")) == "(no pipelines)"


def infer(w, data, values, name="first", **options):
    result = w.answered(w.pipeline.infer(data, **options), name, values)
    w.sent += [(v, o, name) for v, o in zip(values, w.expected(name, values))]
    return result


@row("pipeline: infer and infer from file")
def infer_rows(w):
    for count in (1, 20):
        values = w.rows(count)
        assert isinstance(infer(w, frame(values), values), pd.DataFrame)
        assert isinstance(infer(w, table(values), values), pa.Table)
    values = w.rows(3)
    outputs = w.expected("first", values)
    # A dictionary is answered in the shape of its kind.
    answer = w.pipeline.infer({"tensor": values.tolist()})
    np.testing.assert_allclose(np.ravel(answer[0]["outputs"][0]["Float"]["data"]), outputs[:, 0], rtol=1e-5)
    w.sent += [(v, o, "first") for v, o in zip(values, outputs)]
    # What is asked for is what comes.
    assert list(w.pipeline.infer(frame(values), dataset=["out.dense_1"]).columns) == ["out.dense_1"]
    assert list(w.pipeline.infer(frame(values), dataset_exclude=["in", "anomaly"]).columns) == ["time", "out.dense_1"]
    told = w.pipeline.infer(table(values), dataset=["time", "metadata"])
    assert json.loads(told["metadata.last_model"][0].as_py()) == {"model_name": "conf-model", "model_sha": w.first.sha()}
    assert told["metadata.pipeline_version"].to_pylist() == [w.pipeline.versions()[0].name()] * 3
    w.sent += [(v, o, "first") for v, o in zip(values, outputs)] * 3
    # Files of every format, by their name and by what is said of them.
    forms = {"records.json": None, "records.txt": "pandas-records", "rows.arrow": None, "rows.bin": "arrow", "custom.json": "custom-json"}
    for name, form in forms.items():
        path = w.folder / name
        if "rows" in name:
            with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table(values).schema) as writer:
                writer.write_table(table(values))
        else:
            path.write_text(json.dumps({"tensor": values.tolist()}) if form == "custom-json" else frame(values).to_json(orient="records"))
        result = w.pipeline.infer_from_file(path, data_format=form)
        if form == "custom-json":
            np.testing.assert_allclose(np.ravel(result[0]["outputs"][0]["Float"]["data"]), outputs[:, 0], rtol=1e-5)
        else:
            assert isinstance(w.answered(result, "first", values), pa.Table if "rows" in name else pd.DataFrame)
        w.sent += [(v, o, "first") for v, o in zip(values, outputs)]


@row("pipeline: async and parallel inference")
def parallel(w):
    values = w.rows(14)

    async def each():
        async with httpx.AsyncClient() as session:
            return await asyncio.gather(*[w.pipeline.async_infer(data, session) for data in (frame(values), table(values))])

    for result in asyncio.run(each()):
        w.answered(result, "first", values)
    for data in (frame(values), table(values)):
        w.answered(asyncio.run(w.pipeline.parallel_infer(data, num_parallel=5, batch_size=3, retries=2, timeout=20)), "first", values)
    alone = asyncio.run(w.pipeline.parallel_infer(frame(values[:2]), dataset=["time", "out"]))
    assert list(alone.columns) == ["time", "out.dense_1"]
    same(column(alone, "out.dense_1"), w.expected("first", values[:2]), "one by one")
    w.sent += [(v, o, "first") for v, o in zip(values, w.expected("first", values))] * 4
    w.sent += [(v, o, "first") for v, o in zip(values[:2], w.expected("first", values[:2]))]


@row("pipeline: OpenAI completions", also=(409,))
def openai_completions(w):
    # This pipeline's model is none that completes text: the answer is a conflict that says so, as the client's own API document has it.
    for ask in (
        lambda: w.pipeline.openai_completion(prompt="Once", max_tokens=3),
        lambda: w.pipeline.openai_chat_completion(messages=[{"role": "user", "content": "Hello"}], stream=True),
    ):
        with raises("409", "conf-pipeline", "OpenAI", kind=openai.ConflictError):
            ask()


@row("client: get topic name")
def get_topic_name(w):
    assert w.wl.get_topic_name(w.pipeline.id()) == f"workspace-{w.workspace.id()}-pipeline-conf-pipeline-inference"


def window():
    return dict(start_datetime=now() - datetime.timedelta(hours=1), end_datetime=now() + datetime.timedelta(minutes=1))


def logged(w, line=None, count=None, **options):
    line, count = line or w.pipeline, len(w.sent) if count is None else count
    return w.until(lambda: line.logs(limit=10_000, **options), lambda log: len(log) == count, f"{count} rows")


def is_log(log, sent):
    """Row by row: inputs and outputs, in this order."""
    same(column(log, "in.tensor").astype(np.float32), np.array([s[0] for s in sent]), "in")
    same(column(log, "out.dense_1"), np.array([s[1] for s in sent]), "out")


def as_multiset(log):
    return sorted((r.tobytes(), round(float(o[0]), 4)) for r, o in zip(column(log, "in.tensor").astype(np.float32), column(log, "out.dense_1")))


@row("pipeline: logs, export, topic")
def logs(w):
    assert w.pipeline.get_topic_name() == w.wl.get_topic_name(w.pipeline.id())
    newest = logged(w)
    assert newest["time"].is_monotonic_decreasing and list(newest.columns) == ["time", "in.tensor", "out.dense_1", "anomaly.count"]
    sent = sorted((v.tobytes(), round(float(o[0]), 4)) for v, o, _ in w.sent)
    assert as_multiset(newest) == sent
    oldest = w.pipeline.logs(**window(), arrow=True)
    assert isinstance(oldest, pa.Table) and oldest["time"].to_pylist() == sorted(oldest["time"].to_pylist())
    assert as_multiset(oldest) == sent
    is_log(w.pipeline.logs(**window(), limit=42), w.sent[:42])
    assert len(w.pipeline.logs(limit=5)) == 5 and len(w.pipeline.logs()) == min(100, len(w.sent))
    assert list(w.pipeline.logs(limit=1, dataset=["time", "out.dense_1"]).columns) == ["time", "out.dense_1"]
    assert list(w.pipeline.logs(limit=1, dataset_exclude=["in"]).columns) == ["time", "out.dense_1", "anomaly.count"]
    told = w.pipeline.logs(limit=2, dataset=["time", "metadata"])
    assert [json.loads(t)["model_sha"] for t in told["metadata.last_model"]] == [w.first.sha()] * 2
    for arrow in (False, True):
        folder = w.folder / f"export-{arrow}"
        w.pipeline.export_logs(directory=str(folder), file_prefix="x", limit=10_000, arrow=arrow)
        read = [pa.ipc.open_file(str(f)).read_all() if arrow else pd.read_json(f, lines=True) for f in sorted(folder.iterdir())]
        assert sum(len(r) for r in read) == len(w.sent), (arrow, [len(r) for r in read])
        assert as_multiset(read[0]) == sent
    # Nothing failed a validation.
    assert len(w.pipeline.logs(valid=False)) == 0


@row("client: get logs")
def get_logs(w):
    log, told = w.wl.get_logs(w.pipeline.get_topic_name(), limit=3)
    assert (len(log), told) == (3, "RecordLimited")
    log, told = w.wl.get_logs(w.pipeline.get_topic_name(), limit=10_000, arrow=True)
    assert (len(log), told) == (len(w.sent), "All")
    # What the first page leaves, the second has: no row twice and none left out.
    pages, cursor = [], {}
    headers, params = w.wl._build_headers_and_params(limit=50)
    while cursor is not None:
        page, cursor, _ = w.wl._extract_logs_from_response(w.wl._get_next_records(params, cursor, headers, f"/v1/logs/topic/{w.pipeline.get_topic_name()}"))
        pages.append(page)
    assert [len(p) for p in pages][:-1] == [50] * (len(pages) - 1) and len(pages) >= 2
    assert as_multiset(pa.concat_tables(pages)) == as_multiset(log)


@row("client: raw logs")
def raw_logs(w):
    topic, begin, end = w.pipeline.get_topic_name(), *window().values()
    raw = w.wl.get_raw_logs(topic)
    assert len(raw) == len(w.sent) and set(raw.columns) == {"time", "in", "out", "anomaly", "metadata"}, (len(raw), list(raw.columns))
    assert len(w.wl.get_raw_logs(topic, limit=5)) == 5 and len(w.wl.get_raw_logs(topic, start=end)) == 0
    of_model = w.wl.get_raw_pipeline_inference_logs(topic, begin, end, model_name="conf-model")
    assert len(of_model) == len(w.sent) and len(w.wl.get_raw_pipeline_inference_logs(topic, begin, end, model_name="other")) == 0
    flat = w.wl.get_pipeline_inference_dataframe(topic, begin, end)
    assert len(flat) == len(w.sent) and "output_dense_1_0" in flat.columns, list(flat.columns)
    np.testing.assert_allclose(sorted(flat["output_dense_1_0"]), sorted(float(o[0]) for _, o, _ in w.sent), rtol=1e-5)


@row("model version: logs", also=(404,))
def model_logs(w):
    # By the model's name: what every pipeline logged that has it, newest first.
    assert as_multiset(w.until(lambda: w.first.logs(limit=10_000), lambda log: len(log) == len(w.sent), "rows of the model")) == as_multiset(logged(w))
    log = w.second.logs(limit=7, arrow=True)
    assert isinstance(log, pa.Table) and len(log) == 7 and w.first.logs(valid=False) is not None and len(w.first.logs(valid=False)) == 0
    assert len(w.wl.get_model("conf-by-curl").logs()) == 0
    # Only of pipelines that one may see; a public model opens no pipeline's log.
    assert len(ModelVersion(w.member, {"id": w.first.id()}).logs()) == 100
    w.second._update_visibility("public")
    with raises("404", "conf-model"):
        ModelVersion(w.stranger, {"id": w.second.id()}).logs()
    w.second._update_visibility("private")


@row("deployment: replace model")
def replace_model(w):
    before = len(w.pipeline.versions())
    assert w.deployment.replace_model(w.second) is w.deployment
    w.deployment.wait_for_running()
    values = w.rows(4)
    infer(w, frame(values), values, "second")
    assert [c.model_version().id() for c in w.deployment.model_configs()] == [w.second.id()]
    assert w.wl.get_pipeline("conf-pipeline").versions()[0].definition()["steps"] == [inference(w.second)]
    w.first.configure(tensor_fields=["features"])
    w.deployment.replace_configured_model(w.first.config())
    w.deployment.wait_for_running()
    w.answered(w.pipeline.infer(frame(values, "features")), "first", values, source="features")
    w.first.configure(tensor_fields=["tensor"])
    assert len(w.wl.get_pipeline("conf-pipeline").versions()) == before + 2


@row("pipeline version: deploy")
def deploy_version(w):
    earlier = next(v for v in w.wl.get_pipeline("conf-pipeline").versions() if v.id() == w.one_step.id())
    deployment = earlier.deploy("conf-pipeline", earlier.model_configs(), w.config)
    assert deployment.id() == w.deployment.id() and [v.id() for v in deployment.pipeline_versions()] == [w.one_step.id()]
    values = w.rows(2)
    infer(w, frame(values), values, "first")
    assert [d.id() for d in w.wl.get_pipeline("conf-pipeline", version=w.one_step.name())._pipeline_version_to_deploy.deployments()] == [w.deployment.id()]


@row("deployment: wait, infer, status, urls", also=(404,))
def deployment_methods(w):
    d = w.deployment
    assert d.wait_for_running(timeout=20) is d and d.status()["status"] == "Running" and d.url() == w.pipeline.url()
    assert d.internal_url().endswith("/pipelines/conf-pipeline")
    values = w.rows(2)
    w.answered(d.infer(frame(values)), "first", values)
    w.answered(d.infer_from_file(str(w.folder / "rows.arrow")), "first", np.array(pa.ipc.open_file(str(w.folder / "rows.arrow")).read_all()["tensor"].to_pylist(), dtype=np.float32))

    async def one():
        async with httpx.AsyncClient() as session:
            return await d.async_infer(frame(values), session)

    w.answered(asyncio.run(one()), "first", values)
    assert d.undeploy() is d and d.deployed() is False
    assert d.wait_for_undeployed() is d


@row("deployment: deploy")
def deploy_again(w):
    d = Deployment(w.wl, {"id": w.deployment.id()})
    assert d.deployed() is False and w.wl.search_pipelines("conf-pipe", deployed=True) == []
    assert d.deploy() is d and d.deployed() is True
    d.wait_for_running()
    values = w.rows(2)
    infer(w, table(values), values, "first")
    assert d.deploy().deployed() is True, "what is deployed stays so"


@row("pipeline: API spec")
def api_spec(w):
    path = w.folder / "api.yaml"
    w.pipeline.generate_api_spec(str(path))
    import yaml

    document = yaml.safe_load(path.read_text())
    assert document["info"] == {**document["info"], "title": "conf-pipeline", "version": w.one_step.name()}
    assert document["servers"][0]["url"] == w.pipeline.url()
    tensor = document["components"]["schemas"]["PandasRecordsInput"]["items"]["properties"]["tensor"]
    assert (tensor["type"], tensor["items"]["type"], tensor["minItems"]) == ("array", "number", 29), tensor
    # What the document says can be sent, is answered as it says, with the path it names.
    values = w.rows(2)
    headers = {**w.wl.auth.auth_header(), "Content-Type": "application/json; format=pandas-records"}
    (route,) = document["paths"]
    for params in ({"dataset[]": ["*"]}, {"dataset[]": ["*"], "dataset.flatten": "true"}, {}):
        answer = httpx.post(document["servers"][0]["url"] + route, params=params, headers=headers, content=frame(values).to_json(orient="records"))
        assert answer.status_code == 200, answer.text
    w.sent += [(v, o, "first") for v, o in zip(values, w.expected("first", values))] * 3


@row("pipeline: undeploy", also=(404,))
def undeploy(w):
    assert w.pipeline.undeploy() is w.pipeline
    assert w.wl.deployment_by_name("conf-pipeline").deployed() is False
    assert len(w.wl.search_pipelines("conf-pipe", deployed=False)) == len(w.wl.search_pipelines("conf-pipe"))
    assert len(w.pipeline.logs(limit=3)) == 3, "its log stays"
    assert w.wl.get_pipeline("where-is-it").undeploy().name() == "where-is-it", "nothing to undeploy"


@row("model version: deploy", also=(404,))
def deploy_model(w):
    line = w.wl.get_model("conf-by-curl").deploy("conf-of-model", w.config)
    assert line.name() == "conf-of-model" and line.status()["status"] == "Running"
    values = w.rows(1)
    w.answered(line.infer(frame(values, "dense_input")), "first", values, source="dense_input")
    # Rows that failed a validation, and they alone.
    import polars as pl

    line.add_validations(low=pl.col("out.dense_1").list.get(0) < 0.5).deploy(deployment_config=w.config)
    values = w.rows(40)
    low = w.expected("first", values)[:, 0] < 0.5
    assert 0 < low.sum() < 40
    line.infer(frame(values, "dense_input"))
    failed = w.until(lambda: line.logs(valid=False, limit=1000), lambda log: len(log) == low.sum(), "rows that failed")
    same(column(failed, "in.dense_input").astype(np.float32), values[low][::-1], "failed")
    assert failed["anomaly.low"].all() and (failed["anomaly.count"] == 1).all() and failed["time"].is_monotonic_decreasing
    assert len(line.logs(valid=False, limit=2, arrow=True)) == 2
    ordered = line.logs(valid=False, **window())
    same(column(ordered, "in.dense_input").astype(np.float32), values[low], "oldest first")
    assert len(w.wl.get_raw_logs(line.get_topic_name() + "-failures")) == low.sum()
    assert len(w.wl.get_model("conf-by-curl").logs(valid=False, limit=1000)) == low.sum()
    line.export_logs(directory=str(w.folder / "failed"), valid=False, limit=1000)
    assert sum(len(pd.read_json(f, lines=True)) for f in (w.folder / "failed").iterdir()) == low.sum()
    line.undeploy()


