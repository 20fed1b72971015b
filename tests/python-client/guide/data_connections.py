"""Section 2 of the guide: data connections."""

from guide import because, client, example, prints, raises, same, workspace

wl = client()
current = workspace(wl, "guide-connections")
houses = {"host": "https://example.com/houseprice-saga/data/xtest-1k.arrow?raw=true"}
shown = "Name: text, Connection Type: text, Details: text, Created At: time"

with example("create a connection"):
    created = wl.create_connection("houseprice_arrow_table", "HTTPFILE", houses)
    prints(created, shown, linked_workspaces="Linked Workspaces")
    assert "*****" in created._repr_html_() and "example.com" not in created._repr_html_()
    with raises("already exists"):
        wl.create_connection("houseprice_arrow_table", "HTTPFILE", houses)

with example("get a connection by name"):
    wl.create_connection("external_inference_connection", "HTTPFILE", houses)
    inference_source_connection = wl.get_connection(name="external_inference_connection")
    prints(inference_source_connection, shown, linked_workspaces="Linked Workspaces")

with example("list connections"):
    prints(wl.list_connections(), "name: text, connection type: text, details: text, created at: time", linked_workspaces="linked workspaces")

with example("add a connection to a workspace"):
    same(current.add_connection("houseprice_arrow_table"), None)
    same([c.name() for c in current.list_connections()], ["houseprice_arrow_table"])

with example("the details of a connection"):
    connection = wl.get_connection("houseprice_arrow_table")
    same(connection.details(), houses)

with example("remove a connection from a workspace"):
    current.remove_connection("houseprice_arrow_table")
    same(current.list_connections(), [])
    assert "houseprice_arrow_table" in [c.name() for c in wl.list_connections()]

with example("delete a connection"):
    current.add_connection("houseprice_arrow_table")
    connection.delete_connection()
    assert "houseprice_arrow_table" in [c.name() for c in wl.list_connections()]
    because("refused-without-a-word")
    current.remove_connection("houseprice_arrow_table")
    connection.delete_connection()
    assert "houseprice_arrow_table" not in [c.name() for c in wl.list_connections()]

example.finish()
