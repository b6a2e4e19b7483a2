"""What a field means, where its model has no word on it.

Most fields are explained where they are declared. Those here are named well enough for a reader of the model, not for
someone who asks ``wheeltapper explain-field`` or hovers over a line in an editor. A field that gets a docstring must
leave this table; a test says so.
"""

from __future__ import annotations

from typing import Final

WORDS: Final[dict[str, dict[str, str]]] = {
    "Resource": {
        "apiVersion": "Group and version of the kind: wheeltapper.dev/v1alpha1.",
        "kind": "Name of the kind.",
        "metadata": "Name, namespace, labels and annotations.",
    },
    "ObjectMeta": {
        "name": "Name, unique among the objects of one kind in a namespace.",
        "namespace": "The tenant's namespace, or wheeltapper-library; left out, that of the only tenant.",
        "labels": "Key and value pairs by which objects are selected.",
        "annotations": "Key and value pairs that tools keep here.",
    },
    "Status": {"conditions": "What holds of the object, Ready first of all."},
    "Condition": {
        "type": "What the condition is about, such as Ready.",
        "status": "Whether it holds: True, False or Unknown.",
        "reason": "Why, in one word for programs.",
        "message": "Why, in words for people.",
        "lastTransitionTime": "When the status last changed.",
        "observedGeneration": "Generation of the spec that the condition is about.",
    },
    "TenantPolicySpec": {"title": "Name of the tenant for people."},
    "Limits": {
        "twins": "Most machines the tenant may have.",
        "signals": "Most bound signals of all its machines together.",
        "samplesPerSecond": "Most samples a second, by the intervals of the contracts.",
        "storage": "Most space for its streams and tables, such as 20Gi.",
    },
    "Retention": {
        "raw": "How long telemetry is kept as it came.",
        "features": "How long features are kept.",
        "scores": "How long scores are kept.",
        "events": "How long alerts and what became of them are kept.",
    },
    "Freshness": {
        "window": "Time over which the objective is counted.",
        "telemetry": "Oldest that the newest sample of a machine may be.",
        "features": "Oldest that its newest features may be.",
        "acknowledge": "Longest time until a person has acknowledged an alert.",
    },
    "RouteMatch": {
        "criticality": "Criticalities of the machines whose alerts go this way.",
        "severity": "Severities that go this way.",
        "plants": "Plants whose alerts go this way.",
    },
    "Alerting": {"routes": "Ways an alert may take."},
    "Route": {
        "to": "Who hears of the alert.",
        "escalateAfter": "Time without an acknowledgement after which the next one hears of it.",
    },
    "PlantSpec": {
        "title": "Name of the site for people.",
        "hosting": "Where the plant's workers run.",
        "connections": "Ways to reach the plant's machines, named once and used by every twin.",
        "addressing": "How the tags of a class are formed here, so that a twin says only its own.",
    },
    "Connection": {"name": "Name that twins give in from."},
    "OpcUaConnection": {
        "endpoint": "URL of the server, such as opc.tcp://scada:4840.",
        "publishingInterval": "Time between two publications of the server.",
    },
    "OpcUaSecurity": {
        "policy": "Security policy of the session; None sends everything in the clear.",
        "mode": "Whether messages are signed, and encrypted as well.",
    },
    "MqttConnection": {
        "url": "URL of the broker: mqtts with TLS, mqtt without.",
        "version": "Version of the protocol that the broker speaks.",
    },
    "ModbusConnection": {
        "host": "Host name or address of the server.",
        "port": "TCP port of the server.",
        "unit": "Unit identifier behind the server, 0 to 255.",
        "poll": "Time between two readings.",
    },
    "SourceClock": {"maxAhead": "Longest time by which a source's clock may be ahead."},
    "Addressing": {
        "class": "Class whose machines are addressed so.",
        "signals": "Address of each signal of the class.",
    },
    "AddressedSignal": {
        "name": "Name of the class's signal.",
        "node": "OPC UA node id with {tag}, such as ns=2;s={tag}.VibrationDE.",
        "topic": "MQTT topic with {tag}, such as hall-2/{tag}/vibration.",
        "register": "Modbus register with {tag}.",
    },
    "AssetClassSpec": {
        "title": "Name of the class for people.",
        "version": "Version of the class; a change of features or modes is a new one.",
        "description": "What machines it is for, and what it assumes.",
        "signals": "What machines of the class tell about themselves.",
        "modes": "Operating modes; the first whose conditions all hold is the one a machine is in.",
    },
    "Signal": {
        "name": "Name within the class, unique among its signals.",
        "title": "Name of the signal for people.",
        "kind": "What sort of thing it delivers; that decides which functions a feature may use.",
        "quantity": "The physical quantity that its number measures; the unit must fit it.",
        "statistic": "How the source formed the number from what the sensor felt.",
        "states": "Codes of a state or alarm and their names.",
    },
    "Mounting": {
        "position": "Where on the machine the sensor sits.",
        "axis": "Direction in which it measures.",
    },
    "FrequencyBand": {"lowest": "Lowest frequency, in Hz.", "highest": "Highest frequency, in Hz."},
    "ValueRange": {
        "min": "Lowest value a healthy sensor can deliver.",
        "max": "Highest value a healthy sensor can deliver.",
    },
    "DeclaredState": {"value": "Code that the source sends.", "name": "Name of the state."},
    "Pipeline": {"features": "Numbers computed from the signals, one row a machine at every step."},
    "Feature": {
        "name": "Name within the class, unique among its features; failure models and modes use it.",
        "title": "Name of the feature for people.",
        "function": "What is computed of the samples in the window.",
        "window": "Time whose samples count, ending with the step.",
    },
    "ModeCondition": {
        "feature": "Feature whose value is compared.",
        "below": "Holds while the feature is less than this.",
        "atLeast": "Holds while the feature is this or more.",
        "within": "How long after the end of the mode in since it still holds.",
    },
    "Mode": {"name": "Name within the class.", "title": "Name of the mode for people."},
    "FailureModelSpec": {
        "class": "Class whose machines the model watches.",
        "version": "Version of the model.",
        "inputs": "Features that the model looks at.",
        "severity": "Severities an alert can have, and the scores at which they begin.",
        "sources": "Where the limits come from: standards, books, makers' data.",
    },
    "FailureMode": {
        "title": "Name of the failure for people.",
        "description": "What happens in the machine, in words that a supervisor understands.",
    },
    "ModelInput": {
        "feature": "Name of one of the class's features.",
        "direction": "Which way the feature moves when the failure develops; the other way does not count.",
    },
    "Needs": {
        "quantity": "Quantity that the signal must measure.",
        "statistic": "Statistic that the source must have formed.",
        "position": "Position at which the sensor must sit.",
    },
    "FixedLimit": {"feature": "One of the model's inputs."},
    "FixedLimitDetector": {
        "limits": "A limit for every input.",
        "combine": "How the inputs' scores become one.",
    },
    "RobustZScoreDetector": {"combine": "How the inputs' scores become one."},
    "EwmaDetector": {
        "lambda": "Weight of the newest value, above 0 and up to 1; smaller sees smaller shifts, later.",
        "combine": "How the inputs' scores become one.",
    },
    "SeverityBand": {
        "name": "The severity: watch, warn or act, each above the one before.",
        "above": "Score above which it begins; 1.0 is the detector's limit.",
        "for": "How long the score must stay above it.",
    },
    "Clear": {
        "below": "Score below which an open alert may end; not above any severity's.",
        "for": "How long the score must stay below it.",
    },
    "Part": {
        "number": "Part number.",
        "title": "Name of the part for people.",
        "quantity": "How many are needed.",
    },
    "Action": {
        "recommend": "What to do, in one sentence.",
        "when": "How soon: at once, in the next shift, at the next planned stop, or only watch on.",
        "parts": "Spare parts to have at hand.",
    },
    "AssetTwinSpec": {
        "title": "Name of the machine for people.",
        "class": "Class of the machine, of the tenant's own or of the library.",
        "plant": "Plant where the machine stands.",
        "criticality": "How much depends on the machine, A most; alert routes and freshness objectives use it.",
        "aliases": "The machine's names in other systems.",
        "relations": "How the machine relates to others.",
        "signals": "Where its signals come from, if the plant's addressing does not say so, and what differs here.",
        "failureModels": "Failure models that are off, or have other severities, on this machine.",
        "owners": "People or teams who answer for the machine.",
        "maintenance": "Times in which its alerts are held back.",
    },
    "Place": {
        "area": "Area of the plant.",
        "line": "Production line or process unit in the area.",
        "cell": "Work cell or position in the line.",
    },
    "Identity": {
        "manufacturer": "Who made the machine.",
        "model": "The maker's name of the type.",
        "serial": "Serial number.",
        "commissioned": "Day it went into operation.",
    },
    "Alias": {"system": "The other system, such as cmms.", "id": "The machine's name there."},
    "Relation": {
        "partOf": "Twin that this machine is a part of.",
        "drives": "Twin that this machine drives by a shaft, belt or gear.",
        "feeds": "Twin that gets what this machine delivers.",
        "standbyFor": "Twin that this machine replaces when it stops.",
    },
    "SignalBinding": {"name": "Name of one of the class's signals."},
    "Sensor": {
        "serial": "Serial number of the sensor.",
        "type": "Type of the sensor.",
        "calibrationDue": "Day by which it must be calibrated again.",
        "installed": "Day it was installed.",
        "replaced": "Day it was last replaced.",
    },
    "ContractOverride": {
        "interval": "Time between two samples of this machine.",
        "staleAfter": "Silence after which the signal of this machine counts as stale.",
        "maxRate": "Largest believable change, in the signal's unit per second.",
    },
    "ModelOverride": {
        "name": "Name of the failure model.",
        "enabled": "Whether the model watches this machine.",
    },
    "MaintenanceWindow": {
        "start": "Beginning, with date, time and zone.",
        "end": "End, with date, time and zone.",
        "reason": "What is done.",
    },
    "AssetTwinStatus": {
        "health": "Worst severity of the open alerts; good without any.",
        "openAlerts": "Number of open alerts.",
    },
}
"""Descriptions by the model's class name and the field's name in YAML."""


VALUES: Final[dict[str, dict[str, str]]] = {
    "TenantPolicy.spec.deletionPolicy": {
        "retain": "It stays, for a policy of the same name to go on with.",
        "delete": "It goes, and the namespace, if the operator made it. Tables in an object store stay.",
    },
    "SignalStatistic": {
        "instant": "The value at its time, as sampled.",
        "mean": "Mean since the sample before.",
        "rms": "Root of the mean square since the sample before.",
        "peak": "Largest distance from the mean.",
        "peak-to-peak": "Largest value less the smallest.",
        "minimum": "Smallest value since the sample before.",
        "maximum": "Largest value since the sample before.",
        "derived": "Computed by the source from other numbers.",
    },
    "Function": {
        "mean": "Mean of the values.",
        "std": "Standard deviation of the values.",
        "rms": "Root of the mean square.",
        "kurtosis": "Heaviness of the tails: impacts raise it.",
        "skewness": "Lopsidedness of the values.",
        "crest-factor": "Largest absolute value divided by the root of the mean square.",
        "peak-to-peak": "Largest value less the smallest.",
        "slope": "Slope of the straight line through the values.",
        "min": "Smallest value.",
        "max": "Largest value.",
        "last": "Newest value.",
        "count": "Number of good samples.",
    },
    "Plant.spec.hosting": {
        "cloud": "In the cloud.",
        "edge": "At the plant, on a cluster or machine of its own.",
        "hybrid": "Some at the plant, the rest in the cloud.",
        "private": "In the customer's own cluster.",
    },
    "AssetTwin.spec.mode": {
        "observe": "Scores only.",
        "review": "A person confirms each alert.",
        "automatic": "Alerts become work orders.",
    },
    "FailureModel.spec.action.when": {
        "now": "At once.",
        "next-shift": "In the next shift.",
        "next-planned-stop": "When the machine stops anyway.",
        "monitor": "Watch on, do nothing yet.",
    },
}
"""What a value means, by the class name of its enum or, where the values are listed in the field, by kind and path."""


def words_for(owners: tuple[type, ...], name: str) -> str | None:
    """Description of a field from the table, by the classes that may have declared it, nearest first."""
    return next((WORDS[owner.__name__][name] for owner in owners if name in WORDS.get(owner.__name__, {})), None)
