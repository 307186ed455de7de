#!/usr/bin/env python3
"""Measures the server against the limit servers of bench/limits: both sides interleaved in one run, medians.

usage: bench/run.py ingest|batch|scrape|idle|push|stream|alerts|all [--rounds 3] [--seconds 4] [--series 1000000]
                    [--groups 1,1000,10000] [--pushed-series 100000] [--connections 20] [--no-unchecked] [--clients 1000]

Only the ratio counts: machines drift. Server CPU is user + system time from /proc, divided by the requests that the
load generator counted. Prints Markdown tables ready for docs/performance.md and writes bench/out/<what>.json.
Build first (`make bench` does): target/release/observatory and target/bench/release/limits; OBSERVATORY_BIN and
LIMITS_BIN name others. Needs Linux; for ingest, batch and push, wrk; for push, two Pushgateways (gateways.py).
"""

import argparse
import contextlib
import json
import math
import os
import platform
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OBSERVATORY = os.environ.get("OBSERVATORY_BIN", str(ROOT / "target/release/observatory"))
LIMITS = os.environ.get("LIMITS_BIN", str(ROOT / "target/bench/release/limits"))
TICKS = os.sysconf("SC_CLK_TCK")

RULES = """version: 1
metrics:
  bench_builds_total:
    help: Builds.
    match: bench_build
    count: $n
    labels: {repository: $repository, branch: $branch, status: $status, runner: $runner}
    limit: %d
"""


class Server:
    """A process that listens on a port of its own."""

    def __init__(self, command, port, env=None, ready="/"):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVATORY_")}
        self.port = port
        started = time.monotonic()
        # Not a pipe: nobody reads it, and a full one would stop the server.
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, env=clean | (env or {}), stdout=self.log, stderr=self.log)
        while True:
            if self.process.poll() is not None:
                self.log.seek(0)
                sys.exit(f"{command[0]} ended: {self.log.read().decode()[-2000:]}")
            with contextlib.suppress(OSError):
                # A limit server has no such page and says so, which is as good.
                if get(port, ready)[0] < 500:
                    break
            if time.monotonic() - started > 120:
                sys.exit(f"{command[0]} is not ready after 120 s")
            time.sleep(0.005)
        self.start_ms = (time.monotonic() - started) * 1000

    def cpu_seconds(self):
        stat = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(stat[11]) + int(stat[12])) / TICKS

    def rss_bytes(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) * 1024

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()


def free_port():
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        return it.getsockname()[1]


def limits(*arguments):
    port = free_port()
    return Server([LIMITS, arguments[0], str(port), *map(str, arguments[1:])], port)


def observatory(data_dir, env=None):
    port = free_port()
    command = [OBSERVATORY, "serve", "--listen", f"127.0.0.1:{port}", "--data-dir", str(data_dir)]
    return Server(command, port, env, "/-/ready")


def exchange(port, request):
    """Sends a request that ends with the connection; returns the answer whole."""
    with socket.create_connection(("127.0.0.1", port), timeout=120) as it:
        it.sendall(request)
        chunks = []
        while chunk := it.recv(1 << 20):
            chunks.append(chunk)
    head, _, body = b"".join(chunks).partition(b"\r\n\r\n")
    return int(head.split()[1]), head.decode().lower(), body


def get(port, path, headers=""):
    return exchange(port, f"GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n".encode())


def post(port, path, kind, body):
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return exchange(port, head.encode() + body)


def timed_get(port, headers):
    """Milliseconds until the last byte of /metrics, and bytes read; nothing is kept."""
    buffer = bytearray(1 << 20)
    request = f"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}\r\n".encode()
    with socket.create_connection(("127.0.0.1", port), timeout=120) as it:
        started = time.monotonic()
        it.sendall(request)
        size = 0
        while count := it.recv_into(buffer):
            size += count
        return (time.monotonic() - started) * 1000, size


def metric(port, name):
    """The sum over the series of a metric."""
    status, head, body = get(port, "/metrics")
    if "transfer-encoding: chunked" in head:
        body = unchunk(body)
    lines = (it for it in body.decode().splitlines() if re.match(rf"{name}[ {{]", it))
    return sum(float(it.rsplit(" ", 1)[1]) for it in lines)


def unchunk(body):
    out = []
    while body:
        size, _, body = body.partition(b"\r\n")
        size = int(size, 16)
        out.append(body[:size])
        body = body[size + 2:]
    return b"".join(out)


def event(at):
    """One event of about 250 bytes, as CI sends it."""
    return {
        "event_type": "ci_build_completed",
        "source": "github-actions",
        "data": {
            "repository": f"acme/svc-{at % 20}",
            "branch": "main" if at % 3 else f"feature/{at}",
            "status": "failure" if at % 7 == 0 else "success",
            "duration_seconds": 30 + (at * 7919) % 600 / 10,
            "commit": f"{at * 0x9E3779B97F4A7C15 % (1 << 160):040x}",
            "workflow": "build",
            "run_id": str(7_312_945_561 + at),
        },
    }


def wrk(port, body, threads, connections, seconds, script="post.lua", env=None):
    """Loads the server with one body; requests, requests per second, p50 and p99 in ms, failures."""
    command = ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "120s",
               "-s", str(HERE / script), f"http://127.0.0.1:{port}/api/v1/events"]
    out = subprocess.run(command, env=os.environ | {"BENCH_BODY": str(body)} | (env or {}), check=True,
                         capture_output=True, text=True).stdout
    unit = {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}
    latency = {p: float(v) * unit[u] for p, v, u in re.findall(r"^\s+(50|99)%\s+([\d.]+)(us|ms|s|m)$", out, re.M)}
    failures = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", out)))
    errors = re.search(r"Socket errors: (.*)", out)
    if failures or errors:
        sys.exit(f"the load was not answered: {failures} not 2xx, {errors and errors[1]}\n{out}")
    return {
        "requests": int(re.search(r"(\d+) requests in", out)[1]),
        "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1]),
        # None was answered in time, by a side that is so slow.
        "p50_ms": latency.get("50", math.nan),
        "p99_ms": latency.get("99", math.nan),
    }


def need(*programs):
    for program in programs:
        if not shutil.which(program):
            sys.exit(f"{program} is missing: apt-get install {program}")


def load(options, sides, body, events, threads, connections):
    """Loads each side in turn, options.rounds times; rates and CPU per event."""
    results = {name: [] for name in sides}
    for server in sides.values():
        wrk(server.port, body, threads, connections, 1)
    for _ in range(options.rounds):
        for name, server in sides.items():
            before = server.cpu_seconds()
            result = wrk(server.port, body, threads, connections, options.seconds)
            result["cpu_us"] = (server.cpu_seconds() - before) * 1e6 / result["requests"] / events
            result["events_per_s"] = result["rps"] * events
            results[name].append(result)
    return results


def table(results, columns, floor):
    """Medians of each column, and the ratio to the side called `floor`."""
    print(f"| | {' | '.join(title for title, _, _ in columns)} | ratio |")
    print("|" + "---|" * (len(columns) + 2))
    first = columns[0][1]
    for name, rounds in results.items():
        cells = []
        for _, key, form in columns:
            values = sorted(it[key] for it in rounds)
            cells.append(f"{form(statistics.median(values))} ({form(values[0])}-{form(values[-1])})")
        ratio = median(results, name, first) / median(results, floor, first)
        print(f"| {name} | {' | '.join(cells)} | {ratio:.2f} |")
    print()


def median(results, name, key):
    return statistics.median(it[key] for it in results[name])


def thousands(value):
    return f"{value:,.0f}"


def decimals(value):
    return f"{value:.2f}"


def check_counted(server, sent):
    """Every acknowledged event is counted, by the server and by the built-in rules."""
    time.sleep(1.2)
    counted = metric(server.port, "ci_builds_total")
    if counted < sent:
        sys.exit(f"{sent} events were acknowledged in the measured rounds, and {counted} are counted")


def ingest(options, scratch):
    """Single events, durable, keep-alive, 50 connections."""
    need("wrk")
    body = scratch / "event.json"
    body.write_text(json.dumps(event(1), separators=(",", ":")))
    with limits("bare") as bare, observatory(scratch / "ingest") as ours:
        results = load(options, {"bare server": bare, "observatory": ours}, body, 1, 2, 50)
        check_counted(ours, sum(it["requests"] for it in results["observatory"]))
    print(f"### Single events ({body.stat().st_size} B, `wrk -t2 -c50 -d{options.seconds}s`)\n")
    table(results, [("events/s", "rps", thousands), ("server CPU us/event", "cpu_us", decimals),
                    ("p50 ms", "p50_ms", decimals), ("p99 ms", "p99_ms", decimals)], "bare server")
    cpu = median(results, "observatory", "cpu_us") / median(results, "bare server", "cpu_us")
    print(f"CPU per event: {cpu:.2f} x the bare server\n")
    return results


def batch(options, scratch):
    """Batches of 1000 events, durable, counted by the built-in rules."""
    need("wrk")
    body = scratch / "batch.json"
    body.write_text(json.dumps([event(it) for it in range(1000)], separators=(",", ":")))
    with limits("parse") as parse, observatory(scratch / "batch") as ours:
        results = load(options, {"parse only": parse, "observatory": ours}, body, 1000, 1, 8)
        check_counted(ours, sum(it["requests"] for it in results["observatory"]) * 1000)
    print(f"### Batches of 1000 ({body.stat().st_size} B, `wrk -t1 -c8 -d{options.seconds}s`)\n")
    table(results, [("events/s", "events_per_s", thousands), ("server CPU us/event", "cpu_us", decimals),
                    ("p50 ms", "p50_ms", decimals), ("p99 ms", "p99_ms", decimals)], "parse only")
    return results


def series_event(at):
    """The event that makes series number `at`; bench/limits has the same series."""
    status = ("success", "failure", "cancelled", "other")[at % 4]
    return (f'{{"event_type":"bench_build","source":"bench","data":{{"n":{at % 100_000 + 0.25},'
            f'"repository":"org-{at // 400 % 40}/service-{at // 400}","branch":"release-{at // 200 % 2}",'
            f'"status":"{status}","runner":"r-{at // 4 % 50:03}"}}}}')


def fill(port, series):
    for start in range(0, series, 10_000):
        lines = "\n".join(map(series_event, range(start, min(start + 10_000, series))))
        status, _, body = post(port, "/api/v1/events", "application/x-ndjson", lines.encode())
        if status != 202:
            sys.exit(f"loading: {status} {body[:500]}")


def scrape(options, scratch):
    """A scrape of many series, text and gzip, over loopback; memory per series."""
    rules = scratch / "rules.yaml"
    rules.write_text(RULES % (options.series * 2))
    env = {"OBSERVATORY_RULES_FILE": str(rules), "OBSERVATORY_LIMITS_BODY_BYTES": str(64 << 20)}
    memory = {}
    with observatory(scratch / "scrape", env) as ours:
        memory["empty"] = ours.rss_bytes()
        fill(ours.port, options.series)
        memory["loaded"] = ours.rss_bytes()
        ours.stop()
    results = {}
    with limits("expose", options.series) as floor, observatory(scratch / "scrape", env) as ours:
        memory["restarted"] = ours.rss_bytes()
        memory["start ms"] = ours.start_ms
        for form, headers in (("text", ""), ("gzip", "accept-encoding: gzip\r\n")):
            for name, server in ((f"copy loop, {form}", floor), (f"observatory, {form}", ours)):
                results[name] = []
            for _ in range(options.rounds + 1):
                for name, server in ((f"copy loop, {form}", floor), (f"observatory, {form}", ours)):
                    # Longer than a rendered page is shared.
                    time.sleep(1.3)
                    before = server.cpu_seconds()
                    took, size = timed_get(server.port, headers)
                    cpu = (server.cpu_seconds() - before) * 1000
                    results[name].append({"ms": took, "bytes": size, "cpu_ms": cpu})
            for name in results:
                # The first of each kind pays for pages that later ones find.
                results[name] = results[name][-options.rounds:]
        memory["after scrapes"] = ours.rss_bytes()
        shown = metric(ours.port, "observatory_series")
        if shown < options.series:
            sys.exit(f"{options.series} series were loaded, and {shown} are there")
    print(f"### Scrape of {options.series:,} series over loopback\n")
    columns = [("ms", "ms", decimals), ("server CPU ms", "cpu_ms", decimals), ("bytes", "bytes", thousands)]
    for form in ("text", "gzip"):
        both = {name: rounds for name, rounds in results.items() if name.endswith(form)}
        table(both, columns, f"copy loop, {form}")
    per = {k: (memory[k] - memory["empty"]) / options.series for k in ("loaded", "restarted", "after scrapes")}
    print("| memory per series | B |\n|---|---|")
    for name, value in per.items():
        print(f"| {name} | {value:.0f} |")
    print(f"\nStart with {options.series:,} series: {memory['start ms']:.0f} ms\n")
    return {"scrapes": results, "memory": memory, "bytes_per_series": per}


def idle(options, scratch):
    """Resident memory and CPU of a server that nobody talks to."""
    rounds = []
    for at in range(options.rounds):
        with observatory(scratch / f"idle-{at}") as ours:
            time.sleep(5)
            before, started = ours.cpu_seconds(), time.monotonic()
            time.sleep(15)
            cpu = (ours.cpu_seconds() - before) / (time.monotonic() - started) * 100
            rounds.append({"rss_mb": ours.rss_bytes() / 1e6, "cpu": cpu, "start_ms": ours.start_ms})
    results = {"observatory": rounds}
    print("### Idle\n")
    table(results, [("RSS MB", "rss_mb", decimals), ("CPU %", "cpu", decimals), ("start ms", "start_ms", thousands)],
          "observatory")
    return results


def push(options, scratch):
    """Pushes, beside Pushgateways."""
    # It takes its tools from here.
    import gateways
    return gateways.measure(options, scratch)


def alerts(options, scratch):
    """Events, and what a webhook is told of them."""
    # It takes its tools from here.
    import alerts as telling
    return telling.measure(options, scratch)


def watch(options, scratch, clients, rate):
    """Rounds of `rate` events per second that `clients` streams see: latency, and memory beyond an idle server's."""
    env = {"OBSERVATORY_STREAM_MAX": "10000", "OBSERVATORY_STREAM_MAX_PER_CLIENT": "10000"}
    rounds = []
    for at in range(options.rounds):
        with observatory(scratch / f"stream-{clients}-{at}", env) as ours:
            # The pages and caches that ingest needs by itself are none of the streams'.
            fill_live(ours.port, rate)
            before = ours.rss_bytes()
            command = [LIMITS, "watch", str(ours.port), str(clients), str(rate), str(options.seconds)]
            load = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            most, cpu = before, ours.cpu_seconds()
            while load.poll() is None:
                most = max(most, ours.rss_bytes())
                time.sleep(0.1)
            if load.returncode:
                sys.exit("the load ended early")
            result = json.loads(load.stdout.read())
            result["cpu_s"] = ours.cpu_seconds() - cpu
            result["more_mb"] = (most - before) / 1e6
            if result["missing"]:
                sys.exit(f"{result['missing']} of {clients * result['events']} frames did not come")
            rounds.append(result)
    return rounds


def fill_live(port, events):
    lines = "\n".join(json.dumps(event(it)) for it in range(events))
    if post(port, "/api/v1/events", "application/x-ndjson", lines.encode())[0] != 202:
        sys.exit("loading failed")


def stream(options, scratch):
    """From the request that posts an event to the frame that shows it, and what many streams cost."""
    results = {
        f"{clients} clients, {rate} events/s": watch(options, scratch, clients, rate)
        for clients, rate in ((10, 1000), (options.clients, 200))
    }
    print(f"### Live streams ({options.seconds} s, the clients on the same machine)\n")
    table(results, [("p99 ms", "p99_ms", decimals), ("p50 ms", "p50_ms", decimals), ("max ms", "max_ms", decimals),
                    ("MB more", "more_mb", decimals), ("server CPU s", "cpu_s", decimals)], next(iter(results)))
    return results


BENCHMARKS = {"ingest": ingest, "batch": batch, "scrape": scrape, "idle": idle, "push": push, "stream": stream,
              "alerts": alerts}


def numbers(text):
    """Whole numbers above 0, separated by commas."""
    res = [int(it) for it in text.split(",")]
    if min(res) < 1:
        raise ValueError(text)
    return res


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=[*BENCHMARKS, "all"])
    parser.add_argument("--rounds", type=int, default=3, help="measurements per side (default 3)")
    parser.add_argument("--seconds", type=int, default=4, help="seconds of load per measurement (default 4)")
    parser.add_argument("--series", type=int, default=1_000_000, help="series of the scrape (default 1000000)")
    parser.add_argument("--groups", type=numbers, default=[1, 1000, 10_000],
                        help="groups stored before the pushes (default 1,1000,10000)")
    parser.add_argument("--pushed-series", type=numbers, default=[100_000],
                        help="pushed series of the scrape (default 100000)")
    parser.add_argument("--connections", type=int, default=20, help="connections that push (default 20)")
    parser.add_argument("--unchecked", action=argparse.BooleanOptionalAction, default=True,
                        help="whether Pushgateways without their check are measured too")
    parser.add_argument("--clients", type=int, default=1000, help="clients of the larger stream (default 1000)")
    options = parser.parse_args()
    for binary in (OBSERVATORY,) if options.what in ("push", "alerts") else (OBSERVATORY, LIMITS):
        if not Path(binary).exists():
            sys.exit(f"{binary} is missing: run `make bench`")
    out = HERE / "out"
    out.mkdir(exist_ok=True)
    print(f"{os.cpu_count()} cores, {platform.system()} {platform.release()}, {time.strftime('%Y-%m-%d')}\n")
    for name in BENCHMARKS if options.what == "all" else [options.what]:
        # Beside the checkout's own disk: a temporary directory may be in memory, where a flush costs nothing.
        with tempfile.TemporaryDirectory(dir=out) as scratch:
            results = BENCHMARKS[name](options, Path(scratch))
        (out / f"{name}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
