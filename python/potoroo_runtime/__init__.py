"""The Python side of a Potoroo engine: one process serves one model. `python -m potoroo_runtime --help` says how."""
