"""Section 3 of the guide: workspaces."""

from wallaroo.framework import Framework

from guide import cells, client, example, prints, same, shape
import stock

wl = client()
wl.invite_user("john@ex.co", "a-good-password")
listed = "Name: text, Created At: second, Users: text, Models: int, Pipelines: int"
empty = "name: text, id: int, archived: bool, created_by: uuid, created_at: time, models: [], pipelines: []"
filled = (
    "name: text, id: int, archived: bool, created_by: uuid, created_at: time,"
    " models[].name: text, models[].version: uuid, models[].file_name: text, models[].last_update_time: time,"
    " pipelines[].name: text, pipelines[].create_time: time, pipelines[].definition: text"
)


def users_of(name):
    """The users in the printed row of the newest workspace of that name."""
    return next(row[2] for row in reversed(cells(wl.list_workspaces())) if row[0] == name)


with example("create a workspace"):
    new_workspace = wl.create_workspace("imdb-workspace")
    prints(new_workspace, empty)
    assert wl.create_workspace("imdb-workspace").id() != new_workspace.id(), "names are not unique"

with example("list workspaces"):
    for name in ("aloha-workspace", "ccfraud-workspace", "demandcurve-workspace"):
        wl.create_workspace(name)
    prints(wl.list_workspaces(), listed)
    same(users_of("imdb-workspace"), "['admin@example.com']")

with example("set the current workspace from a new one"):
    new_workspace = wl.create_workspace("imdb-workspace")
    prints(wl.set_current_workspace(new_workspace), empty)

with example("get the current workspace"):
    for name, file in (("embedder-o", "embedder.onnx"), ("smodel-o", "sentiment_model.onnx")):
        wl.upload_model(name, stock.layer(file, "tensor", 5, "out", seed=len(file)), framework=Framework.ONNX)
    wl.build_pipeline("imdb-pipeline")
    models = ["version", "file_name"], ["versions", "owner_id", "created_at"]
    prints(wl.get_current_workspace(), filled, workspace_models=[f"models[].{name}" for names in models for name in names])
    same(len(wl.get_current_workspace().models()), 2)

with example("set the current workspace from an existing one"):
    prints(wl.list_workspaces(), listed)
    third = wl.list_workspaces()[2]
    prints(wl.set_current_workspace(wl.list_workspaces()[2]), {**shape(third)})
    same(wl.get_current_workspace().id(), third.id())

with example("add a user to a workspace"):
    current_workspace = next(w for w in wl.list_workspaces() if w.id() == new_workspace.id())
    prints(current_workspace.add_user("john@ex.co"), filled, workspace_models=[f"models[].{name}" for names in models for name in names])
    same(users_of("imdb-workspace"), "['admin@example.com', 'john@ex.co']")

with example("remove a user from a workspace"):
    current_workspace.remove_user("john@ex.co")
    same(users_of("imdb-workspace"), "['admin@example.com']")

with example("add an owner to a workspace"):
    prints(current_workspace.add_owner("john@ex.co"), filled, workspace_models=[f"models[].{name}" for names in models for name in names])
    same(users_of("imdb-workspace"), "['admin@example.com']", "owners-are-members", "['admin@example.com', 'john@ex.co']")

example.finish()
