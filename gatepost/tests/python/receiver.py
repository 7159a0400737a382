"""A receiver of webhooks over HTTPS, which verifies them with a library and with Ed25519 of `cryptography`.

Arguments: module with the library, file of the certificate and of its key. Prints the port.
Standard input: a line of JSON with the secret and the public key for the next requests; prints a line when it is set.
Prints a line of JSON for each request: headers, body, and what was verified. Responds 204 if the library accepts it.
"""

import base64
import http.server
import importlib
import json
import ssl
import sys
import threading

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

module, certificate, key = sys.argv[1:]
library = importlib.import_module(module)
settings = {}


def is_accepted(headers, body):
    try:
        library.Webhook(settings["secret"]).verify(body, headers)
        return True
    except library.WebhookVerificationError:
        return False


def is_signed_with_key(headers, body):
    if not settings.get("publicKey"):
        return False
    public_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(settings["publicKey"].removeprefix("whpk_")))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return any(is_valid(public_key, signature, content) for signature in headers["webhook-signature"].split(" "))


def is_valid(public_key, signature, content):
    kind, text = signature.split(",")
    try:
        public_key.verify(base64.b64decode(text), content)
        return kind == "v1a"
    except InvalidSignature:
        return False


class Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        accepted, v1a = is_accepted(headers, body), is_signed_with_key(headers, body)
        print(json.dumps({"headers": headers, "body": body.decode(), "accepted": accepted, "v1a": v1a}), flush=True)
        self.send_response(204 if accepted else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(server.server_address[1], flush=True)
for line in sys.stdin:
    settings = json.loads(line)
    print("set", flush=True)
