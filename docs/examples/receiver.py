"""Receives webhooks: responds 204 if the signature is valid and 401 if not. Python 3.8 or later, no packages."""

import base64
import hashlib
import hmac
import json
import os
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE_S = 5 * 60
MAX_BODY_BYTES = 1024 * 1024

KEY = base64.b64decode(os.environ.get("WEBHOOK_SECRET", "").partition("whsec_")[2], validate=True)
if not KEY:
    raise SystemExit("set WEBHOOK_SECRET to the secret of the webhook: whsec_…")


def is_genuine(headers, body):
    event_id = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    signatures = headers.get("webhook-signature", "")
    try:
        is_recent = abs(int(time.time()) - int(timestamp)) <= TOLERANCE_S
    except ValueError:
        return False
    signed = f"{event_id}.{timestamp}.".encode("latin-1") + body
    expected = b"v1," + base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest())
    # Two while the secret is being rotated.
    given = (signature.encode("latin-1") for signature in signatures.split(" "))
    return is_recent and any(hmac.compare_digest(expected, signature) for signature in given)


class Receiver(BaseHTTPRequestHandler):
    timeout = 15

    def do_POST(self):
        # The signature is that of these bytes: parse them afterwards.
        length = int(self.headers.get("content-length", "0"))
        body = self.rfile.read(max(0, min(length, MAX_BODY_BYTES)))
        if not is_genuine(self.headers, body):
            self.respond(401)
            return
        event = json.loads(body)
        # Do the work later: a response must come within 15 seconds. A repeated delivery has the same id.
        print(event["id"], event["type"], flush=True)
        self.respond(204)

    def respond(self, status):
        self.send_response(status)
        self.end_headers()


ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8080"))), Receiver).serve_forever()
