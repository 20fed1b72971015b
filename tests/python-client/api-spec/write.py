"""Deploys a pipeline and writes the document of its API, as the published client does, beside what its answers have to be."""

import json
import os
import pathlib
import tempfile

import numpy as np
import wallaroo
from wallaroo.framework import Framework

import models
from support import Steps, client

step = Steps()
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))

with step("the client writes the document"):
    wl = client()
    wl.set_current_workspace(wl.create_workspace("api-spec"))
    files = {"described": models.dense(folder, "described", 1), "typed": models.kinds(folder, "typed")}
    written = {}
    for name, feeds in (
        ("described", {"dense_input": np.random.default_rng(3).normal(size=(4, models.FEATURES)).round(4).astype(np.float32)}),
        ("typed", {"amount": np.array([[0.5, -2.5]]), "count": np.array([7]), "flag": np.array([True]), "text": np.array(["naïve"], dtype=object), "small": np.array([[0, 1, 255]], dtype=np.uint8)}),
    ):
        line = wl.build_pipeline(name).add_model_step(wl.upload_model(name, files[name].path, framework=Framework.ONNX))
        line.deploy(deployment_config=wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(0.25).memory("512Mi").build())
        path = folder / f"{name}.yaml"
        line.generate_api_spec(str(path))
        rows = [{k: v.tolist()[i] for k, v in feeds.items()} for i in range(len(next(iter(feeds.values()))))]
        outputs = files[name].run(feeds)
        written[name] = {
            "document": path.read_text(), "rows": rows, "answers": [{k: v.tolist()[i] for k, v in outputs.items()} for i in range(len(rows))],
            "own": wl.httpx_client.get(f"api/v1/deployments/{line._deployment.id()}/openapi.json").json(), "version": line.versions()[0].name(), "token": wl.auth._access_token().token,
        }
    (pathlib.Path(os.environ["POTOROO_TEST_DIR"]).parent / "api-spec.json").write_text(json.dumps(written))

step.finish()
