"""Reads a page from standard input and prints what it says, a JSON value per line."""

import json
import math
import struct
import sys


def bits(value):
    return "nan" if math.isnan(value) else struct.pack(">d", value).hex()


def exemplar(it):
    return it and [sorted(map(list, it.labels.items())), bits(it.value), str(it.timestamp)]


def text(page, parse):
    for family in parse(page.decode()):
        for it in family.samples:
            labels = sorted(map(list, it.labels.items()))
            yield [it.name, labels, bits(float(it.value)), exemplar(it.exemplar)]


# A reader of the protobuf wire format. Fields: number -> (name, type).
VARINT, DOUBLE, BYTES = 0, 1, 2
TIMESTAMP = {1: ("seconds", "int"), 2: ("nanos", "int")}
LABEL = {1: ("name", "str"), 2: ("value", "str")}
EXEMPLAR = {1: ("label", [LABEL]), 2: ("value", "double"), 3: ("timestamp", TIMESTAMP)}
VALUE = {1: ("value", "double")}
COUNTER = VALUE | {2: ("exemplar", EXEMPLAR), 3: ("start", TIMESTAMP)}
QUANTILE = {1: ("quantile", "double"), 2: ("value", "double")}
SUMMARY = {1: ("count", "int"), 2: ("sum", "double"), 3: ("quantile", [QUANTILE]), 4: ("start", TIMESTAMP)}
SPAN = {1: ("offset", "sint"), 2: ("length", "int")}
BUCKET = {1: ("count", "int"), 2: ("bound", "double"), 3: ("exemplar", EXEMPLAR)}
HISTOGRAM = {
    1: ("count", "int"), 2: ("sum", "double"), 3: ("bucket", [BUCKET]), 5: ("schema", "sint"),
    6: ("zero_threshold", "double"), 7: ("zero_count", "int"), 9: ("negative_span", [SPAN]),
    10: ("negative_delta", "packed"), 12: ("positive_span", [SPAN]), 13: ("positive_delta", "packed"),
    15: ("start", TIMESTAMP), 16: ("exemplars", [EXEMPLAR]),
}
METRIC = {
    1: ("label", [LABEL]), 2: ("gauge", VALUE), 3: ("counter", COUNTER), 4: ("summary", SUMMARY),
    5: ("untyped", VALUE), 7: ("histogram", HISTOGRAM),
}
FAMILY = {1: ("name", "str"), 2: ("help", "str"), 3: ("type", "int"), 4: ("metric", [METRIC]), 5: ("unit", "str")}


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def zigzag(value):
    return (value >> 1) ^ -(value & 1)


def message(data, schema):
    res, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        name, kind = schema[key >> 3]
        wire = {"int": VARINT, "sint": VARINT, "double": DOUBLE}.get(kind if isinstance(kind, str) else "", BYTES)
        assert key & 7 == wire, (name, key)
        if wire == VARINT:
            value, at = varint(data, at)
            value = zigzag(value) if kind == "sint" else value
        elif wire == DOUBLE:
            value, at = struct.unpack_from("<d", data, at)[0], at + 8
        else:
            length, at = varint(data, at)
            value, at = data[at : at + length], at + length
            assert len(value) == length, name
        if kind == "str":
            value = value.decode()
        elif kind == "packed":
            numbers, here = [], 0
            while here < len(value):
                number, here = varint(value, here)
                numbers.append(zigzag(number))
            value = numbers
        elif isinstance(kind, dict):
            value = message(value, kind)
        if isinstance(kind, list):
            res.setdefault(name, []).append(message(value, kind[0]))
        else:
            assert name not in res, name
            res[name] = value
    return res


def time(it):
    return [it["seconds"], it["nanos"]]


def labels(it):
    return [[pair["name"], pair["value"]] for pair in it.get("label", [])]


def wire_exemplar(it):
    return it and [labels(it), bits(it["value"]), time(it["timestamp"])]


def native(it, side):
    index, count, res = 0, 0, []
    deltas = iter(it.get(side + "_delta", []))
    for span in it.get(side + "_span", []):
        index += span["offset"]
        for _ in range(span["length"]):
            count += next(deltas)
            if count:
                res.append([index, count])
            index += 1
    assert next(deltas, None) is None
    return res


def metric(it):
    if "counter" in it:
        c = it["counter"]
        value = {"counter": bits(c["value"]), "exemplar": wire_exemplar(c["exemplar"]), "start": time(c["start"])}
    elif "gauge" in it:
        value = {"gauge": bits(it["gauge"]["value"])}
    elif "untyped" in it:
        value = {"untyped": bits(it["untyped"]["value"])}
    elif "summary" in it:
        s = it["summary"]
        quantiles = [[bits(q["quantile"]), bits(q["value"])] for q in s["quantile"]]
        value = {"count": s["count"], "sum": bits(s["sum"]), "quantiles": quantiles, "start": time(s["start"])}
    else:
        h = it["histogram"]
        value = {
            "count": h["count"], "sum": bits(h["sum"]),
            "buckets": [[b["count"], bits(b["bound"]), wire_exemplar(b.get("exemplar"))] for b in h["bucket"]],
            "schema": h["schema"], "zero_threshold": bits(h["zero_threshold"]), "zero_count": h["zero_count"],
            "positive": native(h, "positive"), "negative": native(h, "negative"),
            "noop_span": h.get("positive_span") == [{"offset": 0, "length": 0}],
            "exemplars": [wire_exemplar(e) for e in h["exemplars"]], "start": time(h["start"]),
        }
    return [labels(it), value]


def protobuf(page):
    at = 0
    while at < len(page):
        length, at = varint(page, at)
        family = message(page[at : at + length], FAMILY)
        at += length
        assert at <= len(page)
        yield [family["name"], family["help"], family["type"], [metric(it) for it in family["metric"]]]


def main(mode):
    page = sys.stdin.buffer.read()
    if mode == "protobuf":
        lines = protobuf(page)
    elif mode == "text":
        from prometheus_client.parser import text_string_to_metric_families

        lines = text(page, text_string_to_metric_families)
    else:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families

        lines = text(page, text_string_to_metric_families)
    for line in lines:
        print(json.dumps(line))


main(sys.argv[1])
