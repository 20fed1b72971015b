"""Section 8 of the guide: tags."""

from wallaroo.framework import Framework

from guide import cells, client, example, prints, same, workspace
import stock

wl = client()
workspace(wl, "guide-tags")
tagtest_model = wl.upload_model("tagtestmodel", stock.ccfraud(), framework=Framework.ONNX)
tagtest_pipeline = wl.build_pipeline("tagtestpipeline")
listed = "id: int, tag: text, models: text, pipelines: text"

with example("create a tag"):
    currentTag = wl.create_tag("My Great Tag")
    prints(currentTag, "id: int, tag: text, models: [], pipelines: []")

with example("list tags"):
    currentTag.add_to_model(tagtest_model.id())
    prints(wl.list_tags(), listed)
    same(cells(wl.list_tags())[1], [str(currentTag.id()), "My Great Tag", f"[('tagtestmodel', ['{tagtest_model.version()}'])]", "[]"])
    currentTag.remove_from_model(tagtest_model.id())

with example("add a tag to a pipeline"):
    same(currentTag.add_to_pipeline(tagtest_pipeline.id()), {"pipeline_pk_id": tagtest_pipeline.id(), "tag_pk_id": currentTag.id()})

with example("search pipelines by tag"):
    found = wl.search_pipelines("My Great Tag")
    columns = "name: text, version: uuid, creation_time: day-month, last_updated_time: day-month, deployed: text, tags: text, steps: none"
    prints(found, columns, workspace_columns=["workspace_id", "workspace_name"])
    same([cells(found)[1][i] for i in (0, 4, 7)], ["tagtestpipeline", "(unknown)", "My Great Tag"])

with example("remove a tag from a pipeline"):
    same(currentTag.remove_from_pipeline(tagtest_pipeline.id()), {"pipeline_pk_id": tagtest_pipeline.id(), "tag_pk_id": currentTag.id()})
    same(wl.search_pipelines("My Great Tag"), [])

with example("add a tag to a model"):
    same(currentTag.add_to_model(tagtest_model.id()), {"model_id": tagtest_model.id(), "tag_id": currentTag.id()})

with example("search models by tag"):
    found = wl.search_models("My Great Tag")
    prints(found, "name: text, version: uuid, file_name: text, image_path: none, last_update_time: time", workspace_columns=["workspace_id", "workspace_name"], arch_columns=["arch", "accel"])
    same([cells(found)[1][i] for i in (0, 2)], ["tagtestmodel", "ccfraud.onnx"])

with example("remove a tag from a model"):
    same(currentTag.remove_from_model(tagtest_model.id()), {"model_id": tagtest_model.id(), "tag_id": currentTag.id()})
    same(wl.search_models("My Great Tag"), [])
    same(cells(wl.list_tags())[1][2:], ["[]", "[]"])

example.finish()
