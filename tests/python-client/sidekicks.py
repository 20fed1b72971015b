"""Models in processes of their own, as the published client shows them: their states, what they print, what was before; and how uploads and architectures go."""

import asyncio
import contextlib
import datetime
import io
import os
import pathlib
import re
import tempfile
import time

import httpx
import pandas as pd
import pyarrow as pa
import wallaroo
from wallaroo.deployment_config import DeploymentConfigBuilder
from wallaroo.engine_config import Architecture
from wallaroo.framework import Framework

import models
from support import API, client, raises, show, Steps

step = Steps()
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
wl = client()
workspace = wl.create_workspace("sidekicks")
wl.set_current_workspace(workspace)
ins, outs = pa.schema([pa.field("x", pa.float64())]), pa.schema([pa.field("y", pa.float64())])
script = """
import os
import pandas as pd
import threading

barrier = threading.Barrier(2, timeout=20)


def wallaroo_json(data: pd.DataFrame):
    for value in data["x"]:
        print(f"saw {value}")
        if value < 0:
            os.abort()
        if value == 1000:
            barrier.wait()
    return pd.DataFrame({"y": data["x"] * 2})
"""
(folder / "step.py").write_text(script)


def config():
    """A new one each time: the client writes the architecture into what it is given."""
    return DeploymentConfigBuilder().cpus(1).memory("1Gi").build()


def eventually(what, seconds=20):
    """Until it holds; then what it gives."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = what()
            assert found
            return found
        except AssertionError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


talker = None
said = io.StringIO()
with step("upload: the states, words and dots that the client shows"):
    with contextlib.redirect_stdout(said):
        talker = wl.upload_model("talker", str(folder / "step.py"), framework=Framework.PYTHON, input_schema=ins, output_schema=outs)
    print(said.getvalue())
    lines = said.getvalue().splitlines()
    assert lines[0] == "Waiting for model loading - this will take up to 10min."
    assert lines[-1] == "Ready", lines
    assert talker.config().runtime() == "python"
    assert talker.arch() == "x86"
    logs = talker.get_upload_logs()
    assert any("The model is ready." in str(line) for line in logs), logs

pipeline = wl.build_pipeline("talk")
pipeline.add_model_step(talker)

with step("status: each sidekick with its name, state and reason"):
    pipeline.deploy(deployment_config=config())
    status = pipeline.status()
    assert status["status"] == "Running"
    (sidekick,) = status["sidekicks"]
    print(sidekick)
    assert {"ip", "name", "status", "reason", "details", "statuses"} <= set(sidekick)
    assert sidekick["status"] == "Running" and sidekick["reason"] is None and sidekick["details"] == []
    assert sidekick["name"].startswith(f"engine-sidekick-talker-{talker.id()}-")

name = status["sidekicks"][0]["name"]


def texts(**bounds):
    return [line.split(" ", 1)[1] for line in pipeline.get_sidekick_pod_logs(name, **bounds) if " saw " in line and "0.5" not in line]


with step("logs: newest first, as many as asked for"):
    pipeline.infer(pd.DataFrame({"x": [1.0, 2.0, 3.0]}))
    eventually(lambda: texts() == ["saw 3.0", "saw 2.0", "saw 1.0"])
    assert texts(limit=2) == ["saw 3.0", "saw 2.0"]
    print(show(pipeline.get_sidekick_pod_logs(name, limit=2)))

with step("logs: between two times"):
    time.sleep(0.01)
    between = datetime.datetime.now(datetime.timezone.utc)
    time.sleep(0.01)
    pipeline.infer(pd.DataFrame({"x": [4.0]}))
    eventually(lambda: texts(start_datetime=between) == ["saw 4.0"])
    assert texts(end_datetime=between) == ["saw 3.0", "saw 2.0", "saw 1.0"]
    assert texts(start_datetime=between + datetime.timedelta(hours=1)) == []

with step("logs: of more than a page"):
    pipeline.infer(pd.DataFrame({"x": [float(i) for i in range(10, 410)]}))
    time.sleep(1.1)  # more lines a second are left out
    pipeline.infer(pd.DataFrame({"x": [float(i) for i in range(410, 800)]}))
    eventually(lambda: len(pipeline.get_sidekick_pod_logs(name, limit=5000)) > 780)
    assert len(pipeline.get_sidekick_pod_logs(name)) == 100
    assert texts(limit=1) == ["saw 799.0"]

with step("logs: what is not there, and what cannot be asked for"):
    with raises("nobody", "no sidekick"):
        pipeline.get_sidekick_pod_logs("nobody")
    with raises("limit"):
        pipeline.get_sidekick_pod_logs(name, limit=0)
    post = lambda body: httpx.post(f"{API}/v1/api/pipelines/get_sidekick_pod_logs", json=body, headers=wl.auth.auth_header())
    asked = {"pipeline_name": "talk", "workspace_name": "sidekicks", "sidekick_name": name}
    assert post(asked).status_code == 200
    assert post({**asked, "start_datetime": "yesterday"}).status_code == 400
    assert post({**asked, "workspace_name": "elsewhere"}).status_code in (400, 404)

with step("no member, no logs"):
    wl.invite_user("sid@example.com", "a-good-password")
    before = {k: os.environ.get(k) for k in ("WALLAROO_USER", "WALLAROO_PASSWORD", "XDG_CACHE_HOME")}
    os.environ.update(WALLAROO_USER="sid@example.com", WALLAROO_PASSWORD="a-good-password", XDG_CACHE_HOME=tempfile.mkdtemp(dir=folder))
    sid = client()
    os.environ.update({k: v for k, v in before.items() if v is not None})
    theirs = httpx.post(f"{API}/v1/api/pipelines/get_sidekick_pod_logs", json=asked, headers=sid.auth.auth_header())
    assert theirs.status_code in (400, 404) and "saw" not in theirs.text, theirs.text
    past = httpx.post(f"{API}/v1/api/pipelines/get_sidekick_pods_history", json={"pipeline_name": "talk", "workspace_id": workspace.id()}, headers=sid.auth.auth_header())
    assert past.status_code in (400, 404), past.text

with step("a sidekick that crashes is started again and says so"):
    with raises("process"):
        pipeline.infer(pd.DataFrame({"x": [-1.0]}))
    eventually(lambda: pipeline.infer(pd.DataFrame({"x": [5.0]}))["out.y"].tolist() == [10.0])
    (after,) = pipeline.status()["sidekicks"]
    assert after["name"] == name and after["restarts"] == 1 and after["status"] == "Running", after
    eventually(lambda: any("SIGABRT" in line for line in pipeline.get_sidekick_pod_logs(name)))

with step("history: those that were, not those that are, newest first"):
    assert list(pipeline.get_sidekick_pods_history()) == []
    show(pipeline.get_sidekick_pods_history())
    pipeline.undeploy()
    (first,) = eventually(lambda: pipeline.get_sidekick_pods_history())
    assert (first.sidekick_name, first.pipeline_model_step, first.model_sha, first.model_version) == (name, "talker", talker.sha(), talker.version())
    assert datetime.datetime.fromisoformat(first.started_at) > datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(minutes=10)
    assert texts(limit=1) == ["saw 5.0"], "what it wrote outlives it"
    pipeline.deploy(deployment_config=config())
    assert [s.sidekick_name for s in pipeline.get_sidekick_pods_history()] == [name]
    pipeline.undeploy()
    assert len(eventually(lambda: pipeline.get_sidekick_pods_history()[1:] and pipeline.get_sidekick_pods_history())) == 2
    assert pipeline.get_sidekick_pods_history()[1].sidekick_name == name
    assert len(pipeline.get_sidekick_pods_history(model_name="talker")) == 2 and list(pipeline.get_sidekick_pods_history(model_name="other")) == []
    print(show(pipeline.get_sidekick_pods_history()))

with step("two requests at once, as the continuous batching config says"):
    configured = httpx.post(f"{API}/v1/api/models/insert_model_config", json={"model_version_id": talker.id(), "continuous_batching_config": {"max_concurrent_batch_size": 2}}, headers=wl.auth.auth_header())
    assert configured.status_code == 200, configured.text
    assert configured.json()["model_config"]["continuous_batching_config"] == {"max_concurrent_batch_size": 2}
    assert wallaroo.model_version.ModelVersion(wl, {"id": talker.id()}).config().continuous_batching_config().max_concurrent_batch_size == 2
    pipeline.deploy(deployment_config=config())
    answers = asyncio.run(pipeline.parallel_infer(pd.DataFrame({"x": [1000.0, 1000.0]}), timeout=30, num_parallel=2))
    assert answers["out.y"].tolist() == [2000.0, 2000.0], answers
    pipeline.undeploy()



class Hurried:
    """The time module as the client sees it, with short waits between two looks at the status, so that each state is seen."""

    def __getattr__(self, name):
        return getattr(time, name)

    @staticmethod
    def sleep(seconds):
        time.sleep(min(seconds, 0.05))


def uploaded(model_name, file, **schemas):
    """What the client prints while a scikit-learn model is loaded, and the model."""
    printed = io.StringIO()
    wallaroo.client.time = Hurried()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            found = wl.upload_model(model_name, str(file), framework=Framework.SKLEARN, **schemas)
    finally:
        wallaroo.client.time = time
    print(printed.getvalue())
    return printed.getvalue(), found


def slow(name, data):
    """A pickle that takes longer to read than an upload waits for what becomes of it: only then has the client a state to show."""
    assert data[:1] == b"\x80", data[:2]
    file = folder / f"{name}.pkl"
    file.write_bytes(data[:2] + b"ctime\nsleep\n(K\x06tR0" + data[2:])
    return file


matrix = dict(input_schema=pa.schema([pa.field("inputs", pa.list_(pa.float64(), 4))]), output_schema=pa.schema([pa.field("output", pa.float64())]))
made = pathlib.Path(os.environ["POTOROO_TEST_DIR"]).parent

with step("a model that becomes ONNX: tried natively, with success"):
    printed, honest = uploaded("honest", slow("honest", (made / "honest.pkl").read_bytes()), **matrix)
    assert re.search(r"Model is attempting loading to a native runtime\.+\s+Successful\s+Ready", printed), printed
    assert "container" not in printed
    assert wl.get_model("honest").config().runtime() == "onnx"
    assert any("agrees with the framework on 128 rows" in str(line) for line in honest.get_upload_logs())

with step("a model that converts wrongly: incompatible, then in a container runtime, and the log says why"):
    printed, lying = uploaded("lying", slow("lying", (made / "lying.pkl").read_bytes()), **matrix)
    assert re.search(r"Model is attempting loading to a native runtime\.+\s+Incompatible\s+Model is attempting loading to a container runtime\.+\s+Successful\s+Ready", printed), printed
    assert wl.get_model("lying").config().runtime() == "flight"  # read anew: what the client holds may be of a moment before
    assert any("does not agree with the framework" in str(line) for line in lying.get_upload_logs())
    lies = wl.build_pipeline("lies")
    lies.add_model_step(lying)
    lies.deploy(deployment_config=config())
    rows = pd.DataFrame({"inputs": [[1.0, 2.0, 3.0, 4.0], [0.5, 0.0, -0.5, 0.25]]})
    assert lies.infer(rows)["out.output"].tolist() == [10.0, 0.25], "what the framework answers, not what its converter makes of it"
    assert [s["model"]["name"] for s in lies.status()["sidekicks"]] == ["lying"]
    lies.undeploy()

with step("a file that is no model: tried both ways, an error with the reason"):
    printed, broken = uploaded("broken", slow("broken", b"\x80\x04not a pickle"), **matrix)
    assert "ERROR!" in printed and re.search(r"native runtime\.+\s+Incompatible", printed), printed
    assert "is not a pickle" in printed and broken.status() == "error", printed

dense = models.dense(folder, "dense", 3)
with step('"models uploaded default to the target architecture x86", and so do deployments'):
    plain = wl.upload_model("plain", str(dense.path), framework=Framework.ONNX)
    assert plain.arch() == "x86"
    both = wl.build_pipeline("archs")
    both.add_model_step(plain)
    both.deploy(deployment_config=config())
    assert both._deployment.engine_config()["engine"]["arch"] == "x86"
    both.undeploy()

with step('"Models with the target architecture ARM require the pipeline deployment configuration also be ARM"'):
    arm = wl.upload_model("of-arm", str(dense.path), framework=Framework.ONNX, arch=Architecture.ARM)
    assert arm.arch() == "arm"

    def refused(deployment_config, *words):
        both.clear()
        both.add_model_step(arm)
        both.deploy(deployment_config=deployment_config, wait_for_status=False)
        found = eventually(lambda: both.status()["status"] == "Error" and both.status())
        print(found["details"])
        assert all(word in str(found["details"]) for word in words), found
        assert found["engines"] == []
        both.undeploy()

    refused(DeploymentConfigBuilder().cpus(1).arch(Architecture.X86).build(), "arch_mismatch", "of-arm", "says x86")
    refused(DeploymentConfigBuilder().cpus(1).arch(Architecture.ARM).build(), "arch_mismatch", "engines run on x86 here")
    # Without a word the client takes that of the model.
    refused(config(), "arch_mismatch", "arch is arm")

with step("models of two architectures make no pipeline"):
    mixed = wl.build_pipeline("mixed")
    mixed.add_random_split([(1.0, plain), (1.0, arm)])
    mixed.deploy(deployment_config=config(), wait_for_status=False)
    found = eventually(lambda: mixed.status()["status"] == "Error" and mixed.status())
    assert "of-arm was uploaded for arch arm" in str(found["details"]), found
    mixed.undeploy()

step.finish()
