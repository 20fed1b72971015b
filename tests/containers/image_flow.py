"""Registers an image with the published client, declares its columns, deploys it and infers. Arguments: the image, and JSON with
the rows. Prints one JSON line with what came of it."""

import json
import os
import sys

import pandas as pd
import pyarrow as pa
import wallaroo

image, rows = sys.argv[1], json.loads(sys.argv[2])
client = wallaroo.Client(api_endpoint=os.environ["POTOROO_URL"], auth_type="user_password", interactive=False, request_timeout=120)
model = client.register_model_image(name="bikes", image=image).configure(
    "mlflow",
    input_schema=pa.schema([pa.field("temp", pa.float32()), pa.field("workingday", pa.int32())]),
    output_schema=pa.schema([pa.field("predicted_mean", pa.float32())]),
)
pipeline = client.build_pipeline("bikes").add_model_step(model)
config = wallaroo.DeploymentConfigBuilder().replica_count(1).cpus(1).memory("1Gi").sidekick_cpus(model, 1).sidekick_memory(model, "1Gi").sidekick_env(model, {"GUNICORN_CMD_ARGS": "--timeout=180"}).build()
pipeline.deploy(deployment_config=config)
frame = pd.DataFrame({"temp": pd.Series(rows["temp"], dtype="float32"), "workingday": pd.Series(rows["workingday"], dtype="int32")})
status = pipeline.status()
answer = {
    "frame": pipeline.infer(frame)["out.predicted_mean"].to_list(),
    "arrow": pipeline.infer(pa.Table.from_pandas(frame))["out.predicted_mean"].to_pylist(),
    "image": model.image_path(), "file": model.file_name(), "status": str(model.status()), "runtime": model.config().runtime(),
    "state": status["status"], "sidekicks": [s["status"] for s in status["sidekicks"]],
    "again": client.get_model("bikes").image_path(),
}
pipeline.undeploy()
try:
    client.register_model_image(name="nothing", image=image + "-missing")
    answer["refusal"] = "none"
except Exception as error:  # noqa: BLE001
    answer["refusal"] = str(error)
print("\n" + json.dumps(answer), flush=True)
