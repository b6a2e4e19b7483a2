"""What is wrong between objects must be found, at the right field, for the right reason, and nothing else with it."""

from __future__ import annotations

import copy

import pytest

from wheeltapper_api.checks import check
from wheeltapper_api.conditions import (
    AMBIGUOUS,
    INPUT_NOT_AVAILABLE,
    INVALID,
    LIMIT_EXCEEDED,
    REFERENCE_NOT_FOUND,
    UNIT_NOT_CONVERTIBLE,
)
from wheeltapper_api.kinds import KINDS, AssetTwin
from wheeltapper_api.resolve import Resolver

CONTRACT = {"interval": "1s", "staleAfter": "10s"}


def base():
    """A tenant with one class in the library, one plant, one model and two twins; nothing is wrong with it."""
    speed = {"kind": "gauge", "quantity": "rotational-speed", "unit": "/min", "contract": CONTRACT}
    mode = {"name": "running", "bands": {"of": "speed-level", "edges": [1, 2]}}
    return {
        "policy": thing(
            "TenantPolicy", "acme", None, alerting={"routes": [{"to": "all", "match": {"plants": ["site"]}}]}
        ),
        "plant": thing(
            "Plant",
            "site",
            "acme",
            title="Site",
            hosting="cloud",
            connections=[
                {"name": "opc", "opcua": {"endpoint": "opc.tcp://a:4840"}},
                {"name": "bus", "modbus": {"host": "plc"}},
            ],
            addressing=[{"class": "pump", "from": "opc", "signals": [{"name": "speed", "node": "ns=2;s={tag}.N"}]}],
        ),
        "class": thing(
            "AssetClass",
            "pump",
            "wheeltapper-library",
            title="Pump",
            version="1.0.0",
            signals=[
                {"name": "speed", "required": True, **speed},
                {"name": "inlet", "kind": "gauge", "quantity": "temperature", "unit": "Cel", "contract": CONTRACT},
                {"name": "outlet", "kind": "gauge", "quantity": "temperature", "unit": "K", "contract": CONTRACT},
                {"name": "product", "kind": "context", "contract": CONTRACT},
            ],
            modes=[{"name": "still", "when": [{"feature": "speed-level", "below": 10}]}, mode],
            pipeline={
                "every": "10s",
                "lateness": "1s",
                "features": [
                    {"name": "speed-level", "of": "speed", "function": "mean", "window": "10s"},
                    {"name": "rise", "of": "inlet", "minus": "outlet", "function": "mean", "window": "10s"},
                ],
            },
        ),
        "model": thing(
            "FailureModel",
            "hot",
            "wheeltapper-library",
            **{"class": "pump"},
            version="1.0.0",
            failureMode={"title": "Hot", "description": "Too hot", "progression": "1d"},
            inputs=[{"feature": "rise", "needs": {"quantity": "temperature"}}],
            modes=["running"],
            detector={"fixedLimit": {"limits": [{"feature": "rise", "normal": 1, "limit": 2}]}},
            severity=[{"name": "watch", "above": 1, "for": "1m"}, {"name": "act", "above": 2, "for": "1m"}],
            clear={"below": 0.5, "for": "1m"},
            action={"recommend": "Cool it", "when": "now"},
        ),
        "twin": thing("AssetTwin", "a", "acme", **{"class": "pump"}, plant="site", tag="A"),
        "other": thing("AssetTwin", "b", None, **{"class": "pump"}, plant="site", tag="B"),
    }


def thing(kind, name, namespace, **spec):
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "wheeltapper.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def put(document, path, value):
    at = document
    for step in path[:-1]:
        at = at.setdefault(step, {}) if isinstance(at, dict) else at[step]
    if value is None:
        del at[path[-1]]
    elif isinstance(at, list) and path[-1] == len(at):
        at.append(value)
    else:
        at[path[-1]] = value


def findings(documents):
    return check([KINDS[document["kind"]].model_validate(document) for document in documents])


def test_nothing_is_wrong_with_the_base():
    assert findings(base().values()) == ()


FEATURE = ("spec", "pipeline", "features", 1)
SIGNAL = ("spec", "signals", 0)
WRONG = [
    ("twin", ("spec", "class"), "pmup", REFERENCE_NOT_FOUND, None, "Did you mean pump?"),
    ("twin", ("spec", "plant"), "sit", REFERENCE_NOT_FOUND, None, "Did you mean site?"),
    ("twin", ("spec", "tag"), None, REFERENCE_NOT_FOUND, ("spec",), "Give the twin its tag"),
    ("twin", ("spec", "signals"), [{"name": "sped"}], REFERENCE_NOT_FOUND, (*SIGNAL, "name"), "speed"),
    (
        "twin",
        ("spec", "signals"),
        [{"name": "inlet", "from": "opcc", "node": "s=n"}],
        REFERENCE_NOT_FOUND,
        (*SIGNAL, "from"),
        "opc",
    ),
    (
        "twin",
        ("spec", "signals"),
        [{"name": "inlet", "from": "bus", "node": "s=n"}],
        INVALID,
        (*SIGNAL, "node"),
        "register",
    ),
    ("twin", ("spec", "signals"), [{"name": "inlet", "unit": "bar"}], UNIT_NOT_CONVERTIBLE, (*SIGNAL, "unit"), "Cel"),
    (
        "twin",
        ("spec", "signals"),
        [{"name": "inlet", "unit": "°C"}],
        UNIT_NOT_CONVERTIBLE,
        (*SIGNAL, "unit"),
        "Write Cel",
    ),
    (
        "twin",
        ("spec", "signals"),
        [{"name": "product", "unit": "1"}],
        UNIT_NOT_CONVERTIBLE,
        (*SIGNAL, "unit"),
        "Remove",
    ),
    (
        "twin",
        ("spec", "signals"),
        [{"name": "speed", "contract": {"interval": "1m"}}],
        INVALID,
        (*SIGNAL, "contract", "staleAfter"),
        "1m",
    ),
    ("twin", ("spec", "tag"), "B", AMBIGUOUS, ("spec", "tag"), "two"),
    ("twin", ("spec", "from"), "opcc", REFERENCE_NOT_FOUND, None, "Did you mean opc?"),
    ("twin", ("spec", "from"), "bus", REFERENCE_NOT_FOUND, None, "opc"),
    ("twin", ("spec", "relations"), [{"feeds": "c"}], REFERENCE_NOT_FOUND, ("spec", "relations", 0, "feeds"), "a, b"),
    ("twin", ("spec", "relations"), [{"drives": "a"}], INVALID, ("spec", "relations", 0, "drives"), "other machine"),
    (
        "twin",
        ("spec", "failureModels"),
        [{"name": "hott"}],
        REFERENCE_NOT_FOUND,
        ("spec", "failureModels", 0, "name"),
        "Did you mean hot?",
    ),
    (
        "twin",
        ("spec", "failureModels"),
        [{"name": "hot", "clear": {"below": 1.5, "for": "1m"}}],
        INVALID,
        ("spec", "failureModels", 0, "clear", "below"),
        "1 or less",
    ),
    (
        "twin",
        ("spec", "maintenance"),
        [{"start": "2026-01-02T00:00:00Z", "end": "2026-01-01T00:00:00Z"}],
        INVALID,
        ("spec", "maintenance", 0, "end"),
        "later",
    ),
    ("twin", ("metadata", "namespace"), "acmee", REFERENCE_NOT_FOUND, None, "Did you mean acme?"),
    ("class", (*SIGNAL, "unit"), "rpm", UNIT_NOT_CONVERTIBLE, None, "Write /min"),
    ("class", (*SIGNAL, "unit"), "bar", UNIT_NOT_CONVERTIBLE, None, "/min"),
    (
        "class",
        (*SIGNAL, "contract"),
        {"interval": "0s", "staleAfter": "1s"},
        INVALID,
        (*SIGNAL, "contract", "interval"),
        "",
    ),
    ("class", (*FEATURE, "of"), "inlett", REFERENCE_NOT_FOUND, None, "Did you mean inlet?"),
    ("class", (*FEATURE, "minus"), "product", INVALID, None, "kind of inlet"),
    ("class", (*FEATURE, "minus"), "speed", UNIT_NOT_CONVERTIBLE, None, "Cel"),
    ("class", (*FEATURE, "window"), "5s", INVALID, None, "10s"),
    ("class", ("spec", "pipeline", "every"), "0s", INVALID, None, "10s"),
    ("class", ("spec", "modes", 0, "when", 0, "feature"), "speed", REFERENCE_NOT_FOUND, None, "speed-level"),
    ("class", ("spec", "modes", 0, "when", 0), {"since": "x", "within": "1m"}, REFERENCE_NOT_FOUND, None, "running"),
    ("class", ("spec", "modes", 0, "when"), [], INVALID, ("spec", "modes", 0), "end"),
    ("class", ("spec", "modes", 1, "bands", "of"), "x", REFERENCE_NOT_FOUND, None, "speed-level"),
    ("class", ("spec", "modes", 1, "bands", "edges"), [2, 1], INVALID, None, "[1, 2]"),
    ("model", ("spec", "inputs", 0, "needs", "quantity"), "flow", INPUT_NOT_AVAILABLE, None, "another signal"),
    ("model", ("spec", "inputs", 0, "needs", "position"), "winding", INPUT_NOT_AVAILABLE, None, "another signal"),
    ("model", ("spec", "modes", 0), "runing", REFERENCE_NOT_FOUND, None, "running"),
    ("model", ("spec", "severity", 1, "above"), 0.9, INVALID, None, "more than 1"),
    ("model", ("spec", "inputs", 1), {"feature": "speed-level"}, INVALID, None, "limit"),
    ("plant", ("spec", "timeZone"), "Europe/Amsterdamm", REFERENCE_NOT_FOUND, None, "Europe/Amsterdam"),
    (
        "plant",
        ("spec", "addressing", 1),
        {"class": "pmup", "from": "opc", "signals": [{"name": "speed", "node": "s={tag}"}]},
        REFERENCE_NOT_FOUND,
        ("spec", "addressing", 1, "class"),
        "Did you mean pump?",
    ),
    (
        "plant",
        ("spec", "addressing", 1),
        {"class": "pump", "from": "opcc", "signals": [{"name": "speed", "node": "s={tag}"}]},
        REFERENCE_NOT_FOUND,
        ("spec", "addressing", 1, "from"),
        "Did you mean opc?",
    ),
    (
        "plant",
        ("spec", "addressing", 0, "signals", 1),
        {"name": "inlet", "node": "s=n"},
        INVALID,
        ("spec", "addressing", 0, "signals", 1, "node"),
        "shared: true",
    ),
    (
        "plant",
        ("spec", "addressing", 0, "signals", 1),
        {"name": "inlet", "register": "{tag}"},
        INVALID,
        ("spec", "addressing", 0, "signals", 1, "register"),
        "node",
    ),
    ("policy", ("spec", "limits"), {"twins": 1}, LIMIT_EXCEEDED, ("spec", "limits", "twins"), "Raise"),
    ("policy", ("spec", "limits"), {"signals": 1}, LIMIT_EXCEEDED, ("spec", "limits", "signals"), "Raise"),
    ("policy", ("spec", "limits"), {"samplesPerSecond": 1}, LIMIT_EXCEEDED, ("spec", "limits", "samplesPerSecond"), ""),
    ("policy", ("spec", "library"), {"failureModels": ["hott"]}, REFERENCE_NOT_FOUND, None, "Did you mean hot?"),
    ("policy", ("metadata", "namespace"), "acme", INVALID, None, "Remove"),
]


@pytest.mark.parametrize(("who", "path", "value", "reason", "where", "remedy"), WRONG)
def test_one_thing_wrong_is_one_finding(who, path, value, reason, where, remedy):
    documents = base()
    put(documents[who], path, value)
    (finding,) = findings(documents.values())
    # Of two twins with one tag the second is the one that comes too late.
    expected = "b" if reason == AMBIGUOUS else documents[who]["metadata"]["name"]
    assert finding.resource.name == expected
    assert finding.reason == reason
    if where is not None:
        assert finding.path == where
    else:
        assert finding.path[: len(path)] == path or path[: len(finding.path)] == finding.path
    assert remedy in finding.remedy
    assert finding.message[0].isupper() or finding.message[0] in "'/abcdefghijklmnopqrstuvwxyz"


def test_a_loop_of_parts_is_found():
    documents = base()
    put(documents["twin"], ("spec", "relations"), [{"partOf": "b"}])
    assert findings(documents.values()) == ()
    put(documents["other"], ("spec", "relations"), [{"partOf": "a"}])
    assert [finding.reason for finding in findings(documents.values())] == [INVALID, INVALID]


def test_goods_may_go_round():
    documents = base()
    put(documents["twin"], ("spec", "relations"), [{"feeds": "b"}])
    put(documents["other"], ("spec", "relations"), [{"feeds": "a"}])
    assert findings(documents.values()) == ()


def test_an_alias_belongs_to_one_machine_of_a_plant():
    documents = base()
    for who in ("twin", "other"):
        put(documents[who], ("spec", "aliases"), [{"system": "cmms", "id": "P-1"}])
    (finding,) = findings(documents.values())
    assert (finding.reason, finding.path) == (AMBIGUOUS, ("spec", "aliases", 0, "id"))


def test_an_object_without_namespace_belongs_to_the_only_tenant():
    documents = base()
    for who in ("plant", "twin"):
        put(documents[who], ("metadata", "namespace"), None)
    assert findings(documents.values()) == ()
    second = thing("TenantPolicy", "other-tenant", None)
    found = findings([*documents.values(), second])
    assert [f.path for f in found if f.resource.kind == "AssetTwin" and f.path[0] == "metadata"] == [("metadata",)] * 2


def test_the_tenants_own_class_hides_the_librarys():
    documents = base()
    own = copy.deepcopy(documents["class"])
    own["metadata"]["namespace"] = "acme"
    put(own, (*FEATURE, "name"), "climb")
    found = findings([*documents.values(), own])
    # The library's model was written for the library's class, and asks for a feature that this one calls otherwise.
    assert {(f.resource.name, f.reason, f.path) for f in found} == {
        (name, INPUT_NOT_AVAILABLE, ("spec", "class")) for name in ("a", "b")
    }


def test_a_second_object_of_one_name_is_found():
    documents = base()
    (finding,) = findings([*documents.values(), documents["model"]])
    assert (finding.reason, finding.path) == (AMBIGUOUS, ("metadata", "name"))


def test_the_order_of_objects_changes_nothing():
    documents = list(base().values())
    assert findings(reversed(documents)) == ()


def chained(documents, count, last):
    """Twins each part of the next, the last one of another."""
    twins = [thing("AssetTwin", f"t-{n}", "acme", **{"class": "pump"}, plant="site", tag=f"T{n}") for n in range(count)]
    for number, twin in enumerate(twins):
        target = f"t-{number + 1}" if number < count - 1 else last
        twin["spec"]["relations"] = [{"partOf": target}]
    documents["policy"]["spec"]["limits"] = {"twins": 10**5, "signals": 10**6, "samplesPerSecond": 10**6}
    return [*documents.values(), *twins]


def test_a_loop_of_three_names_the_whole_way():
    found = findings(chained(base(), 3, "t-0"))
    assert [finding.message for finding in found] == [
        "partOf leads from t-0 by t-1, t-2 back to t-0",
        "partOf leads from t-1 by t-2, t-0 back to t-1",
        "partOf leads from t-2 by t-0, t-1 back to t-2",
    ]


def test_what_hangs_on_a_loop_is_not_in_it():
    documents = base()
    put(documents["twin"], ("spec", "relations"), [{"drives": "b"}])
    put(documents["other"], ("spec", "relations"), [{"partOf": "t-0"}])
    found = findings(chained(documents, 2, "t-0"))
    assert [finding.resource.name for finding in found] == ["t-0", "t-1"]


def test_a_long_chain_is_no_loop_and_is_searched_by_nobody():
    # A search from every twin along a chain of this length would outlast the time that a test has.
    assert findings(chained(base(), 20_000, "a")) == ()


HALL = {"class": "pump", "from": "hall-2", "signals": [{"name": "speed", "topic": "{tag}/speed"}]}


def two_halls():
    documents = base()
    put(documents["plant"], ("spec", "connections", 2), {"name": "hall-2", "mqtt": {"url": "mqtt://b"}})
    put(documents["plant"], ("spec", "addressing", 1), HALL)
    return documents


def test_a_twin_is_read_where_it_stands():
    documents = two_halls()
    put(documents["other"], ("spec", "from"), "hall-2")
    assert findings(documents.values()) == ()
    resolver = Resolver(KINDS[document["kind"]].model_validate(document) for document in documents.values())
    addresses = {
        twin.name: [(b.connection, b.address) for b in resolver.bindings(twin)] for twin in resolver.of_kind(AssetTwin)
    }
    assert addresses == {"a": [("opc", "ns=2;s=A.N")], "b": [("hall-2", "B/speed")]}


def test_one_tag_may_name_a_machine_in_each_hall_and_only_one():
    documents = two_halls()
    put(documents["other"], ("spec", "tag"), "A")
    put(documents["other"], ("spec", "from"), "hall-2")
    assert findings(documents.values()) == ()
    put(documents["other"], ("spec", "from"), "opc")  # where the first one is read, too, without saying so
    (finding,) = findings(documents.values())
    assert (finding.reason, finding.path) == (AMBIGUOUS, ("spec", "tag"))
