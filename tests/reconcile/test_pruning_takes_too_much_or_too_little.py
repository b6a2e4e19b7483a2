"""A second round right after the first does nothing; what is no longer wanted goes, what holds data stays."""

from __future__ import annotations

from tests.reconcile.objects import station
from wheeltapper_api.kinds import KINDS
from wheeltapper_operator.compile import compile_plan
from wheeltapper_operator.objects import Key, key_of
from wheeltapper_operator.reconcile.binding import bound, symbols
from wheeltapper_operator.reconcile.changes import changes, digest
from wheeltapper_operator.settings import Settings

SETTINGS = Settings.read({"WHEELTAPPER_NAMESPACE": "system", "WHEELTAPPER_WORKER_IMAGE": "registry.example/workers:1"})


def desired(without=()):
    documents = [d for d in station() if d["metadata"]["name"] not in without]
    (tenant,) = compile_plan(KINDS[d["kind"]].model_validate(d) for d in documents).tenants
    return bound(tenant.manifests, symbols(SETTINGS))


def applied(objects):
    return {key_of(obj): digest(obj) for obj in objects}


def test_a_second_round_changes_nothing():
    objects = desired()
    first = changes(objects, {}, set(), ())
    assert len(first.apply) == len(objects)
    assert not first.delete
    again = changes(desired(), applied(first.apply), {key_of(obj) for obj in first.apply}, ())
    assert again.apply == again.delete == ()


def test_pods_come_after_what_they_need_and_go_before_it():
    order = [obj["kind"] for obj in changes(desired(), {}, set(), ()).apply]
    assert order.index("PersistentVolumeClaim") < order.index("Deployment")
    assert order[-1] == "Deployment"
    gone = [key.kind for key in changes([], {}, {key_of(obj) for obj in desired()}, ()).delete]
    assert gone[0] == "Deployment"


def test_what_somebody_has_deleted_is_made_again():
    objects = desired()
    lost = Key("PodDisruptionBudget", "northwater", "wheeltapper-workers")
    present = {key_of(obj) for obj in objects} - {lost}
    assert [key_of(obj) for obj in changes(objects, applied(objects), present, ()).apply] == [lost]


def test_a_worker_without_twins_goes_with_its_claim_and_the_tables_stay():
    objects, fewer = desired(), desired(without={"p-201", "p-202"})
    present = {key_of(obj) for obj in objects}
    tables = Key("PersistentVolumeClaim", "northwater", "tables")
    worker = "northwater-riverside-collect-hall-2"
    gone = changes(fewer, applied(objects), present, {tables}).delete
    assert gone == (
        Key("Deployment", "northwater", worker),
        Key("PersistentVolumeClaim", "northwater", f"state-{worker}"),
    )
    nothing = changes([], {}, present, {tables})
    assert tables not in nothing.delete


def test_a_namespace_and_what_people_put_there_are_never_pruned():
    people = {
        Key("Namespace", "", "northwater"),
        Key("AssetTwin", "northwater", "p-101"),
        Key("Pod", "northwater", "x"),
    }
    assert changes([], {}, people, ()).delete == ()


def test_no_symbol_is_left_and_what_is_bound_to_nothing_is_left_out():
    text = str(desired())
    assert "${" not in text
    assert "storageClassName" not in text, "the cluster's default counts"
    assert "registry.example/workers:1" in text
