"""The Pulumi engine of the one-machine cloud: found, fetched or built, and driven for one home directory.

`find.ensure_engine` gives an engine, `workspace.Workspace` drives it, `host` runs Python programs for it where
the official language host cannot be had.
"""
