// Receives webhooks: responds 204 if the signature is valid and 401 if not. Node 18 or later, no packages.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { createServer } from 'node:http';

const TOLERANCE_S = 5 * 60;
const MAX_BODY_BYTES = 1024 * 1024;

const key = Buffer.from((process.env.WEBHOOK_SECRET ?? '').replace(/^whsec_/, ''), 'base64');
if (key.length === 0) throw new Error('set WEBHOOK_SECRET to the secret of the webhook: whsec_…');

function isGenuine(headers, body) {
  const id = headers['webhook-id'] ?? '';
  const timestamp = headers['webhook-timestamp'] ?? '';
  const signatures = headers['webhook-signature'] ?? '';
  const isRecent = Math.abs(Date.now() / 1000 - Number(timestamp)) <= TOLERANCE_S;
  const hmac = createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body);
  const expected = Buffer.from(`v1,${hmac.digest('base64')}`);
  // Two while the secret is being rotated.
  const isSigned = signatures.split(' ').some((signature) => {
    const given = Buffer.from(signature);
    return given.length === expected.length && timingSafeEqual(given, expected);
  });
  return isRecent && isSigned;
}

async function readBody(request) {
  const chunks = [];
  let length = 0;
  for await (const chunk of request) {
    length += chunk.length;
    if (length <= MAX_BODY_BYTES) chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

const server = createServer(async (request, response) => {
  try {
    // The signature is that of these bytes: parse them afterwards.
    const body = await readBody(request);
    if (!isGenuine(request.headers, body)) return response.writeHead(401).end();
    const event = JSON.parse(body);
    // Do the work later: a response must come within 15 seconds. A repeated delivery has the same id.
    console.log(event.id, event.type);
    response.writeHead(204).end();
  } catch (error) {
    console.error(error);
    response.destroy();
  }
});
server.listen(Number(process.env.PORT ?? 8080), '127.0.0.1');
