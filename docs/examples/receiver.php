<?php
// Receives webhooks: responds 204 if the signature is valid and 401 if not. PHP 8.0 or later, no packages.

const TOLERANCE_S = 5 * 60;
const MAX_BODY_BYTES = 1024 * 1024;

function signing_key(): string
{
    $key = base64_decode(preg_replace('/^whsec_/', '', (string) getenv('WEBHOOK_SECRET')), true);
    if ($key === false || $key === '') {
        http_response_code(500);
        exit('set WEBHOOK_SECRET to the secret of the webhook: whsec_…');
    }
    return $key;
}

function is_genuine(string $key, string $body): bool
{
    $id = $_SERVER['HTTP_WEBHOOK_ID'] ?? '';
    $timestamp = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    $signatures = $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '';
    if (abs(time() - (int) $timestamp) > TOLERANCE_S) {
        return false;
    }
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    // Two while the secret is being rotated.
    foreach (explode(' ', $signatures) as $signature) {
        if (hash_equals($expected, $signature)) {
            return true;
        }
    }
    return false;
}

// The signature is that of these bytes: parse them afterwards.
$body = (string) file_get_contents('php://input', length: MAX_BODY_BYTES);
if (!is_genuine(signing_key(), $body)) {
    http_response_code(401);
    exit;
}
$event = json_decode($body, true, flags: JSON_THROW_ON_ERROR);
// Do the work later: a response must come within 15 seconds. A repeated delivery has the same id.
error_log("{$event['id']} {$event['type']}");
http_response_code(204);
