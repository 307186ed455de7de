"""Verifies signed webhooks with the reference library: lines of JSON with secret, headers and body; prints each type."""
import json
import sys

from standardwebhooks import Webhook

for line in sys.stdin:
    request = json.loads(line)
    Webhook(request["secret"]).verify(request["body"], request["headers"])
    print(json.loads(request["body"])["type"], flush=True)
