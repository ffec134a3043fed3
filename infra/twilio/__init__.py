"""Twilio for Pulumi: the provider plugin `parley` (Proxy services and their number pools) and its typed resources.

`resources` is what a Pulumi program imports; the rest runs in the plugin's own process (`pulumi-resource-parley`).
"""
