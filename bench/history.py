#!/usr/bin/env python3
"""Measures the journal as a store of history against PostgreSQL 15: the same events, the same questions, in one run.

usage: bench/history.py [query|restart|ingest|all] [--events 2000000] [--restart-events 10000000] [--rounds 9]

query    loads both sides and asks both, over HTTP and a socket; the answers must be as many on both sides
restart  how long a start takes, and what memory it needs, with many events stored
ingest   the latency of single events alone, and while a full-range query, prunes and merges run (needs wrk)

Events are made here, from a seed: 15 types of which the first are the most, 50 sources, six fields, in order over the 30 days
before this one. PostgreSQL is a cluster of its own in a temporary directory, reached over a socket in it, with its defaults.
Prints Markdown tables ready for docs/performance.md and writes bench/out/history-<what>.json. Needs target/release/observatory
(`make build`) and, for query, `apt-get install postgresql-15` and `pip install 'psycopg[binary]'`.
"""

import argparse
import contextlib
import datetime
import hashlib
import http.client
import json
import os
import pwd
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from pathlib import Path

import run

POSTGRES = Path(os.environ.get("POSTGRES_BIN", "/usr/lib/postgresql/15/bin"))
TYPES = ("ci_build_completed ci_build_started ci_tests_completed deployment_completed deployment_started "
         "quality_check_completed agent_registered agent_request_started agent_request_completed agent_collaboration "
         "agent_error quality_score_updated quality_gate_passed quality_gate_failed coverage_updated").split()
DAYS = 30
MILLISECONDS = DAYS * 86_400_000
BATCH = 10_000
# So that no query and no prune is at the mercy of a retention that runs on its own.
SETTINGS = {"OBSERVATORY_RETENTION_EVENTS": "off", "OBSERVATORY_LIMITS_BODY_BYTES": str(64 << 20)}
DDL = """
CREATE TABLE events(id bigserial PRIMARY KEY, event_type text NOT NULL, source text NOT NULL,
                    ts timestamptz NOT NULL, data jsonb NOT NULL);
CREATE INDEX events_type_ts ON events(event_type, ts DESC);
"""
MORE_INDEXES = """
CREATE INDEX events_ts ON events(ts);
CREATE INDEX events_source_ts ON events(source, ts);
CREATE INDEX events_data ON events USING gin(data jsonb_path_ops);
"""


def first_day():
    midnight = datetime.datetime.now(datetime.timezone.utc).replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight - datetime.timedelta(days=DAYS)


def events(n, first_ms):
    """Type, source, milliseconds and data (JSON) of n events, the same for the same n."""
    source = random.Random(42)
    for i in range(n):
        r1, r2, r3, r4, r5 = (source.random() for _ in range(5))
        branch = "main" if r4 < 0.7 else f"feature/{int(1000 * r4)}"
        status = "success" if r5 < 0.85 else "failure" if r5 < 0.97 else "cancelled"
        commit = hashlib.md5(str(i).encode()).hexdigest() + hashlib.md5(str(i + 1).encode()).hexdigest()[:8]
        data = (f'{{"repository": "acme/svc-{int(200 * r3)}", "branch": "{branch}", "status": "{status}", '
                f'"duration_seconds": {round(600 * r1 * r2, 3)}, "commit": "{commit}", "build": {i}}}')
        yield TYPES[int(15 * r1 * r1)], f"source-{int(50 * r2)}", first_ms + i * MILLISECONDS // n, data


# === the two sides ===


class Ours:
    """Questions over one connection that is kept."""

    def __init__(self, port):
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)

    def get(self, path, **parameters):
        query = urllib.parse.urlencode(parameters)
        self.connection.request("GET", f"{path}?{query}")
        return self.answer(path)

    def post(self, path, body=b"", kind="application/x-ndjson"):
        self.connection.request("POST", path, body, {"content-type": kind})
        return self.answer(path)

    def answer(self, path):
        answer = self.connection.getresponse()
        body = answer.read()
        if answer.status >= 300:
            sys.exit(f"{path}: {answer.status} {body[:500]}")
        return body


def load_ours(port, n, first_ms, already=0):
    """Sends the events in order, and waits until the journal has merged them; seconds of both."""
    ours = Ours(port)
    lines = []
    sent = 0.0

    def send():
        nonlocal sent
        begun = time.monotonic()
        answer = json.loads(ours.post("/api/v1/events/batch", "\n".join(lines).encode()))
        sent += time.monotonic() - begun
        if answer["accepted"] != len(lines):
            sys.exit(f"loading: {str(answer)[:500]}")
        lines.clear()

    for event_type, source, at, data in events(n, first_ms):
        lines.append(f'{{"event_type":"{event_type}","source":"{source}","timestamp":{at},"data":{data}}}')
        if len(lines) == BATCH:
            send()
    if lines:
        send()
    stored = json.loads(ours.get("/health"))["events"]
    if stored != n + already:
        sys.exit(f"{n + already} events were sent, and {stored} are stored")
    begun = time.monotonic()
    wait_for_merges(port)
    return sent, time.monotonic() - begun


def wait_for_merges(port):
    """Until the number of blocks has not changed for three seconds."""
    blocks, since = None, time.monotonic()
    while time.monotonic() - since < 3:
        # A page is shown again for a second.
        time.sleep(0.3)
        now = run.metric(port, "observatory_store_blocks"), run.metric(port, "observatory_store_sealed_blocks")
        if now != blocks:
            blocks, since = now, time.monotonic()
    return blocks


class Postgres:
    """A cluster of its own, stock configuration, on a socket in its directory."""

    def __init__(self, directory):
        if not (POSTGRES / "initdb").exists():
            sys.exit(f"{POSTGRES}/initdb is missing: apt-get install postgresql-15, or set POSTGRES_BIN")
        self.directory = directory
        self.data = directory / "data"
        self.data.mkdir()
        # initdb refuses to be root.
        self.user = None
        if os.geteuid() == 0:
            self.user = os.environ.get("POSTGRES_USER", "postgres")
            pwd.getpwnam(self.user)
            shutil.chown(directory, self.user)
            shutil.chown(self.data, self.user)
        subprocess.run([POSTGRES / "initdb", "-D", self.data, "-A", "trust", "-U", "bench", "-E", "UTF8", "--locale=C.UTF-8"],
                       check=True, user=self.user, cwd="/", stdout=subprocess.DEVNULL)
        self.start()

    def start(self):
        command = [POSTGRES / "postgres", "-D", self.data, "-c", "listen_addresses=", "-c",
                   f"unix_socket_directories={self.directory}"]
        self.process = subprocess.Popen(command, user=self.user, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(600):
            with contextlib.suppress(Exception):
                self.connect().close()
                return
            time.sleep(0.05)
        sys.exit("PostgreSQL does not start")

    def connect(self):
        import psycopg
        from psycopg.types.json import set_json_loads
        # The text of a row's data is the answer, as it is of ours.
        set_json_loads(bytes)
        return psycopg.connect(host=str(self.directory), user="bench", dbname="postgres", autocommit=True)

    def load(self, n, first_ms):
        started = time.monotonic()
        with self.connect() as connection:
            connection.execute(DDL)
            with connection.cursor().copy("COPY events(event_type, source, ts, data) FROM STDIN") as copy:
                zone = datetime.timezone.utc
                lines = []
                for event_type, source, at, data in events(n, first_ms):
                    when = datetime.datetime.fromtimestamp(at / 1000, zone).isoformat()
                    lines.append(f"{event_type}\t{source}\t{when}\t{data}\n")
                    if len(lines) == BATCH:
                        copy.write("".join(lines))
                        lines.clear()
                copy.write("".join(lines))
            connection.execute("VACUUM (ANALYZE) events")
        return time.monotonic() - started

    def bytes(self):
        with self.connect() as connection:
            return connection.execute("SELECT pg_table_size('events'), pg_total_relation_size('events')").fetchone()

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)


# === questions ===


def questions(first):
    """Name, SQL, path and parameters of ours, how many rows an answer of ours has."""
    day = [(first + datetime.timedelta(days=it)).strftime("%Y-%m-%dT00:00:00Z") for it in (14, 15)]
    in_day = f"ts >= '{day[0]}' AND ts < '{day[1]}'"
    range_of_day = {"since": day[0], "until": day[1]}
    two_sql = "data->>'status'='failure' AND data->>'repository'='acme/svc-17'"
    two = '{status="failure",repository="acme/svc-17"}'
    columns = "id, event_type, source, ts, data"
    per_hour = "SELECT event_type, date_trunc('hour', ts) h, count(*) FROM events"
    events_path, summary = "/api/v1/events", "/api/v1/events/summary"

    def listed(answer):
        return len(answer["events"])

    def grouped(answer):
        if answer["truncated"]:
            sys.exit("a summary was cut")
        return len(answer["groups"])

    by_hour = {"by": "type", "interval": "1h", "limit": 100_000}
    return [
        ("newest 100 of one type", f"SELECT {columns} FROM events WHERE event_type='agent_error' ORDER BY ts DESC LIMIT 100",
         events_path, {"type": "agent_error", "limit": 100}, listed),
        ("newest 100 of all", f"SELECT {columns} FROM events ORDER BY id DESC LIMIT 100", events_path, {"limit": 100}, listed),
        ("count of all", "SELECT count(*) FROM events", summary, {}, grouped),
        ("count per type and hour, everything", f"{per_hour} GROUP BY 1, 2", summary, by_hour, grouped),
        ("count per type and hour, one day", f"{per_hour} WHERE {in_day} GROUP BY 1, 2", summary, by_hour | range_of_day, grouped),
        ("two data fields, one type, one day",
         f"SELECT {columns} FROM events WHERE event_type='ci_build_completed' AND {in_day} AND {two_sql}",
         events_path, {"match": f"ci_build_completed{two}", "limit": 10_000} | range_of_day, listed),
        ("two data fields, all types, one day", f"SELECT {columns} FROM events WHERE {in_day} AND {two_sql}",
         events_path, {"match": f"*{two}", "limit": 10_000} | range_of_day, listed),
        ("two data fields, everything",
         f"""SELECT {columns} FROM events WHERE data @> '{{"status":"failure","repository":"acme/svc-17"}}'""",
         events_path, {"match": f"*{two}", "limit": 10_000}, listed),
        ("p95 of a field by repository, one type, one day",
         "SELECT data->>'repository', percentile_cont(0.95) WITHIN GROUP (ORDER BY (data->>'duration_seconds')::float8)"
         f" FROM events WHERE event_type='ci_build_completed' AND {in_day} GROUP BY 1",
         summary, {"type": "ci_build_completed", "by": "data.repository", "value": "data.duration_seconds"} | range_of_day, grouped),
        ("count by repository and status, everything",
         "SELECT data->>'repository', data->>'status', count(*) FROM events GROUP BY 1, 2",
         summary, {"by": "data.repository,data.status"}, grouped),
    ]


def timed(rounds, ask):
    """Milliseconds of each round but the first, which warms up."""
    res = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        ask()
        res.append((time.perf_counter() - started) * 1000)
    return res[1:]


def check_percentiles(connection, ours, question):
    """What both sides say of the same repositories."""
    _, sql, path, parameters, _ = question
    theirs = dict(connection.execute(sql).fetchall())
    answer = json.loads(ours.get(path, **parameters))
    for row in answer["groups"]:
        found, expected = row["value"]["p95"], theirs[row["group"]["data.repository"]]
        if abs(found - expected) > 1e-9 * max(1, abs(expected)) + (0.005 * expected if row["value"]["approximate"] else 0):
            sys.exit(f"p95 of {row['group']}: {found} here, {expected} there")


def query(options, scratch):
    first = first_day()
    first_ms = int(first.timestamp() * 1000)
    n = options.events
    with run.observatory(scratch / "ours", SETTINGS) as server:
        sent, merged = load_ours(server.port, n, first_ms)
        disk = sum(it.stat().st_size for it in (scratch / "ours").rglob("*") if it.is_file())
        used = sum(it.stat().st_blocks * 512 for it in (scratch / "ours").rglob("*") if it.is_file())
        postgres = Postgres(scratch / "postgres")
        results = {}
        try:
            copied = postgres.load(n, first_ms)
            table, few = postgres.bytes()
            ours = Ours(server.port)
            asked = questions(first)
            for side in ("few", "all"):
                with postgres.connect() as connection:
                    if side == "all":
                        connection.execute(MORE_INDEXES)
                        connection.execute("VACUUM (ANALYZE) events")
                    for name, sql, path, parameters, rows in asked:
                        here = rows(json.loads(ours.get(path, **parameters)))
                        there = len(connection.execute(sql).fetchall())
                        if here != there:
                            sys.exit(f"{name}: {here} rows here, {there} there")
                        row = results.setdefault(name, {"rows": here, "ours": []})
                        row["ours"] += timed(options.rounds, lambda: ours.get(path, **parameters))
                        row[side] = timed(options.rounds, lambda: connection.execute(sql).fetchall())
                    check_percentiles(connection, ours, next(it for it in asked if it[0].startswith("p95")))
            whole = postgres.bytes()[1]
        finally:
            postgres.stop()
        rss = server.rss_bytes()
    print(f"### {n:,} events of {DAYS} days: {len(TYPES)} types, 50 sources, six fields\n")
    print("| milliseconds | rows | observatory | PostgreSQL 15, key and (type, time) | with (time), (source, time) and GIN | ratio |")
    print("|" + "---|" * 6)
    for name, row in results.items():
        best = min(statistics.median(row["few"]), statistics.median(row["all"]))
        cells = [spread(row[it]) for it in ("ours", "few", "all")]
        print(f"| {name} | {row['rows']:,} | {' | '.join(cells)} | {statistics.median(row['ours']) / best:.2f} |")
    print("\nThe ratio is to the faster of the two.\n")
    print("| | observatory | PostgreSQL 15 |\n|---|---|---|")
    print(f"| load | {n / sent:,.0f} events/s in batches of {BATCH:,}, merged {merged:.0f} s later | {n / copied:,.0f} events/s by COPY |")
    print(f"| disk per event | {disk / n:.0f} B ({used / n:.0f} B of blocks) | {table / n:.0f} B, {few / n:.0f} B with two indexes, "
          f"{whole / n:.0f} B with all |")
    print(f"| memory | {rss / 1e6:.0f} MB | - |\n")
    return {"queries": results, "disk": disk, "disk_used": used, "postgres": [table, few, whole], "rss": rss,
            "load_s": sent, "merge_s": merged, "copy_s": copied}


def spread(values):
    form = (lambda it: f"{it:.0f}") if statistics.median(values) >= 100 else (lambda it: f"{it:.1f}")
    return f"{form(statistics.median(values))} ({form(min(values))}-{form(max(values))})"


# === restarts and replays ===


def restart(options, scratch):
    """Start to the first answer of /-/ready, and memory, with many events stored; a replay of one metric."""
    first_ms = int(first_day().timestamp() * 1000)
    n = options.restart_events
    directory = scratch / "restart"
    with run.observatory(directory, SETTINGS) as server:
        load_ours(server.port, n, first_ms)
        loaded = server.rss_bytes()
    rounds = []
    for at in range(options.rounds):
        # In turn after a stop and after a kill.
        with run.observatory(directory, SETTINGS) as server:
            rss = server.rss_bytes()
            stored = json.loads(Ours(server.port).get("/health"))["events"]
            if stored != n:
                sys.exit(f"{n} events were stored, and {stored} are there after a restart")
            rounds.append({"ready_ms": server.start_ms, "rss_mb": rss / 1e6, "after": "stop" if at % 2 == 0 else "kill"})
            if at % 2 == 0:
                server.process.kill()
                server.process.wait()
    replayed = replay(options, directory, n)
    print(f"### A start with {n:,} events stored\n")
    print("| | median | smallest - largest |\n|---|---|---|")
    for title, key, form in (("ready after, ms", "ready_ms", "{:.0f}"), ("RSS when ready, MB", "rss_mb", "{:.0f}")):
        for after in ("stop", "kill"):
            values = [it[key] for it in rounds if it["after"] == after]
            if values:
                text = [form.format(it) for it in (statistics.median(values), min(values), max(values))]
                print(f"| {title}, after a {after} | {text[0]} | {text[1]} - {text[2]} |")
    print(f"| RSS after loading, MB | {loaded / 1e6:.0f} | |")
    if replayed:
        rates = [n / it for it in replayed]
        print(f"| replay of one metric, events/s | {statistics.median(rates):,.0f} | {min(rates):,.0f} - {max(rates):,.0f} |")
    print()
    return {"rounds": rounds, "rss_loaded": loaded, "replay_s": replayed}


def replay(options, directory, n):
    """Seconds of a dry replay of one metric, if this build can."""
    verb = [run.OBSERVATORY, "rules", "replay"]
    if subprocess.run([*verb, "--help"], capture_output=True).returncode != 0:
        print("this build has no `rules replay`: its row is left out\n", file=sys.stderr)
        return []
    res = []
    with run.observatory(directory, SETTINGS) as server:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OBSERVATORY_")}
        command = [*verb, "--metric", "ci_builds_total", "--dry-run", "--json", "--url", f"http://127.0.0.1:{server.port}"]
        for _ in range(options.rounds):
            started = time.monotonic()
            done = subprocess.run(command, capture_output=True, text=True, env=clean)
            res.append(time.monotonic() - started)
            if done.returncode != 0:
                sys.exit(f"rules replay: {done.stderr[-1000:]}")
            seen = json.loads(done.stdout)["events"]
            # The others are not opened: the rule is about one type, the most frequent one.
            if not n / 5 < seen < n / 3:
                sys.exit(f"{n} events are stored, about a quarter is of the type, and the replay saw {seen}")
    return res


# === ingest meanwhile ===


class Meanwhile:
    """Does something again and again on a thread, and counts how often."""

    def __init__(self, work):
        self.work, self.count, self.ended = work, 0, threading.Event()
        self.thread = threading.Thread(target=self.run)

    def run(self):
        while not self.ended.is_set():
            self.work()
            self.count += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def ingest(options, scratch):
    """Single events over 16 connections, alone and beside other work; blocks are merged all the time."""
    run.need("wrk")
    first = first_day()
    body = scratch / "event.json"
    body.write_text(json.dumps(run.event(1), separators=(",", ":")))
    results = {}
    with run.observatory(scratch / "ingest", SETTINGS) as server:
        load_ours(server.port, options.events, int(first.timestamp() * 1000))
        asked = {it[0]: it for it in questions(first)}
        _, _, path, parameters, _ = asked["two data fields, everything"]
        asker, pruner = Ours(server.port), Ours(server.port)
        days = iter(range(DAYS - 1, 1, -1))

        def prune():
            pruner.post(f"/api/v1/maintenance/prune?days={next(days, 1)}")
            time.sleep(1)

        def asking():
            return Meanwhile(lambda: asker.get(path, **parameters))

        can_prune = run.post(server.port, "/api/v1/maintenance/prune?days=365", "text/plain", b"")[0] < 300
        beside = {"alone": [], "beside a full-range query": [asking]}
        if can_prune:
            beside["beside a full-range query and a prune per second"] = [asking, lambda: Meanwhile(prune)]
        else:
            print("this build has no prune: its row is left out\n", file=sys.stderr)
        run.wrk(server.port, body, 1, 16, 1)
        for _ in range(min(options.rounds, 5)):
            for name, works in beside.items():
                with contextlib.ExitStack() as stack:
                    running = [stack.enter_context(it()) for it in works]
                    result = run.wrk(server.port, body, 1, 16, options.seconds)
                results.setdefault(name, []).append(result | {"times": [it.count for it in running]})
    alone = statistics.median(it["p99_ms"] for it in results["alone"])
    print(f"### Single events, 16 connections, {options.events:,} events stored\n")
    print("| | events/s | p50 ms | p99 ms | p99 to alone |\n|---|---|---|---|---|")
    for name, rounds in results.items():
        cells = [spread([it[key] for it in rounds]) for key in ("rps", "p50_ms", "p99_ms")]
        print(f"| {name} | {' | '.join(cells)} | {statistics.median(it['p99_ms'] for it in rounds) / alone:.2f} |")
    print()
    return results


WHAT = {"query": query, "restart": restart, "ingest": ingest}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="?", default="all", choices=[*WHAT, "all"])
    parser.add_argument("--events", type=int, default=2_000_000, help="events of query and ingest (default 2000000)")
    parser.add_argument("--restart-events", type=int, default=10_000_000, help="events of restart (default 10000000)")
    parser.add_argument("--rounds", type=int, default=9, help="measurements of each figure (default 9)")
    parser.add_argument("--seconds", type=int, default=8, help="seconds of load per measurement of ingest (default 8)")
    options = parser.parse_args()
    if options.rounds < 5:
        sys.exit("--rounds: a median needs 5 at least")
    if not Path(run.OBSERVATORY).exists():
        sys.exit(f"{run.OBSERVATORY} is missing: run `make build`")
    out = run.HERE / "out"
    out.mkdir(exist_ok=True)
    print(f"{os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}\n")
    for name in WHAT if options.what == "all" else [options.what]:
        # Beside the checkout's own disk, and open to the user that PostgreSQL runs as.
        with tempfile.TemporaryDirectory(dir=out) as scratch:
            os.chmod(scratch, 0o755)
            (Path(scratch) / "postgres").mkdir()
            results = WHAT[name](options, Path(scratch))
        (out / f"history-{name}.json").write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
