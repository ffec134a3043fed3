"""The entry points, one file each: verify, parse, ask the core, answer."""
