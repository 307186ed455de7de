"""Reads the sockets of an agent mesh with a client that others wrote, and prints what they send, one JSON a line.

    mesh_clients.py ADDRESS PATH COUNT [HEADER=VALUE]
"""

import json
import sys

from websockets.sync.client import connect


def main():
    address, path, count = sys.argv[1:4]
    headers = dict(it.split("=", 1) for it in sys.argv[4:])
    with connect(f"ws://{address}{path}", additional_headers=headers, max_queue=None) as socket:
        left = int(count)
        while left:
            message = json.loads(socket.recv(timeout=30))
            if message["type"] == "heartbeat":
                continue
            print(json.dumps(message), flush=True)
            left -= 1


main()
