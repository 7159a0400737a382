// Counts the webhook requests whose v1a signature is valid, with Node's own Ed25519.
// Standard input: a JSON array of {secret, headers, body}, where the secret is a public key (whpk_…).
import { createPublicKey, verify } from "node:crypto";

function isSigned({ secret, headers, body }) {
  const x = Buffer.from(secret.replace(/^whpk_/, ""), "base64").toString("base64url");
  const key = createPublicKey({ key: { kty: "OKP", crv: "Ed25519", x }, format: "jwk" });
  const content = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const signatures = headers["webhook-signature"].split(" ").map((signature) => signature.split(","));
  return signatures.some(([kind, text]) => kind === "v1a" && verify(null, content, key, Buffer.from(text, "base64")));
}

let input = "";
for await (const chunk of process.stdin) input += chunk;
console.log(JSON.parse(input).filter(isSigned).length);
