"""Compiling again takes over what did not change: the result must be that of compiling from nothing, to the byte."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from wheeltapper_api.kinds import AssetClass, AssetTwin, FailureModel, Plant, TenantPolicy
from wheeltapper_api.load import load
from wheeltapper_operator.compile import Compiler, compile_plan

STATION = Path(__file__).parents[2] / "examples" / "pump-station"


def changed(resource, **fields):
    return resource.model_copy(update={"spec": resource.spec.model_copy(update=fields)})


def edits(random):
    """One edit of each sort that people make, as functions of the list of resources."""

    def swap(kind, **fields):
        def edit(resources):
            at = random.choice([i for i, resource in enumerate(resources) if isinstance(resource, kind)])
            resources[at] = changed(resources[at], **fields)

        return edit

    def drop(kind):
        def edit(resources):
            found = [i for i, resource in enumerate(resources) if isinstance(resource, kind)]
            if len(found) > 1:
                del resources[random.choice(found)]

        return edit

    def copy(resources):
        twin = next(resource for resource in resources if isinstance(resource, AssetTwin))
        name = f"p-{random.randrange(10**6)}"
        metadata = twin.metadata.model_copy(update={"name": name})
        resources.append(changed(twin, tag=name.upper()).model_copy(update={"metadata": metadata}))

    return [
        swap(AssetTwin, criticality="C"),
        swap(AssetTwin, tag="P999"),
        swap(AssetTwin, plant="nowhere"),
        swap(AssetTwin, plant="riverside"),
        swap(AssetTwin, asset_class="no-class"),
        swap(AssetTwin, asset_class="centrifugal-pump"),
        swap(AssetClass, title="Another title"),
        swap(FailureModel, min_coverage=77),
        swap(Plant, time_zone="Asia/Tokyo"),
        swap(TenantPolicy, title="Another tenant"),
        drop(AssetTwin),
        drop(FailureModel),
        copy,
        random.shuffle,
        lambda _: None,
    ]


@pytest.mark.parametrize("seed", range(8))
def test_any_row_of_edits_gives_the_plan_of_a_fresh_start(seed):
    chance = random.Random(seed)
    resources = list(load([STATION]).resources)
    compiler = Compiler()
    for _ in range(25):
        chance.choice(edits(chance))(resources)
        assert compiler.compile(resources).to_json() == compile_plan(resources).to_json()


def test_what_did_not_change_is_not_made_again():
    resources = list(load([STATION]).resources)
    compiler = Compiler()
    before = {asset.name: asset for asset in lines(compiler.compile(resources))[0].assets}
    at = next(i for i, resource in enumerate(resources) if resource.name == "p-102")
    resources[at] = changed(resources[at], criticality="C")
    after = {asset.name: asset for asset in lines(compiler.compile(resources))[0].assets}
    assert [name for name in before if after[name] is not before[name]] == ["p-102"]


def lines(plan):
    return [line for config in plan.tenants[0].configs for line in config.lines]
