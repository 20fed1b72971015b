"""Tags and connections with the published client: every method, its displays, its refusals."""

import os
import pathlib
import tempfile

import httpx
from gql.transport.exceptions import TransportQueryError
from wallaroo.framework import Framework

import models
from support import API, client, raises, show, Steps

step = Steps()
folder = pathlib.Path(tempfile.mkdtemp(dir=os.environ["POTOROO_TEST_DIR"]))
details = {"host": "db.example.com", "port": 5432, "password": "correct horse", "options": {"ssl": True, "hosts": ["a", "b"]}}


def sign_in(user, password):
    """Another user's client, with a token cache of its own: the client keeps one for all servers and users."""
    before = {k: os.environ.get(k) for k in ("WALLAROO_USER", "WALLAROO_PASSWORD", "XDG_CACHE_HOME")}
    os.environ.update(WALLAROO_USER=user, WALLAROO_PASSWORD=password, XDG_CACHE_HOME=tempfile.mkdtemp(dir=folder))
    try:
        return client()
    finally:
        os.environ.update({k: v for k, v in before.items() if v is not None})


wl = client()
for name in ("tag-member@example.com", "tag-stranger@example.com"):
    wl.invite_user(name, "a-good-password")
member, stranger = (sign_in(name, "a-good-password") for name in ("tag-member@example.com", "tag-stranger@example.com"))
workspace = wl.create_workspace("tags-and-connections")
wl.set_current_workspace(workspace)
workspace.add_user("tag-member@example.com")
version = wl.upload_model("tagtestmodel", models.dense(folder, "tagged", 1).path, framework=Framework.ONNX)
pipeline = wl.build_pipeline("tagtestpipeline").add_model_step(version)
pipeline.create_version()
# Exists, and carries nothing: other scripts may have left tags too.
tag = wl.create_tag("My Great Tag")


def listed(wl=wl):
    return next(t for t in wl.list_tags() if t.id() == tag.id())


with step("create a tag"):
    assert tag.tag() == "My Great Tag" and isinstance(tag.id(), int)
    assert tag.model_tags() == [] and tag.pipeline_tags() == []
    assert show(tag) and "My Great Tag" in show(wl.list_tags())
    other = wl.create_tag("another")
    assert [t.id() for t in wl.list_tags()][:2] == [other.id(), tag.id()], "newest first"

with step("put a tag on a model version"):
    assert tag.add_to_model(version.id()) == {"model_id": version.id(), "tag_id": tag.id()}
    assert tag.add_to_model(version.id()) == {"model_id": version.id(), "tag_id": tag.id()}, "again is the same"
    assert [(m.id(), m.name(), m.version()) for m in listed().model_tags()] == [(version.id(), "tagtestmodel", version.version())]
    assert [m.id() for m in tag.list_model_versions()] == [version.id()] and tag.list_model_versions()[0].sha() == version.sha()
    assert version.version() in show(wl.list_tags())
    again = wl.model_version_by_name("tagtestmodel", version.version())
    assert "tag" in show(again) and [t.tag() for t in again.tags()] == ["My Great Tag"]

with step("put a tag on a pipeline"):
    assert tag.add_to_pipeline(pipeline.id()) == {"pipeline_pk_id": pipeline.id(), "tag_pk_id": tag.id()}
    other.add_to_pipeline(pipeline.id())
    assert [p.id() for p in listed().pipeline_tags()] == [pipeline.id()]
    assert [(p.id(), p.name()) for p in tag.list_pipelines()] == [(pipeline.id(), "tagtestpipeline")]
    assert [t.tag() for t in wl.get_pipeline("tagtestpipeline").tags()] == ["My Great Tag", "another"]
    assert "My Great Tag" in show(wl.list_pipelines()) and "My Great Tag" in show(wl.get_pipeline("tagtestpipeline"))

with step("search by tag"):
    assert [m.id() for m in wl.search_models("my great")] == [version.id()]
    assert [m.id() for m in wl.search_model_versions("My Great Tag")] == [version.id()]
    assert {v.pipeline().name() for v in wl.search_pipelines("My Great Tag")} == {"tagtestpipeline"}
    assert {v.pipeline().name() for v in wl.search_pipeline_versions("another")} == {"tagtestpipeline"} and "My Great Tag" in show(wl.search_pipelines("My Great Tag"))
    assert wl.search_models("no such tag") == [] and stranger.search_models("My Great Tag") == [] and stranger.search_pipelines("My Great Tag") == []

with step("members tag what is in their workspace, others neither see it nor tag it"):
    theirs = next(t for t in member.list_tags() if t.id() == tag.id())
    assert [m.id() for m in theirs.model_tags()] == [version.id()]
    theirs.remove_from_model(version.id())
    theirs.add_to_model(version.id())
    hidden = next(t for t in stranger.list_tags() if t.id() == tag.id())
    assert hidden.model_tags() == [] and hidden.pipeline_tags() == [] and hidden.list_model_versions() == [] and hidden.list_pipelines() == []
    for refused in (hidden.add_to_model, hidden.remove_from_model):
        with raises("does not exist", kind=TransportQueryError):
            refused(version.id())
    for refused in (hidden.add_to_pipeline, hidden.remove_from_pipeline):
        with raises("does not exist", kind=TransportQueryError):
            refused(pipeline.id())

with step("take a tag off"):
    assert tag.remove_from_model(version.id()) == {"model_id": version.id(), "tag_id": tag.id()}
    assert tag.remove_from_pipeline(pipeline.id()) == {"pipeline_pk_id": pipeline.id(), "tag_pk_id": tag.id()}
    assert listed().model_tags() == [] and listed().pipeline_tags() == [] and wl.search_models("My Great Tag") == []
    with raises("does not carry", kind=TransportQueryError):
        tag.remove_from_model(version.id())

with step("tags that are not allowed, or not there"):
    with raises("already", kind=TransportQueryError):
        wl.create_tag("My Great Tag")
    for text in ("", " ", "x" * 257, "line\nbreak"):
        with raises("tag", "printable", kind=TransportQueryError):
            wl.create_tag(text)
    with raises("does not exist", kind=TransportQueryError):
        tag.add_to_model(987654)
    with raises("does not exist", kind=TransportQueryError):
        tag.add_to_pipeline(987654)

with step("create a connection; its details are hidden in every display"):
    made = wl.create_connection("sales", "POSTGRES", details)
    assert made.name() == "sales" and made.connection_type() == "POSTGRES" and made.workspace_names() == [] and "T" in made.created_at()
    assert made.details() == details
    for shown in (made, wl.list_connections(), wl.get_connection("sales")):
        html = shown._repr_html_()
        assert "*****" in html and "sales" in html and "horse" not in html, html
    with raises("already exists"):
        wl.create_connection("sales", "KAFKA", {})

with step("lists carry no details on the wire"):
    answer = httpx.post(f"{API}/v1/api/connections/list", headers=wl.auth.auth_header(), json={})
    assert answer.status_code == 200 and "horse" not in answer.text and "details" not in answer.text

with step("get a connection by name and by id"):
    found = wl.get_connection("sales")
    assert found.id() == made.id() and found.details() == details
    assert type(made)(wl, {"id": made.id()}).name() == "sales"
    assert [c.name() for c in wl.list_connections()] == ["sales"]
    assert wl.list_connections()[0].details() == details, "read when it is asked for"

with step("share it through a workspace"):
    assert workspace.list_connections() == [] and workspace.list_connections()._repr_html_() == "(no connections)"
    for hidden_from in (member, stranger):
        assert hidden_from.list_connections() == []
        with raises("Failed to get connection"):
            hidden_from.get_connection("sales")
    workspace.add_connection("sales")
    workspace.add_connection("sales")
    assert [c.name() for c in workspace.list_connections()] == ["sales"]
    assert wl.get_connection("sales").workspace_names() == ["tags-and-connections"]
    assert member.get_connection("sales").details() == details
    assert [c.name() for c in member.list_connections()] == ["sales"]
    with raises("Failed to get connection"):
        stranger.get_connection("sales")
    with raises("Failed to fetch connection"):
        type(made)(stranger, {"id": made.id()}).details()
    with raises("workspace", "does not exist"):
        type(made).list_connections(stranger, workspace.id())

with step("who may not, adds it nowhere"):
    with raises("Failed to add connection"):
        type(made)(stranger, {"id": made.id(), "name": "sales"}).add_connection_to_workspace(stranger.get_current_workspace().id())
    with raises("Failed to add connection"):
        made.add_connection_to_workspace(987654)
    assert [w for w in wl.get_connection("sales").workspace_names()] == ["tags-and-connections"]

with step("a connection in use is not deleted, and says why on the wire"):
    made.delete_connection()  # the client shows no refusal of this call
    assert wl.get_connection("sales").details() == details
    answer = httpx.post(f"{API}/v1/api/connections/delete", headers=wl.auth.auth_header(), json={"name": "sales"})
    assert answer.status_code == 400 and "tags-and-connections" in answer.json()["msg"], answer.text

with step("take it out of the workspace and delete it"):
    workspace.remove_connection("sales")
    assert workspace.list_connections() == [] and member.list_connections() == []
    made.delete_connection()
    assert wl.list_connections() == []
    with raises("Failed to get connection"):
        wl.get_connection("sales")
    with raises("Failed to create connection"):
        wl.create_connection("", "X", {})

step.finish()
