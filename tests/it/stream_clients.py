"""Reads the live stream with clients that others wrote, in CONNECTIONS connections of COUNT events each.

Each begins behind the last event of the one before. Prints the number of every event.

    stream_clients.py sse|websockets ADDRESS CONNECTIONS COUNT
"""

import json
import sys
import urllib.request

import sseclient
from websockets.sync.client import connect


def with_sse(address, last, count):
    request = urllib.request.Request(f"http://{address}/api/v1/stream")
    request.add_header("Accept", "text/event-stream")
    request.add_header("Last-Event-ID", str(last))
    with urllib.request.urlopen(request, timeout=30) as response:
        for event in sseclient.SSEClient(response).events():
            if event.event != "event":
                continue
            yield int(event.id), json.loads(event.data)
            count -= 1
            if count == 0:
                return


def with_websockets(address, last, count):
    # With a full queue this client reads no goodbye, and waits ten seconds for it.
    with connect(f"ws://{address}/api/v1/ws?since={last}", max_queue=None) as socket:
        while count:
            message = json.loads(socket.recv(timeout=30))
            if "event" not in message:
                continue
            yield message["seq"], message["event"]
            count -= 1


def main():
    kind, address, connections, count = sys.argv[1:]
    read = {"sse": with_sse, "websockets": with_websockets}[kind]
    last = 0
    for _ in range(int(connections)):
        for seq, event in read(address, last, int(count)):
            assert event["sequence"] == seq, event
            last = seq
            print(event["data"]["n"])


main()
