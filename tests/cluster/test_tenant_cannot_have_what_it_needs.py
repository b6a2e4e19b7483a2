"""No volume, no image: the policy's status says within a minute what a person has to do, and all goes on once it is."""

from __future__ import annotations

import time

from tests.cluster.operated import condition, is_ready
from wheeltapper_operator import names

TOLD_WITHIN_S = 60
OURS = f"--selector={names.MANAGED}"


def make_default(operated, whether):
    annotation = f"storageclass.kubernetes.io/is-default-class={whether}"
    operated.cluster.kubectl("annotate", "storageclass", "folders", annotation, "--overwrite")


def told(operated, tenant, reason, *words):
    """Wait until a policy's status and its twins' give a reason, with these words."""
    began = time.monotonic()

    def said():
        found = condition(operated.objects("tenantpolicies")[tenant], "Reconciling")
        return found.get("reason") == reason and all(word in found["message"] for word in words)

    operated.wait(said, TOLD_WITHIN_S, f"{reason} in the status", tenant)
    left = TOLD_WITHIN_S - (time.monotonic() - began)
    twins = operated.twins
    operated.wait(lambda: condition(twins(tenant)["p-101"], "Ready")["reason"] == reason, left, "the twin's", tenant)


def test_without_a_default_storage_class_the_remedy_is_told(operated):
    tenant = "unstored"
    make_default(operated, "false")
    try:
        operated.cluster.apply(operated.station(tenant)[0])
        operated.cluster.apply(*operated.station(tenant)[1:])
        told(operated, tenant, "VolumeUnbound", "workers.storageClass", "make one the default")
        make_default(operated, "true")
        operated.wait(lambda: operated.ready(tenant), 150, "ready twins", tenant)
    finally:
        make_default(operated, "true")
        operated.remove(tenant)


def test_an_image_that_cannot_be_pulled_is_named(outside):
    tenant, image = "unpulled", "registry.invalid/workers:9"
    operated = outside.operated
    try:
        with outside.running(WHEELTAPPER_WORKER_IMAGE=image, WHEELTAPPER_PULL_SECRETS="registry,mirror"):
            operated.cluster.apply(operated.station(tenant)[0])
            operated.cluster.apply(*operated.station(tenant)[1:])
            told(operated, tenant, "ImageUnavailable", image)
            pods = operated.objects("pods", f"--namespace={tenant}", OURS).values()
            assert pods
            for pod in pods:
                assert pod["spec"]["imagePullSecrets"] == [{"name": "registry"}, {"name": "mirror"}]
        with outside.running():
            operated.wait(lambda: operated.ready(tenant), 150, "ready twins", tenant)
            operated.wait(lambda: is_ready(operated.objects("tenantpolicies")[tenant]), 60, "the tenant", tenant)
    finally:
        with outside.running():
            operated.remove(tenant)
