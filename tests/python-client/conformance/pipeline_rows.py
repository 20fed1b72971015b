"""Pipelines, their versions and what is in them, before anything is deployed."""

import polars as pl
from wallaroo.pipeline import Pipeline
from wallaroo.pipeline_config import Steps
from wallaroo.pipeline_version import PipelineVersion
from wallaroo.visibility import _Visibility

from harness import raises, row, show
from world import now


def model(version):
    return {"name": version.name(), "version": version.version(), "sha": version.sha()}


def inference(*versions):
    return {"ModelInference": {"models": [model(v) for v in versions]}}


def steps_of(pipeline):
    return [s.to_json() for s in pipeline.steps()]


@row("client: build pipeline")
def build_pipeline(w):
    w.pipeline = w.wl.build_pipeline("conf-pipeline")
    assert w.pipeline.name() == "conf-pipeline" and w.pipeline.steps() == []
    assert w.wl.build_pipeline("conf-pipeline").id() == w.pipeline.id(), "a name of the workspace is one pipeline"
    (version,) = w.pipeline.versions()
    assert version.definition() == {"id": "conf-pipeline", "steps": []}
    assert show(w.pipeline)


@row("pipeline: step builders")
def step_builders(w):
    one, two = w.first, w.second
    line = w.wl.build_pipeline("conf-steps")
    expressions = {"low": pl.col("out.dense_1").list.get(0) < 0.2}
    assert line.add_model_step(one).add_multi_model_step([one, two]).add_audit("1:").add_select(0) is line
    line.add_key_split(one, "tier", {"gold": two}).add_random_split([(2, one), (1.5, two)], "customer").add_validations(**expressions)
    assert steps_of(line)[:6] == [
        inference(one), inference(one, two), {"AuditResults": {"from": 1, "to": None}}, {"Nth": {"index": 0}},
        {"MetaValueSplit": {"split_key": "tier", "control": model(one), "routes": {"gold": model(two)}}},
        {"RandomSplit": {"hash_key": "customer", "weights": [{"model": model(one), "weight": 2}, {"model": model(two), "weight": 1.5}]}},
    ]
    assert [next(iter(s)) for s in steps_of(line)][6:] == ["Check"] and len(line.model_configs()) >= 2
    line.replace_with_model_step(0, two).replace_with_multi_model_step(1, [two, one]).replace_with_audit(2, "0:1").replace_with_select(3, 1)
    line.replace_with_random_split(4, [(1, two)]).replace_with_key_split(5, two, "tier", {"gold": one})
    assert steps_of(line)[:4] == [inference(two), inference(two, one), {"AuditResults": {"from": 0, "to": 1}}, {"Nth": {"index": 1}}]
    assert [next(iter(s)) for s in steps_of(line)][4:6] == ["RandomSplit", "MetaValueSplit"]
    line.remove_step(1).remove_step(1).remove_step(1)
    assert [next(iter(s)) for s in steps_of(line)] == ["ModelInference", "RandomSplit", "MetaValueSplit", "Check"]
    line.clear()
    assert line.steps() == []
    line.add_model_step(one).replace_with_shadow_deploy(0, one, [two])
    assert steps_of(line) == [inference(one, two), {"AuditResults": {"from": 1, "to": None}}, {"MultiOut": {}}]
    line.clear().add_shadow_deploy(two, [one])
    assert steps_of(line)[0] == inference(two, one)
    assert show(Steps(line.steps())) and show(line.steps()[0])


@row("pipeline: create version")
def create_version(w):
    w.pipeline.add_model_step(w.first)
    w.one_step = w.pipeline.create_version()
    assert w.one_step.definition() == {"id": "conf-pipeline", "steps": [inference(w.first)]}
    w.pipeline.clear().add_model_step(w.second)
    newest = w.pipeline.create_version()
    assert newest.id() != w.one_step.id() and newest.definition()["steps"] == [inference(w.second)]
    w.pipeline._rehydrate()
    # Everything that the builders can make and that can be run goes in, and comes out as it went.
    line = w.wl.build_pipeline("conf-steps")
    for build in (
        lambda p: p.add_shadow_deploy(w.first, [w.second]),
        lambda p: p.add_random_split([(2, w.first), (1.5, w.second)], "customer"),
        lambda p: p.add_key_split(w.first, "tier", {"gold": w.second}).add_validations(low=pl.col("out.dense_1").list.get(0) < 0.2),
    ):
        build(line.clear())
        assert line.create_version().definition()["steps"] == steps_of(line)


@row("pipeline: read by id, versions, tags, workspace")
def read_pipeline(w):
    read = Pipeline(w.wl, {"id": w.pipeline.id()})
    assert read.name() == "conf-pipeline" and read.owner_id() == w.wl.auth.user_id() and read.tags() == []
    assert read.workspace().id() == w.workspace.id() and read.workspace().name() == "conformance"
    ids = [v.id() for v in read.versions()]
    assert ids == sorted(ids, reverse=True) and len(ids) == 3 and ids[1] == w.one_step.id(), "newest first"
    assert w.began <= read.create_time() <= read.last_update_time() <= now()
    assert show(read)


@row("pipeline: configuration")
def configuration(w):
    newest = w.pipeline.get_pipeline_configuration()
    assert newest == {"pipeline_id": w.pipeline.id(), "version": w.pipeline.versions()[0].name(), "definition": {"id": "conf-pipeline", "steps": [inference(w.second)]}}
    assert w.pipeline.get_pipeline_configuration(w.one_step.name())["definition"]["steps"] == [inference(w.first)]


@row("pipeline version: read by id")
def read_version(w):
    read = PipelineVersion(w.wl, {"id": w.one_step.id()})
    assert read.name() == w.one_step.name() and read.definition()["steps"] == [inference(w.first)]
    assert read.pipeline().id() == w.pipeline.id() and read.deployments() == [] and read.publishes() == []
    assert [c.id() for c in read.model_configs()] == [w.first.config().id()]
    assert w.began <= read.create_time() <= read.last_update_time() <= now()
    assert show(read)


@row("pipeline: visibility", also=("GraphQL error",))
def visibility(w):
    # A pipeline stays with the members of its workspace.
    with raises("conf-pipeline", "add users to workspace"):
        w.pipeline._update_visibility(_Visibility.PUBLIC)
    w.pipeline._update_visibility(_Visibility.PRIVATE)
    assert Pipeline(w.wl, {"id": w.pipeline.id()})._fetch_attributes()["visibility"] == "private"


@row("client: get pipeline")
def get_pipeline(w):
    got = w.wl.get_pipeline("conf-pipeline")
    assert got.id() == w.pipeline.id() and got.versions()[0].id() == w.pipeline.versions()[0].id()
    earlier = w.wl.get_pipeline("conf-pipeline", version=w.one_step.name())
    assert earlier._pipeline_version_to_deploy.id() == w.one_step.id()


@row("client: list pipelines")
def list_pipelines(w):
    here = dict(workspace_id=w.workspace.id(), workspace_name="conformance")
    assert [p.name() for p in w.wl.list_pipelines(**here)] == ["conf-steps", "conf-pipeline", "where-is-it"], "newest first"
    assert {"conf-pipeline", "in-it"} <= {p.name() for p in w.wl.list_pipelines()}, "of all workspaces"
    assert w.wl.list_pipelines(workspace_id=w.other.id()) == [] == w.stranger.list_pipelines(**here)
    assert [p.id() for p in w.member.list_pipelines(**here)] == [p.id() for p in w.wl.list_pipelines(**here)]


@row("client: pipelines by name")
def pipelines_by_name(w):
    found = w.wl.pipelines_by_name("conf-pipeline")
    assert [p.id() for p in found] == [w.pipeline.id()] and found[0].workspace().name() == "conformance"
    assert [p.id() for p in w.wl.pipelines_by_name("conf-pipeline", workspace_id=w.workspace.id(), workspace_name="conformance")] == [w.pipeline.id()]
    assert show(found)


@row("client: search pipelines")
def search_pipelines(w):
    ids = [v.id() for v in Pipeline(w.wl, {"id": w.pipeline.id()}).versions()]
    for search in (w.wl.search_pipelines, w.wl.search_pipeline_versions):
        found = search("CONF-PIPE")
        assert [v.id() for v in found] == ids and {v.pipeline().name() for v in found} == {"conf-pipeline"}
        assert search("no such pipeline") == [] == search("conf", created_start=now()) == search("conf", updated_end=w.began)
        assert len(search("conf-pipe", created_start=w.began, created_end=now(), updated_start=w.began, updated_end=now())) == len(ids)
        assert search("conf-pipe", deployed=True) == []
    assert [v.id() for v in w.wl.search_pipelines("conf-pipe", workspace_id=w.workspace.id(), workspace_name="conformance")] == ids
    assert w.wl.search_pipelines("conf-pipe", workspace_id=w.other.id()) == [] == w.stranger.search_pipelines("conf-pipe")
    assert "conf-model" in show(w.wl.search_pipelines("conf-pipe"))
