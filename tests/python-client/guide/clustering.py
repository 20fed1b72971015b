"""Section 4.2 of the guide: the custom model that clusters images, with small weights.

Arguments: the zip that holds it, and Arrow streams of the images to send and of the clusters that they belong to."""

import shutil
import sys

import pandas as pd
import pyarrow as pa
from wallaroo.framework import Framework

from guide import because, client, example, prints, re, same, typed, workspace, written

zipped, images, clusters = sys.argv[1], *(pa.ipc.open_stream(path).read_all() for path in sys.argv[2:4])
wl = client(interactive=True, request_timeout=300)
workspace(wl, "guide-clustering")
shutil.copy(zipped, "vgg16_clustering.zip")

with example("upload the custom model"):
    input_schema = pa.schema([
        pa.field("images", pa.list_(
            pa.list_(
                pa.list_(
                    pa.int64(),
                    list_size=3
                ),
                list_size=32
            ),
            list_size=32
        )),
    ])
    output_schema = pa.schema([
        pa.field("predictions", pa.int64()),
    ])
    with written() as told:
        model = wl.upload_model(
            "vgg16-clustering",
            "vgg16_clustering.zip",
            framework=Framework.CUSTOM,
            input_schema=input_schema,
            output_schema=output_schema,
            convert_wait=True,
        )
    lines = told.getvalue().splitlines()
    assert lines[0].startswith("Waiting for model loading") and lines[-1] == "Ready", lines
    assert all(re.match(r"Model is (pending|attempting) loading to a container runtime|Successful", line) for line in lines[1:-1]), lines
    because("loading-text")
    prints(typed(model), "name: text, version: uuid, file_name: text, image_path: none, last_update_time: time", arch_columns=["arch", "accel"])
    same((model.status(), model.config().runtime()), ("ready", "flight"))

with example("infer with it"):
    pipeline = wl.build_pipeline("vgg16-clustering").add_model_step(model)
    pipeline.deploy()
    result = pipeline.infer(pd.DataFrame({"images": images["images"].to_pylist()}))
    same(list(result.columns), ["time", "in.images", "out.predictions", "anomaly.count"])
    same(result["out.predictions"].tolist(), clusters["predictions"].to_pylist())
    same(result["in.images"].tolist(), images["images"].to_pylist())
    pipeline.undeploy()

example.finish()
