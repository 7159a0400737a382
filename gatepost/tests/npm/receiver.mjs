// A receiver of webhooks over HTTPS, which verifies them with a library and with Node's own Ed25519.
// Arguments: package with the library, file of the certificate and of its key. Prints the port.
// Standard input: a line of JSON with the secret and the public key for the next requests; prints a line when it is set.
// Prints a line of JSON for each request: headers, body, and what was verified. Responds 204 if the library accepts it.
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import { createInterface } from "node:readline";

const [library, certificate, key] = process.argv.slice(2);
const { Webhook } = await import(library);
let settings = {};

function isAccepted(headers, body) {
  try {
    new Webhook(settings.secret).verify(body, headers);
    return true;
  } catch {
    return false;
  }
}

function isSignedWithKey(headers, body) {
  if (!settings.publicKey) return false;
  const x = Buffer.from(settings.publicKey.replace(/^whpk_/, ""), "base64").toString("base64url");
  const publicKey = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const content = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const signatures = headers["webhook-signature"].split(" ").map((signature) => signature.split(","));
  return signatures.some(
    ([kind, text]) => kind === "v1a" && verify(null, content, publicKey, Buffer.from(text, "base64")));
}

const server = createServer({ cert: readFileSync(certificate), key: readFileSync(key) }, async (request, response) => {
  const chunks = [];
  for await (const chunk of request) chunks.push(chunk);
  const body = Buffer.concat(chunks).toString();
  const { headers } = request;
  const [accepted, v1a] = [isAccepted(headers, body), isSignedWithKey(headers, body)];
  console.log(JSON.stringify({ headers, body, accepted, v1a }));
  response.writeHead(accepted ? 204 : 401).end();
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
for await (const line of createInterface({ input: process.stdin })) {
  settings = JSON.parse(line);
  console.log("set");
}
process.exit();
