"""Models, their versions and configs."""

import base64
import datetime
import shlex
import subprocess

import pyarrow as pa
import yaml
from wallaroo.exceptions import WallarooAPIError
from wallaroo.dynamic_batching_config import DynamicBatchingConfig
from wallaroo.model import Model
from wallaroo.model_config import ModelConfig
from wallaroo.model_version import ModelVersion
from wallaroo.openai_config import OpenaiConfig
from wallaroo.visibility import _Visibility

from harness import row, show
from support import API
from world import ONNX, now

# (what, shape) as Arrow schemas; what `configure` takes and the deployment has to run with.
INPUT = pa.schema([pa.field("tensor", pa.list_(pa.float32(), 29))])
OUTPUT = pa.schema([pa.field("dense_1", pa.list_(pa.float32(), 1))])


@row("client: upload model")
def upload_model(w):
    w.began = now()
    w.first = w.wl.upload_model("conf-model", w.files["first"].path, framework=ONNX)
    assert w.first.status() == "ready" and w.first.error_summary() is None
    assert (w.first.name(), w.first.file_name(), w.first.arch(), w.first.accel(), w.first.image_path()) == ("conf-model", "first.onnx", "x86", "none", None)
    assert w.wl.upload_model("conf-model", w.files["first"].path, framework=ONNX).id() == w.first.id(), "the same file is the same version"
    w.second = w.wl.upload_model("conf-model", w.files["second"].path, framework=ONNX)
    assert w.second.id() != w.first.id() and w.second.version() != w.first.version() and w.second.name() == "conf-model"
    assert "first.onnx" in show(w.first)


@row("client: generate upload command")
def generate_upload_command(w):
    command = w.wl.generate_upload_model_api_command(API + "/", "conf-by-curl", w.files["first"].path, framework=ONNX)
    answer = subprocess.run([*shlex.split(command), "--silent"], capture_output=True, text=True, timeout=60)
    assert '"insert_models"' in answer.stdout, (answer.stdout, answer.stderr)
    made = next(m for m in w.workspace.models() if m.name() == "conf-by-curl").versions()[0]
    w.until(lambda: made.status(), lambda s: s == "ready", "uploaded by curl")
    assert made.sha() == w.first.sha()


@row("client: list models")
def list_models(w):
    listed = w.wl.list_models()
    assert [m.name() for m in listed] == ["conf-by-curl", "conf-model"], "newest first"
    assert [v.id() for v in listed[1].versions()] == [w.second.id(), w.first.id()]
    assert "conf-model" in show(listed) and "conf-model" in show(listed[1])
    assert [m.name() for m in w.wl.list_models(workspace_id=w.workspace.id(), workspace_name="conformance")] == ["conf-by-curl", "conf-model"]
    assert w.wl.list_models(workspace_id=w.other.id()) == [] == w.wl.list_models(workspace_id=w.workspace.id(), workspace_name="another name")
    assert [m.name() for m in w.member.list_models(workspace_id=w.workspace.id())] == ["conf-by-curl", "conf-model"]
    assert w.stranger.list_models(workspace_id=w.workspace.id()) == []


@row("client: get model")
def get_model(w):
    assert w.wl.get_model("conf-model").id() == w.second.id(), "the newest"
    assert w.wl.get_model("conf-model", version=w.first.version()).id() == w.first.id()


@row("client: models by name")
def models_by_name(w):
    for version in (w.first, w.second):
        assert w.wl.model_by_name("conf-model", version.version()).id() == version.id()
        assert w.wl.model_by_name("conf-model", version.version(), workspace_id=w.workspace.id(), workspace_name="conformance").id() == version.id()
        assert w.wl.model_version_by_name("conf-model", version.version()).sha() == version.sha()


@row("client: search models")
def search_models(w):
    for search in (w.wl.search_models, w.wl.search_model_versions):
        found = search("conf-mod", workspace_id=w.workspace.id())
        assert [m.id() for m in found] == [w.second.id(), w.first.id()], "newest first"
        assert "conf-model" in show(found)
        assert [m.id() for m in search(w.first.version())] == [w.first.id()]
        assert w.second.id() in [m.id() for m in search(w.second.sha().upper())]
        assert [m.id() for m in search("second.onnx")] == [w.second.id()]
        assert search("no such model") == [] == search("conf-model", workspace_id=w.other.id()) == search("conf-model", uploaded_time_start=now())
        assert len(search("conf-model", uploaded_time_start=w.began, uploaded_time_end=now())) == 2
        assert search("conf-model", uploaded_time_end=w.began) == []
        assert len(search("conf-model", workspace_name="conformance")) == 2 and search("%") == []
    assert show(w.wl.search_models("no such model")) == "(no model versions)"
    assert len(w.wl._search_my_models("conf-model")) == 2 and w.member._search_my_models("conf-model") == []
    assert len(w.member.search_models("conf-model")) == 2 and w.stranger.search_models("conf-model") == []


@row("model: read by id, versions, workspace")
def read_model(w):
    model = Model(w.wl, {"id": w.wl.list_models()[1].id()})
    assert model.name() == "conf-model" and model.owner_id() == w.wl.auth.user_id()
    assert [(v.id(), v.version(), v.sha()) for v in model.versions()] == [(v.id(), v.version(), v.sha()) for v in (w.second, w.first)]
    assert model.workspace().id() == w.workspace.id() and model.workspace().name() == "conformance"
    assert w.began <= model.created_at() <= model.last_update_time() <= now()
    assert "2" in show(model)


@row("model version: read by id, status, error summary")
def read_model_version(w):
    read = ModelVersion(w.wl, {"id": w.first.id()})
    for field in ("name", "version", "sha", "status", "error_summary", "file_name", "image_path", "arch", "accel", "models_pk_id"):
        assert getattr(read, field)() == getattr(w.first, field)(), field
    assert len(read.sha()) == 64 and read.uid() == f"conf-model-{w.first.id()}"
    assert w.began <= read.last_update_time() <= now() and read.tags() == []
    assert read.workspace().id() == w.workspace.id()
    assert show(read)


@row("model version: configure")
def configure(w):
    before = w.first.config().id()
    assert w.first.configure(tensor_fields=["tensor"], filter_threshold=0.25) is w.first
    config = w.first.config()
    assert config.id() != before, "a config is never changed, it is followed by another"
    assert config.tensor_fields() == ["tensor"] and config.filter_threshold() == 0.25 and config.runtime() == "onnx"
    w.first.configure("onnx", tensor_fields=["tensor"], batch_config="single")
    assert w.first.config().filter_threshold() is None and w.first.config()._batch_config == "single"
    w.second.configure(dynamic_batching_config=DynamicBatchingConfig(max_batch_delay_ms=7, batch_size_target=3, batch_size_limit=9))
    assert w.second.config().dynamic_batching_config().to_json() == {"max_batch_delay_ms": 7, "batch_size_target": 3, "batch_size_limit": 9}
    w.second.configure(openai_config=OpenaiConfig(enabled=True, completion_config={"temperature": 0.3}, chat_completion_config={}))
    assert w.second.config().openai_config().enabled is True and w.second.config().openai_config().completion_config == {"temperature": 0.3}
    for version in (w.first, w.second):
        version.configure(tensor_fields=["tensor"], input_schema=INPUT, output_schema=OUTPUT)


@row("model version: config")
def config_of_version(w):
    read = ModelVersion(w.wl, {"id": w.first.id()})
    assert read.config().id() == w.first.config().id() == read.rehydrate_config().id()
    assert read.config().tensor_fields() == ["tensor"]
    kept = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(read.config().input_schema())))
    assert kept.names == ["tensor"] and kept.field("tensor").type == pa.list_(pa.float32(), 29), kept
    # One that nobody configured has a config of its own by the time it is asked for.
    assert w.wl.get_model("conf-by-curl").config().tensor_fields() is None
    assert show(read.config())


@row("model config: read by id")
def read_model_config(w):
    read, told = ModelConfig(w.wl, {"id": w.first.config().id()}), w.first.config()
    for field in ("filter_threshold", "runtime", "tensor_fields", "input_schema", "output_schema", "dynamic_batching_config", "openai_config"):
        assert getattr(read, field)() == getattr(told, field)(), field
    assert read.model_version().id() == w.first.id()
    assert yaml.safe_load(read.to_k8s_yaml())["sha"] == w.first.sha()


@row("model version: upload logs")
def upload_logs(w):
    lines = w.first.get_upload_logs()
    assert len(lines) > 0 and "first.onnx" in "\n".join(lines), lines
    for line in lines:
        time, stream, full, *_ = line.split(" ")
        assert w.began <= datetime.datetime.fromisoformat(time) <= now() and stream in ("stdout", "stderr") and full == "F", line
    assert list(w.first.get_upload_logs(limit=1)) == list(lines)[-1:], "the newest"
    assert "<code>" in show(lines)


@row("model version: visibility")
def visibility(w):
    w.second._update_visibility(_Visibility.PUBLIC)
    assert ModelVersion(w.wl, {"id": w.second.id()})._fetch_attributes()["visibility"] == "public"
    # Whoever has signed in may read it, and nobody else may change it.
    assert w.stranger.model_by_name("conf-model", w.second.version()).sha() == w.second.sha()
    seen = w.stranger.search_models("conf-model")
    assert [m.id() for m in seen] == [w.second.id()], [m.id() for m in seen]
    w.second._update_visibility(_Visibility.PRIVATE)
    assert w.stranger.search_models("conf-model") == []
    assert ModelVersion(w.wl, {"id": w.second.id()})._fetch_attributes()["visibility"] == "private"


@row("client: register model image", may=(400, 422, 502))
def register_model_image(w):
    # Whether this server runs images, and reaches a registry, is another suite's; here there is no registry by that name.
    try:
        version = w.wl.register_model_image("conf-image", "registry.invalid/nothing/model:1")
    except WallarooAPIError as refused:
        assert "Model failed to upload: [" in str(refused) and len(str(refused)) > 40, refused
    else:
        w.until(lambda: version.status(), lambda s: s == "error", "an image that is not there")
        assert version.image_path() == "registry.invalid/nothing/model:1" and version.error_summary()
