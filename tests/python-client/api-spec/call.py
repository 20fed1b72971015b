"""
Calls deployed pipelines with clients generated from the documents that the published client wrote. Its text has faults that no server
can mend: they are listed, mended here, and everything else has to be valid.
"""

import importlib
import json
import os
import pathlib
import subprocess
import sys

import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator

from steps import Steps

step = Steps()
work = pathlib.Path(os.environ["POTOROO_TEST_DIR"])
written = json.loads((work.parent / "api-spec.json").read_text())


def mend(document):
    """The faults of the published client's own text; each is looked for, so that one that goes is noticed."""
    post = document["paths"]["/"]["post"]
    for content in (post["requestBody"]["content"], post["responses"]["200"]["content"], post["responses"]["409"]["content"]):
        for media in content.values():
            assert media.pop("description")  # media types have none
    conflict = post["responses"]["409"]["content"]["application/json"]
    assert conflict["schema"] == {"$ref": "#/components/responses/Conflict"}  # a response where a schema has to be
    conflict["schema"] = {"$ref": "#/components/schemas/ErrorResponse"}
    nested, flat = document["components"]["schemas"]["PandasRecordsOutput"]["items"]["oneOf"]
    assert flat["type"] == "Object"
    flat["type"] = "object"
    assert nested["properties"]["in"] == {"$ref": "#/components/schemas/PandasRecordsInput"}  # the whole list in each of its rows
    nested["properties"]["in"] = document["components"]["schemas"]["PandasRecordsInput"]["items"]
    for properties, name in ((nested["properties"]["metadata"]["properties"], "last_model"), (flat["properties"], "metadata.last_model")):
        assert properties[name]["type"] == "object"  # it is text
        properties[name] = {"type": "string"}
    return document


def named(document):
    # The generator makes the classes of variants twice where these have no name, and then none of them.
    schemas = document["components"]["schemas"]
    schemas["NestedRow"], schemas["FlatRow"] = schemas["PandasRecordsOutput"]["items"]["oneOf"]
    schemas["PandasRecordsOutput"]["items"] = {"oneOf": [{"$ref": "#/components/schemas/NestedRow"}, {"$ref": "#/components/schemas/FlatRow"}]}
    return document


def generated(name, document, call):
    path = work / f"{name}.yaml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    command = [sys.executable, "-m", "openapi_python_client", "generate", "--path", str(path), "--output-path", str(work / f"{name}_client"), "--meta", "none"]
    made = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"})
    assert (work / f"{name}_client" / "client.py").exists(), made.stdout + made.stderr
    sys.path.insert(0, str(work))
    importlib.invalidate_caches()
    return [importlib.import_module(f"{name}_client.{part}") for part in ("client", "models", call)]


def close(a, b):
    if isinstance(b, list):
        return len(a) == len(b) and all(close(x, y) for x, y in zip(a, b))
    return abs(a - b) < 1e-5 if isinstance(b, float) else a == b


for name, of in written.items():
    document = yaml.safe_load(of["document"])

    with step(f"{name}: the document is valid but for the faults of the client's text"):
        assert len(list(OpenAPIV31SpecValidator(document).iter_errors())) > 0
        wrong = list(OpenAPIV31SpecValidator(mend(document)).iter_errors())
        assert wrong == [], [e.message for e in wrong]
        assert document["info"]["version"] == of["version"]

    with step(f"{name}: a client that is generated from it infers"):
        api, models, call = generated(name, named(document), "api.native_inference.run_inference")
        wl = api.AuthenticatedClient(base_url=document["servers"][0]["url"], token=of["token"])
        body = [models.PandasRecordsInputItem.from_dict(row) for row in of["rows"]]
        for flat in (False, True):
            answers = call.sync(client=wl, body=body, dataset_exclude=["metadata"], dataset_flatten=flat)
            assert len(answers) == len(of["rows"]), answers
            for answer, sent, wanted in zip(answers, of["rows"], of["answers"]):
                got = answer.to_dict()
                flattened = got if flat else {f"{part}.{k}": v for part in ("in", "out") for k, v in got[part].items()}
                assert all(close(flattened[f"in.{k}"], v) for k, v in sent.items()), (got, sent)
                assert all(close(flattened[f"out.{k}"], v) for k, v in wanted.items()), (got, wanted)
        refused = call.sync_detailed(client=wl, body=[models.PandasRecordsInputItem.from_dict({"other": [1.0]})])
        assert refused.status_code == 400 and refused.parsed.code == 400 and next(iter(of["rows"][0])) in refused.parsed.error, refused.content
        nobody = api.AuthenticatedClient(base_url=document["servers"][0]["url"], token="none")
        assert call.sync_detailed(client=nobody, body=body).status_code == 401

    with step(f"{name}: the server's own document is valid as it is, and a client that is generated from it infers"):
        own = of["own"]
        assert list(OpenAPIV31SpecValidator(own).iter_errors()) == [] and own["info"] == {**own["info"], "title": name, "version": of["version"]}
        api, models, call = generated(f"{name}_own", own, "api.inference.infer")
        wl = api.AuthenticatedClient(base_url=os.environ["POTOROO_URL"] + own["servers"][0]["url"], token=of["token"])
        answers = call.sync(client=wl, body=[models.Row.from_dict(row) for row in of["rows"]])
        assert len(answers) == len(of["rows"])
        for answer, sent, wanted in zip(answers, of["rows"], of["answers"]):
            got = answer.to_dict()
            assert all(close(got["in"][k], v) for k, v in sent.items()) and all(close(got["out"][k], v) for k, v in wanted.items()), (got, sent, wanted)
            assert got["anomaly"] == {"count": 0}
        refused = call.sync(client=wl, body=[])
        assert isinstance(refused, models.Problem) and refused.status == 400 and "row" in refused.detail, refused

step.finish()
