"""Twins share workers; an edit of one makes a new document for all, and must not make the others look unready."""

from __future__ import annotations

from tests.reconcile.objects import station
from wheeltapper_api.kinds import KINDS
from wheeltapper_operator.compile import compile_plan
from wheeltapper_operator.reconcile.generations import Generations


def configs(edit=lambda _: None):
    documents = station()
    for document in documents:
        edit(document)
    (tenant,) = compile_plan(KINDS[d["kind"]].model_validate(d) for d in documents).tenants
    return tenant.configs


def edited(document):
    if document["metadata"]["name"] == "p-102":
        document["spec"]["criticality"] = "C"


def running(generations, twin, told):
    return {w: generations.runs(twin, w, told[w]) for w in generations.workers_of[twin]}


def test_only_the_edited_twin_has_to_be_taken_up_again():
    old, new = configs(), configs(edited)
    told = {config.worker: config.generation for config in old}
    generations = Generations()
    generations.want(old)
    assert all(running(generations, "p-102", told).values())
    generations.want(new)
    assert not running(generations, "p-102", told)["northwater-riverside-analyse"]
    assert all(running(generations, "p-101", told).values())
    told = {config.worker: config.generation for config in new}
    assert all(running(generations, "p-102", told).values())


def test_a_change_of_the_class_concerns_all_its_twins():
    def every(document):
        if document["kind"] == "AssetClass":
            document["spec"]["pipeline"]["every"] = "10s"

    told = {config.worker: config.generation for config in configs()}
    generations = Generations()
    generations.want(configs())
    generations.want(configs(every))
    assert not running(generations, "p-101", told)["northwater-riverside-analyse"]
    assert running(generations, "p-101", told)["northwater-riverside-collect-scada"], "what is read is the same"


def test_a_document_that_nobody_knows_is_not_taken_for_the_right_one():
    generations = Generations()
    generations.want(configs())
    assert not any(generations.runs("p-101", w, "0123456789abcdef") for w in generations.workers_of["p-101"])
    assert not generations.runs("p-101", "another-worker", "")


def test_a_twin_has_the_workers_that_read_and_think_for_it():
    generations = Generations()
    generations.want(configs())
    assert sorted(generations.workers_of["p-101"]) == [
        "northwater-riverside-analyse",
        "northwater-riverside-collect-scada",
    ]
    assert "northwater-riverside-collect-hall-2" in generations.workers_of["p-201"]
