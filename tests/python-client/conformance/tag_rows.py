"""Tags and connections, and which workspaces share them."""

from wallaroo.connection import Connection
from wallaroo.tag import Tag

from harness import row, show

DETAILS = {"host": "db.example.com", "port": 5432, "password": "correct horse", "options": {"ssl": True}}


@row("client: tags")
def tags(w):
    w.tag, w.later = w.wl.create_tag("conformance tag"), w.wl.create_tag("a later tag")
    assert w.tag.tag() == "conformance tag" and isinstance(w.tag.id(), int)
    assert [t.id() for t in w.wl.list_tags()][:2] == [w.later.id(), w.tag.id()], "newest first"
    assert "conformance tag" in show(w.wl.list_tags()) and "conformance tag" in show(w.tag)


@row("tag: on and off")
def tag_on_and_off(w):
    on_model = {"model_id": w.first.id(), "tag_id": w.tag.id()}
    on_pipeline = {"pipeline_pk_id": w.pipeline.id(), "tag_pk_id": w.tag.id()}
    assert w.tag.add_to_model(w.first.id()) == on_model == w.tag.remove_from_model(w.first.id()) == w.tag.add_to_model(w.first.id())
    assert w.tag.add_to_pipeline(w.pipeline.id()) == on_pipeline == w.tag.remove_from_pipeline(w.pipeline.id()) == w.tag.add_to_pipeline(w.pipeline.id())
    assert [t.tag() for t in w.wl.get_pipeline("conf-pipeline").tags()] == ["conformance tag"] == [t.tag() for t in w.wl.model_version_by_name("conf-model", w.first.version()).tags()]
    assert [m.id() for m in w.wl.search_models("conformance TAG")] == [w.first.id()]
    assert {v.pipeline().id() for v in w.wl.search_pipelines("conformance tag")} == {w.pipeline.id()}


@row("tag: read by id, what it is on")
def read_tag(w):
    read = Tag(w.wl, {"id": w.tag.id()})
    assert read.tag() == "conformance tag" and [m.id() for m in read.model_tags()] == [w.first.id()] and [p.id() for p in read.pipeline_tags()] == [w.pipeline.id()]
    (version,), (pipeline,) = read.list_model_versions(), read.list_pipelines()
    assert (version.name(), version.sha(), version.file_name()) == ("conf-model", w.first.sha(), "first.onnx")
    assert (pipeline.name(), pipeline.owner_id()) == ("conf-pipeline", w.wl.auth.user_id())
    assert show(read) and Tag(w.wl, {"id": w.later.id()}).list_model_versions() == [] == Tag(w.stranger, {"id": w.tag.id()}).list_pipelines()


@row("client: connections")
def connections(w):
    w.connection = w.wl.create_connection("conf-connection", "POSTGRES", DETAILS)
    assert w.connection.name() == "conf-connection" and w.connection.details() == DETAILS
    got = w.wl.get_connection("conf-connection")
    assert (got.id(), got.connection_type(), got.details(), got.workspace_names()) == (w.connection.id(), "POSTGRES", DETAILS, [])
    assert w.connection.id() in [c.id() for c in w.wl.list_connections()]
    for shown in (show(got), show(w.wl.list_connections())):
        assert "conf-connection" in shown and "horse" not in shown
    assert w.member.list_connections() == []


@row("workspace: connections")
def workspace_connections(w):
    assert w.workspace.list_connections() == []
    w.workspace.add_connection("conf-connection")
    assert [c.name() for c in w.workspace.list_connections()] == ["conf-connection"] == [c.name() for c in w.member.list_connections()]
    assert w.member.get_connection("conf-connection").details() == DETAILS and w.stranger.list_connections() == []
    w.workspace.remove_connection("conf-connection")
    assert w.workspace.list_connections() == [] == w.member.list_connections()


@row("connection: read by id, delete, workspaces")
def read_connection(w):
    read = Connection(w.wl, {"id": w.connection.id()})
    assert (read.name(), read.connection_type(), read.details()) == ("conf-connection", "POSTGRES", DETAILS) and "T" in read.created_at()
    read.add_connection_to_workspace(w.workspace.id())
    assert Connection(w.wl, {"id": w.connection.id()}).workspace_names() == ["conformance"]
    read.remove_connection_from_workspace(w.workspace.id())
    assert Connection(w.wl, {"id": w.connection.id()}).workspace_names() == []
    read.delete_connection()
    assert "conf-connection" not in [c.name() for c in w.wl.list_connections()]
