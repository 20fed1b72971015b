"""Uploads cases with the published client, deploys each, infers with a DataFrame and an Arrow table, and compares with what
the framework itself said. Arguments: the folder of the cases, then their names. Prints one JSON line for each."""

import base64
import json
import math
import os
import pathlib
import sys
import time

import pyarrow as pa
import wallaroo
from wallaroo.framework import Framework

folder, names = pathlib.Path(sys.argv[1]), sys.argv[2:]
client = wallaroo.Client(api_endpoint=os.environ["POTOROO_URL"], auth_type="user_password", interactive=False, request_timeout=300)
small = wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(1).memory("2Gi").build()


def table(name):
    with pa.OSFile(str(folder / name)) as file:
        return pa.ipc.open_stream(file).read_all()


def differs(given, wanted, tolerance, at):
    if isinstance(wanted, (list, tuple)):
        given = list(given)
        assert len(given) == len(wanted), f"{at}: {len(given)} values instead of {len(wanted)}"
        for i, (one, other) in enumerate(zip(given, wanted)):
            differs(one, other, tolerance, f"{at}[{i}]")
    elif isinstance(wanted, dict):
        assert set(given) == set(wanted), f"{at}: {sorted(given)} instead of {sorted(wanted)}"
        for name, one in wanted.items():
            differs(given[name], one, tolerance, f"{at}.{name}")
    elif isinstance(wanted, float):
        nothing = given is None or math.isnan(given)
        assert (nothing and math.isnan(wanted)) or abs(given - wanted) <= tolerance * max(1, abs(wanted)), f"{at}: {given} instead of {wanted}"
    else:
        assert given == wanted or (isinstance(wanted, int) and abs(given - wanted) <= tolerance * max(1, abs(wanted))), f"{at}: {given!r} instead of {wanted!r}"


def schema(text):
    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text)))


for found in (c for c in json.loads((folder / "cases.json").read_text()) if c["name"] in names):
    started, answer = time.time(), {"name": found["name"], "ok": True}
    pipeline = None
    try:
        kind = Framework(found["framework"])
        schemas = {} if found["framework"] == "tensorflow" else {"input_schema": schema(found["inputSchema"]), "output_schema": schema(found["outputSchema"])}
        model = client.upload_model(found["name"], found["file"], framework=kind, **schemas)
        while "attempting" in model.status() or "pending" in model.status():  # the client does not wait for native ones
            assert time.time() - started < 300, f"still {model.status()} after {time.time() - started:.0f} s"
            time.sleep(0.5)
            model = client.get_model(found["name"])
        assert model.status() in ("ready", "ModelStatus.READY") or "ready" in str(model.status()).lower(), model.status()
        answer["runtime"] = model.config().runtime()
        pipeline = client.build_pipeline(found["name"]).add_model_step(model)
        pipeline.deploy(deployment_config=small)
        rows, expected = table(found["rows"]), table(found["expected"])
        frame = rows.to_pandas()
        for column in frame.columns:
            frame[column] = rows[column].to_pylist()
        for form, result in (("frame", pipeline.infer(frame)), ("arrow", pipeline.infer(rows))):
            for name in expected.column_names:
                given = result[f"out.{name}"]
                given = given.to_pylist() if form == "arrow" else given.to_list()
                differs(given, expected[name].to_pylist(), max(found.get("tolerance") or 1e-6, 1e-6), f"{form} {name}")
    except Exception as error:  # noqa: BLE001
        answer |= {"ok": False, "error": f"{type(error).__name__}: {error}"[:1500]}
    finally:
        try:
            if pipeline is not None:
                pipeline.undeploy()
        except Exception as error:  # noqa: BLE001
            answer |= {"ok": False, "error": f"{answer.get('error', '')} undeploy: {error}"[:1500]}
    print("\n" + json.dumps(answer | {"seconds": round(time.time() - started, 1)}), flush=True)
