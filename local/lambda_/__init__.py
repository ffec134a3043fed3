"""Lambda, its event sources and the HTTP API gateway of the one-machine cloud, without containers.

A function is the very zip that was deployed, run by AWS's own runtime client (`awslambdaric`) in a process of its own.
"""
