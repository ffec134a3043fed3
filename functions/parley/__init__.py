"""Parley as it runs inside AWS Lambda: the pure core, the adapters and the handlers."""
