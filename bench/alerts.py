"""From the request that posts an event to the first byte of the notification about it at a webhook.

An event rule looks for the event; each event is of another key, so that each is an alert of its own, and groups do not wait for
company. One after the other, as people's builds fail: what is measured is a latency, not a rate.
"""

import contextlib
import json
import math
import queue
import socket
import statistics
import threading
import time

from run import decimals, event, observatory, post, table

RULE = {
    "name": "Bench",
    "kind": "event",
    "severity": "critical",
    "match": 'bench_probe{state="bad"}',
    "resolve": 'bench_probe{state="good"}',
    "group_by": ["key"],
    "notification_channels": ["hook"],
}
ENVIRONMENT = {
    "OBSERVATORY_NOTIFY_ALLOW_PRIVATE_TARGETS": "true",
    # Otherwise all but the first of the rule would wait for this.
    "OBSERVATORY_NOTIFY_GROUP_INTERVAL": "0s",
}
# Alerts of a round.
ALERTS = 400
# Events of others in a request, and requests per second, in the second measurement.
OTHERS = (100, 10)


class Sink:
    """A webhook: answers 200 and tells when the first byte of each request was there."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.came = queue.SimpleQueue()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=self.listener.accept()[:1], daemon=True).start()

    def serve(self, stream):
        buffer, at = b"", None
        with stream, contextlib.suppress(OSError):
            while chunk := stream.recv(1 << 16):
                at = at or time.monotonic()
                buffer += chunk
                head, ends, body = buffer.partition(b"\r\n\r\n")
                length = [it for it in head.lower().split(b"\r\n") if it.startswith(b"content-length:")]
                if not ends or len(body) < int(length[0].split(b":")[1]):
                    continue
                stream.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
                self.came.put((at, json.loads(body)))
                buffer, at = b"", None

    def close(self):
        self.listener.close()


class Poster:
    """A connection that is kept."""

    def __init__(self, port):
        self.stream = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def post(self, body):
        """Seconds until the answer, which must be 202."""
        head = f"POST /api/v1/events HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        began = time.monotonic()
        self.stream.sendall(head.encode() + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += self.stream.recv(1 << 16)
        took = time.monotonic() - began
        if not answer.startswith(b"HTTP/1.1 202"):
            raise SystemExit(f"an event was refused: {answer[:500]}")
        head, _, rest = answer.partition(b"\r\n\r\n")
        length = int(next(it for it in head.lower().split(b"\r\n") if it.startswith(b"content-length:")).split(b":")[1])
        while len(rest) < length:
            rest += self.stream.recv(1 << 16)
        return began, took


def load_others(port, stopping):
    """Events that no alert rule looks for."""
    events, rate = OTHERS
    lines = "\n".join(json.dumps(event(at) | {"event_type": "bench_other"}) for at in range(events)).encode()
    poster = None
    while not stopping.wait(1 / rate):
        poster = poster or Poster(port)
        poster.post(lines)


def create(port, path, body):
    status, _, said = post(port, f"/api/v1/monitoring/{path}", "application/json", json.dumps(body).encode())
    if status != 201:
        raise SystemExit(f"{path}: {status} {said[:500]}")


def tell(server, sink):
    """Posts events one after the other; milliseconds from each to its answer and to its notification."""
    create(server.port, "notification-channels",
           {"name": "hook", "type": "webhook", "config": {"url": f"http://127.0.0.1:{sink.port}/"}})
    create(server.port, "alert-rules", RULE)
    poster = Poster(server.port)
    answers, notices = [], []
    for key in range(ALERTS + 20):
        data = {"key": str(key), "state": "bad"}
        body = json.dumps({"event_type": "bench_probe", "source": "bench", "data": data}).encode()
        began, took = poster.post(body)
        at, said = sink.came.get(timeout=30)
        told = [it["labels"]["key"] for it in said["data"]["alerts"]]
        if told != [str(key)]:
            raise SystemExit(f"the alert of {key} was to be told, and it was {told}")
        # The first ones find pages and connections that are not there yet.
        if key >= 20:
            answers.append(took * 1000)
            notices.append((at - began) * 1000)
        time.sleep(0.005)
    return answers, notices


def quantile(values, q):
    return sorted(values)[math.ceil(q * len(values)) - 1]


def measure(options, scratch):
    results = {}
    for name, beside in (("alone", False), (f"beside {OTHERS[0] * OTHERS[1]:,} other events/s", True)):
        results[name] = []
        for at in range(options.rounds):
            sink, stopping = Sink(), threading.Event()
            with observatory(scratch / f"alerts-{beside}-{at}", ENVIRONMENT) as ours:
                load = threading.Thread(target=load_others, args=(ours.port, stopping))
                if beside:
                    load.start()
                answers, notices = tell(ours, sink)
                stopping.set()
                if beside:
                    load.join()
            sink.close()
            results[name].append({
                "p50_ms": statistics.median(notices), "p99_ms": quantile(notices, 0.99), "max_ms": max(notices),
                "answer_p50_ms": statistics.median(answers), "answer_p99_ms": quantile(answers, 0.99),
            })
    print(f"### Event to first byte at a webhook ({ALERTS} alerts of an event rule, one after the other)\n")
    table(results, [("p99 ms", "p99_ms", decimals), ("p50 ms", "p50_ms", decimals), ("max ms", "max_ms", decimals),
                    ("202 p50 ms", "answer_p50_ms", decimals), ("202 p99 ms", "answer_p99_ms", decimals)], "alone")
    return results
