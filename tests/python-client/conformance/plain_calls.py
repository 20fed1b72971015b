"""Calls of the REST API that the client carries and never makes: asked through its generated layer, which has to read the answers."""

import importlib
import inspect
import io

import pandas as pd
import pyarrow as pa
from wallaroo.object import EntityNotFoundError
from wallaroo.pipeline import Pipeline
from wallaroo.wallaroo_ml_ops_api_client.types import File
from wallaroo.workspace import Workspace

from harness import raises, row
from pipeline_rows import inference
from world import ONNX


def call(wl, module, body=None, **options):
    """One call of the generated layer: status and what it made of the answer."""
    found = importlib.import_module(f"wallaroo.wallaroo_ml_ops_api_client.api.{module}")
    kind = inspect.signature(found.sync_detailed).parameters.get("body")
    if isinstance(body, dict):
        body = kind.annotation.from_dict(body)
    answer = found.sync_detailed(client=wl.mlops(), **({} if body is None else {"body": body}), **options)
    return answer.status_code, answer.parsed


def done(wl, module, body=None, **options):
    status, parsed = call(wl, module, body, **options)
    assert status == 200, (module, status, parsed)
    return parsed


@row("plain: users/activate, users/deactivate, user", also=(400,))
def users(w):
    enabled = lambda: w.wl.get_user_by_email("stranger@example.com").enabled()  # noqa: E731
    done(w.wl, "user.users_deactivate", {"email": "stranger@example.com"})
    assert enabled() is False
    done(w.wl, "user.users_activate", {"email": "stranger@example.com"})
    assert enabled() is True
    edit = {"id": w.stranger.auth.user_id(), "firstName": "S", "lastName": "T", "email": "stranger@example.com", "enabled": False, "isAdmin": False}
    done(w.wl, "user.users_edit", edit)
    assert enabled() is False
    done(w.wl, "user.users_edit", {**edit, "enabled": True})
    assert enabled() is True
    for wrong, word in (({"email": "other@example.com"}, "email"), ({"isAdmin": True}, "isAdmin")):
        status, parsed = call(w.wl, "user.users_edit", {**edit, **wrong})
        assert status == 400 and word in parsed.msg, parsed
    status, parsed = call(w.member, "user.users_deactivate", {"email": "stranger@example.com"})
    assert status == 400 and "administrator" in parsed.msg


@row("plain: workspaces/list_users, workspaces/remove_user, workspaces/validate, features/list")
def workspaces(w):
    made = w.wl.create_workspace("plain-calls").add_user("member@example.com")
    listed = {u.user_id: u.user_type for u in done(w.wl, "workspace.workspaces_list_users", {"workspace_id": made.id()}).users}
    assert listed == {w.wl.auth.user_id(): "OWNER", w.member.auth.user_id(): "COLLABORATOR"}
    assert done(w.wl, "workspace.workspaces_remove_user", {"workspace_id": made.id(), "email": "member@example.com"}).affected_rows == 1
    assert len(Workspace(w.wl, {"id": made.id()}).users()) == 1
    done(w.wl, "workspace.workspaces_validate")
    assert done(w.wl, "misc.features_list").is_auth_enabled is True


@row("plain: models/get_by_id, get_model_version_by_id, list_versions, list_versions_for_model, upload_stream")
def models(w):
    named = next(m for m in w.wl.list_models() if m.name() == "conf-model")
    found = done(w.wl, "model.v1_model_get_model_by_id", {"id": named.id()})
    assert (found.id, found.name, found.owner_id, found.workspace_id) == (named.id(), "conf-model", w.wl.auth.user_id(), w.workspace.id())
    version = done(w.wl, "model.get_model_version_by_id", {"model_version_id": w.first.id()}).model_version
    assert version.model_version.file_info.sha == w.first.sha() and version.config.id == w.first.config().id()
    ids = [v.id() for v in named.versions()]
    for body in ({"models_pk_id": named.id()}, {"model_id": "conf-model"}):
        assert [v.id for v in done(w.wl, "model.models_list_versions", body)] == ids
    (item,) = done(w.wl, "model.list_versions_for_model", {"model_id": "conf-model", "workspace_id": w.workspace.id()}).models
    assert [v.model_version.id for v in item.model_versions] == ids and item.workspace.id == w.workspace.id()
    visibility = importlib.import_module("wallaroo.wallaroo_ml_ops_api_client.models.models_upload_stream_visibility").ModelsUploadStreamVisibility.PRIVATE
    sent = File(payload=io.BytesIO(w.files["second"].path.read_bytes()))
    done(w.wl, "model.models_upload_stream", sent, name="plain-model", filename="streamed.onnx", visibility=visibility, workspace_id=w.workspace.id())
    made = w.wl.get_model("plain-model")
    assert made.sha() == w.second.sha() and made.file_name() == "streamed.onnx"
    w.until(lambda: made.status(), lambda s: s == "ready", "the streamed model")


@row("plain: pipelines/list_pipeline_versions, plateau/get_pipeline_topic_name, admin/get_pipeline_internal_url")
def pipelines(w):
    here = {"workspace_id": w.workspace.id()}
    listed = done(w.wl, "pipelines.list_pipeline_versions", {**here, "pipeline_id": "conf-pipeline"}).pipeline_versions
    assert [str(i.pipeline_version.version) for i in listed] == [v.name() for v in Pipeline(w.wl, {"id": w.pipeline.id()}).versions()]
    assert done(w.wl, "plateau.plateau_get_pipeline_topic_name", {**here, "pipeline_name": "conf-pipeline"}).topic_name == w.pipeline.get_topic_name()
    assert done(w.wl, "admin.admin_get_pipeline_internal_url", {**here, "pipeline_name": "conf-pipeline"}).url == w.pipeline.get_external_url()


@row("plain: pipelines/get_logs", also=(400,))
def get_logs(w):
    body = {"pipeline_name": "conf-pipeline", "workspace_id": w.workspace.id(), "order": "desc", "page_size": 40}
    done(w.wl, "pipelines.pipelines_get_logs", body)
    # The layer leaves the body to whoever asks: records, or an Arrow file, page by page.
    pages, statuses, cursor = [], [], None
    while cursor is not None or not pages:
        arrow = len(pages) % 2 == 1
        answer = w.wl.httpx_client.post("v1/api/pipelines/get_logs", json={**body, "cursor": cursor}, headers={"Accept": "application/vnd.apache.arrow.file"} if arrow else {})
        assert answer.status_code == 200, answer.text
        cursor = answer.headers.get("x-iteration-cursor")
        statuses.append(answer.headers["x-iteration-status"])
        pages.append(pa.ipc.open_file(answer.content).read_all().to_pandas() if arrow else pd.DataFrame(answer.json()))
    # One of the models had its input by another name for a while: that is a table of its own.
    assert statuses[-1] == "All" and {"RecordLimited", "SchemaChange"} <= set(statuses), statuses
    assert all({"time", "out.dense_1", "anomaly.count", "metadata.partition"} <= set(p.columns) and len(p) <= 40 for p in pages)
    partitions = w.wl.httpx_client.get(f"v1/logs/topic/{w.pipeline.get_topic_name()}").json()["partitions"]
    everything = [float(v[0]) for p in pages for v in p["out.dense_1"]]
    assert len(everything) == sum(p["end"] - p["start"] for p in partitions.values())
    for _, output, _ in w.sent[:20]:
        assert any(abs(output[0] - got) < 1e-6 for got in everything)
    assert w.wl.httpx_client.post("v1/api/pipelines/get_logs", json={**body, "cursor": "none"}).status_code == 400
    assert w.stranger.httpx_client.post("v1/api/pipelines/get_logs", json=body).status_code == 400


@row("plain: models/delete_model, delete_model_versions, pipelines/delete_pipeline, delete_pipeline_versions", also=(409,))
def deletions(w):
    here = {"workspace_id": w.workspace.id()}
    line = w.wl.build_pipeline("plain-line").add_model_step(w.wl.get_model("plain-model"))
    used = line.create_version()
    line.clear().add_model_step(w.first)
    kept = line.create_version()
    model = w.wl.get_model("plain-model")
    size = w.files["second"].path.stat().st_size
    # What is in use stays, and says so.
    status, _ = call(w.wl, "model.delete_model", {**here, "model_id": "plain-model"})
    assert status == 409 and w.wl.get_model("plain-model").id() == model.id()
    done(w.wl, "pipelines.delete_pipeline_versions", {"pipeline_versions": [used.name()]})
    assert used.name() not in [v.name() for v in Pipeline(w.wl, {"id": line.id()}).versions()]
    assert done(w.wl, "model.delete_model_versions", {"model_versions": [model.version()], "confirm_delete": False}).bytes_ == size
    assert w.wl.get_model("plain-model").id() == model.id(), "only asked what would go"
    assert done(w.wl, "model.delete_model_versions", {"model_versions": [model.version()]}).bytes_ == size
    with raises("plain-model"):
        w.wl.get_model("plain-model")
    again = w.wl.upload_model("plain-model", w.files["second"].path, framework=ONNX)
    assert done(w.wl, "model.delete_model", {**here, "model_id": "plain-model", "confirm_delete": True}).bytes_ == size and again.id() != model.id()
    # A pipeline's last version, and one that is deployed, go with their pipeline alone.
    for version in Pipeline(w.wl, {"id": line.id()}).versions():
        if version.name() != kept.name():
            done(w.wl, "pipelines.delete_pipeline_versions", {"pipeline_versions": [version.name()]})
    assert call(w.wl, "pipelines.delete_pipeline_versions", {"pipeline_versions": [kept.name()]})[0] == 409
    deployed = w.wl.deployment_by_name("conf-pipeline").pipeline_versions()[0].name()
    assert call(w.wl, "pipelines.delete_pipeline_versions", {"pipeline_versions": [deployed]})[0] == 409
    assert w.pipeline.get_pipeline_configuration(deployed)["definition"]["steps"] == [inference(w.first)]
    assert done(w.wl, "pipelines.delete_pipeline", {**here, "pipeline_id": "plain-line"}).pipeline_id == "plain-line"
    with raises("plain-line", kind=EntityNotFoundError):
        w.wl.pipelines_by_name("plain-line")
