"""The benchmark `push` of run.py: pushes to the server and to Pushgateways, interleaved in one run.

The Pushgateways are the one on PATH (Debian's) and the newest, which scripts/peers.sh unpacks into ./peers, each as it comes and
with --push.disable-consistency-check, which is as far from what the server does as it is fast. PUSHGATEWAY_BIN and
NEWER_PUSHGATEWAY_BIN name others. What a Pushgateway has stored at the start is a file that it wrote itself without the check:
with it, ten thousand groups take half an hour to get in.
"""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time

import run

METRICS = 10
UNCHECKED = "--push.disable-consistency-check"
# Beyond this many groups a push to a Pushgateway takes so long that few fit into a short round.
SLOW_GROUPS = 3000
SLOW_SECONDS = 10
# Pushes that are on their way over one connection while groups are filled in.
PIPELINED = 50
CONNECTIONS = 16


def body():
    """Ten metrics with two labels, as a build job pushes them: 1.3 kB."""
    names = ["build_duration_seconds", "build_queue_seconds", "build_last_success_timestamp_seconds", "tests_total",
             "tests_failed_total", "tests_skipped_total", "coverage_ratio", "artifact_size_bytes", "cache_hits_total",
             "exit_code"]
    values = ["182.4", "3.25", "1748781296.789", "1248", "3", "17", "0.9134", "48219384", "812", "0"]
    lines = []
    for name, value in zip(names, values):
        kind = "counter" if name.endswith("_total") else "gauge"
        lines.append(f"# HELP bench_{name} {name.replace('_', ' ')}.\n# TYPE bench_{name} {kind}\n"
                     f'bench_{name}{{branch="main",runner="linux-4"}} {value}\n')
    return "".join(lines).encode()


class Side:
    """A program that takes pushes, and where it keeps them."""

    def __init__(self, name, program, scratch, flags=()):
        self.name, self.program, self.flags = name, program, list(flags)
        self.ours = program == run.OBSERVATORY
        self.store = scratch / re.sub(r"\W+", "-", name)

    def start(self, flags=None):
        if self.ours:
            return run.observatory(self.store)
        port = run.free_port()
        command = [self.program, f"--web.listen-address=127.0.0.1:{port}", f"--persistence.file={self.store}",
                   # It writes everything down every five minutes, in which it does nothing else; and when it stops.
                   "--persistence.interval=24h", "--log.level=error", *(self.flags if flags is None else flags)]
        return run.Server(command, port, ready="/-/ready")

    def filled(self, groups):
        """Stores this many groups, from the last state on, and leaves them on disk."""
        with self.start(flags=[UNCHECKED]) as server:
            fill(server, groups)
            check_groups(self, server, groups)
            server.stop()


def sides(scratch, options):
    res = [Side("observatory", run.OBSERVATORY, scratch)]
    here = shutil.which("prometheus-pushgateway")
    unpacked = run.ROOT / "peers/usr/bin/prometheus-pushgateway"
    newer = os.environ.get("NEWER_PUSHGATEWAY_BIN", str(unpacked) if unpacked.exists() else None)
    for program in (os.environ.get("PUSHGATEWAY_BIN", here), newer):
        if not program:
            sys.exit("a Pushgateway is missing: apt-get install prometheus-pushgateway && scripts/peers.sh peers")
        said = subprocess.run([program, "--version"], check=True, capture_output=True, text=True)
        name = "Pushgateway " + re.search(r"version (\S+)", said.stdout + said.stderr)[1].rstrip(",")
        res.append(Side(name, program, scratch))
        if options.unchecked:
            res.append(Side(f"{name}, unchecked", program, scratch, [UNCHECKED]))
    return res


def fill(server, groups):
    """Pushes once to each of so many groups, and waits until they are stored: without the check, that is later."""
    data = body()
    failures = []

    def work(first):
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=300) as it:
                answers = it.makefile("rb")
                mine = range(first, groups, CONNECTIONS)
                for at in range(0, len(mine), PIPELINED):
                    some = mine[at:at + PIPELINED]
                    it.sendall(b"".join(put(group, data) for group in some))
                    for _ in some:
                        take_answer(answers)
        except (OSError, ValueError) as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(it,)) for it in range(min(CONNECTIONS, groups))]
    for it in threads:
        it.start()
    for it in threads:
        it.join()
    if failures:
        sys.exit(f"loading: {failures[0]!r}")
    settle(server)


def put(group, data):
    return (f"PUT /metrics/job/bench/instance/i-{group} HTTP/1.1\r\nhost: x\r\ncontent-type: text/plain\r\n"
            f"content-length: {len(data)}\r\n\r\n").encode() + data


def take_answer(answers):
    line = answers.readline()
    if not line.startswith((b"HTTP/1.1 200", b"HTTP/1.1 202")):
        raise ValueError(line)
    while (header := answers.readline()) != b"\r\n":
        if header.lower().startswith(b"content-length:") and int(header.split(b":")[1]) != 0:
            raise ValueError(header)


def page(port):
    status, head, text = run.get(port, "/metrics")
    if status != 200:
        sys.exit(f"a scrape was answered {status}: {text[:300]}")
    return run.unchunk(text) if "transfer-encoding: chunked" in head else text


def check_groups(side, server, groups):
    found = page(server.port).count(b"\npush_time_seconds{")
    if found != groups:
        sys.exit(f"{side.name} has {found} groups, not {groups}")


def settle(server):
    """Waits until what was sent has been worked off: a Pushgateway goes on with pushes whose senders are gone."""
    last = server.cpu_seconds()
    while True:
        time.sleep(0.5)
        now = server.cpu_seconds()
        if now - last < 0.05:
            return
        last = now


def pushes(options, scratch, groups):
    """Pushes to groups that are stored already, in turn to all of them."""
    file = scratch / "push.txt"
    file.write_bytes(body())
    env = {"BENCH_GROUPS": str(groups)}
    all_sides = sides(scratch, options)
    for side in all_sides:
        side.filled(groups)
    results = {it.name: [] for it in all_sides}
    stored = 0
    with contextlib.ExitStack() as stack:
        running = [(it, stack.enter_context(it.start())) for it in all_sides]
        for at in range(-1, options.rounds):
            for side, server in running:
                slow = groups >= SLOW_GROUPS and not side.ours and UNCHECKED not in side.flags
                if at < 0 and slow:
                    continue
                seconds = 1 if at < 0 else max(SLOW_SECONDS, options.seconds) if slow else options.seconds
                before = server.cpu_seconds()
                result = run.wrk(server.port, file, 1, options.connections, seconds, "push.lua", env)
                result["cpu_us"] = (server.cpu_seconds() - before) * 1e6 / max(result["requests"], 1)
                settle(server)
                stored += result["requests"] if side.ours else 0
                if at >= 0:
                    result["rss_mb"] = server.rss_bytes() / 1e6
                    results[side.name].append(result)
        for side, server in running:
            check_groups(side, server, groups)
        check_stored(running[0][1], stored)
    print(f"### Pushes, {groups:,} groups stored ({len(body())} B, `wrk -t1 -c{options.connections}`)\n")
    run.table(results, [("pushes/s", "rps", run.thousands), ("server CPU us/push", "cpu_us", run.decimals),
                        ("p50 ms", "p50_ms", run.decimals), ("p99 ms", "p99_ms", run.decimals),
                        ("RSS MB", "rss_mb", run.decimals)], all_sides[1].name)
    return results


def check_stored(server, sent):
    """Every acknowledged push is counted as stored, and none was rejected."""
    text = page(server.port).decode()
    results = dict(re.findall(r'observatory_push_requests_total\{result="(\w+)"\} (\S+)', text))
    if float(results["stored"]) < sent or float(results["rejected"]):
        sys.exit(f"{sent} pushes were acknowledged, and these are counted: {results}")


def start(options, scratch, groups):
    """From exec to the first answer that says ready, with so many groups stored; and memory then."""
    all_sides = [it for it in sides(scratch, options) if UNCHECKED not in it.flags]
    for side in all_sides:
        side.filled(groups)
    results = {it.name: [] for it in all_sides}
    for _ in range(options.rounds):
        for side in all_sides:
            with side.start() as server:
                time.sleep(1)
                rss_mb = server.rss_bytes() / 1e6
                check_groups(side, server, groups)
                results[side.name].append({"start_ms": server.start_ms, "rss_mb": rss_mb})
    print(f"### Start with {groups:,} groups stored\n")
    run.table(results, [("ready after ms", "start_ms", run.thousands), ("RSS MB", "rss_mb", run.decimals)],
              all_sides[1].name)
    return results


def scrape(options, scratch, series):
    """A scrape of pushed series over loopback, text and gzip; memory per series."""
    groups = series // METRICS
    # Loading with their check is not feasible; what a scrape costs does not depend on it.
    all_sides = [it for it in sides(scratch, options) if UNCHECKED not in it.flags]
    memory = {it.name: {} for it in all_sides}
    results = {}
    with contextlib.ExitStack() as stack:
        running = [(it, stack.enter_context(it.start(flags=[UNCHECKED]))) for it in all_sides]
        for side, server in running:
            memory[side.name]["empty"] = server.rss_bytes()
            fill(server, groups)
            memory[side.name]["loaded"] = server.rss_bytes()
        for form, headers in (("text", ""), ("gzip", "accept-encoding: gzip\r\n")):
            # The first of each kind pays for memory that later ones find.
            for at in range(-1, options.rounds):
                for side, server in running:
                    # Longer than a rendered page is shared.
                    time.sleep(1.3)
                    before = server.cpu_seconds()
                    took, size = run.timed_get(server.port, headers)
                    cpu = (server.cpu_seconds() - before) * 1000
                    if at >= 0:
                        rounds = results.setdefault(f"{side.name}, {form}", [])
                        rounds.append({"ms": took, "cpu_ms": cpu, "bytes": size})
        for side, server in running:
            memory[side.name]["after scrapes"] = server.rss_bytes()
            check_groups(side, server, groups)
    print(f"### Scrape of {series:,} pushed series over loopback\n")
    columns = [("ms", "ms", run.decimals), ("server CPU ms", "cpu_ms", run.decimals), ("bytes", "bytes", run.thousands)]
    for form in ("text", "gzip"):
        both = {name: rounds for name, rounds in results.items() if name.endswith(form)}
        run.table(both, columns, f"{all_sides[1].name}, {form}")
    print("| memory per pushed series, B | loaded | after scrapes |\n|---|---|---|")
    for name, it in memory.items():
        loaded, after = ((it[key] - it["empty"]) / series for key in ("loaded", "after scrapes"))
        print(f"| {name} | {loaded:,.0f} | {after:,.0f} |")
    print()
    return {"scrapes": results, "memory": memory}


def measure(options, scratch):
    """All of it; sizes as the options say."""
    run.need("wrk")
    res = {}
    for groups in options.groups:
        res[f"pushes, {groups} groups"] = in_turn(pushes, options, scratch, groups)
    res["start"] = in_turn(start, options, scratch, max(options.groups))
    for series in options.pushed_series:
        res[f"scrape, {series} series"] = in_turn(scrape, options, scratch, series)
    return res


def in_turn(what, options, scratch, size):
    """Measures in a directory that is empty again afterwards."""
    directory = scratch / f"{what.__name__}-{size}"
    directory.mkdir()
    res = what(options, directory, size)
    shutil.rmtree(directory)
    return res
