// Verifies webhook requests with an independent implementation.
// Standard input: a JSON array of {secret, headers, body}. Exits with 1 at the first invalid request.
import { Webhook } from "standardwebhooks";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const requests = JSON.parse(input);
for (const { secret, headers, body } of requests) new Webhook(secret).verify(body, headers);
console.log(`${requests.length} verified`);
