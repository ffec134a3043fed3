"""Resource options that follow from the settings: which resources outlive the stack, and the tags of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pulumi

from infra.settings import Settings

# What a leak would show: what people said; who consented and talked to whom; only how the stack runs.
Classification = Literal["communications", "consent", "operations"]


def component(
    settings: Settings,
    classification: Classification,
    opts: pulumi.ResourceOptions | None = None,
    *,
    guarded: bool = True,
) -> pulumi.ResourceOptions:
    """Return the options of a component whose AWS resources all carry the stack's tags.

    A `guarded` one, with everything in it, cannot be destroyed where the stack retains its data: the engine deletes
    all that is not protected before it stops at what is, and a gate that is gone while sessions are open lets every
    interaction through (Twilio connects without an answer).
    """
    tags = {
        **settings.tags,
        "project": settings.project,
        "environment": settings.environment,
        "data-classification": classification,
    }

    def tag(args: pulumi.ResourceTransformationArgs) -> pulumi.ResourceTransformationResult | None:
        # Every taggable class of pulumi_aws passes `tags`, set or not; sub-resources have no such property. An object
        # takes no more than ten, and is known by its bucket.
        if not args.type_.startswith("aws:") or "tags" not in args.props or args.type_.endswith(":BucketObjectv2"):
            return None
        return pulumi.ResourceTransformationResult({**args.props, "tags": tags}, args.opts)

    return pulumi.ResourceOptions.merge(
        opts, pulumi.ResourceOptions(transformations=[tag], protect=guarded and settings.protection.retain)
    )


def kept(
    settings: Settings,
    parent: pulumi.Resource,
    *,
    depends_on: Sequence[pulumi.Resource] = (),
    ignore_changes: Sequence[str] = (),
) -> pulumi.ResourceOptions:
    """Return the options of a resource that holds records or guards them: it is not lost with the stack.

    The parts of a bucket are kept like the bucket, else a stack that is taken down would leave the records behind
    without their rules.
    """
    retain = settings.protection.retain
    return pulumi.ResourceOptions(
        parent=parent,
        protect=retain,
        retain_on_delete=retain,
        depends_on=list(depends_on),
        ignore_changes=list(ignore_changes) or None,
    )
