<?php
// A subscriber in PHP, with nothing but its standard library: verifies, then credits each order once.
//
//     SECRET=whsec_… DATABASE=credits.db php -S 127.0.0.1:9003 consumer.php

const TOLERANCE_S = 300;

// Whether one of the signatures fits the raw bytes, and the attempt is not old.
function verified(string $body): bool
{
    $key = base64_decode(preg_replace('/^whsec_/', '', getenv('SECRET')));
    $sentAt = $_SERVER['HTTP_WEBHOOK_TIMESTAMP'] ?? '';
    if (!ctype_digit($sentAt) || abs(time() - (int) $sentAt) > TOLERANCE_S) {
        return false;
    }
    $signed = ($_SERVER['HTTP_WEBHOOK_ID'] ?? '') . '.' . $sentAt . '.' . $body;
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', $signed, $key, true));
    foreach (explode(' ', $_SERVER['HTTP_WEBHOOK_SIGNATURE'] ?? '') as $offered) {
        if (hash_equals($expected, $offered)) {
            return true;
        }
    }
    return false;
}

// Set an order's credit to what its newest version says: repeats and latecomers change nothing.
function take(PDO $database, array $event): void
{
    if (!str_starts_with($event['type'], 'recharge.')) {
        return;
    }
    $data = $event['data'];
    $database->prepare(
        'INSERT INTO credits VALUES (?, ?, ?, ?, ?) ON CONFLICT (namespace, orderid) DO UPDATE
         SET version = excluded.version, micros = excluded.micros WHERE excluded.version > credits.version'
    )->execute([$data['namespace'], $data['orderid'], $data['user_ref'], $data['order_version'], $data['credited_micros']]);
}

$database = new PDO('sqlite:' . (getenv('DATABASE') ?: 'credits.db'));
$database->exec('CREATE TABLE IF NOT EXISTS credits (
    namespace TEXT, orderid TEXT, user_ref TEXT, version INTEGER, micros INTEGER, PRIMARY KEY (namespace, orderid))');

if ($_SERVER['REQUEST_METHOD'] === 'GET') {
    $rows = $database->query('SELECT orderid, micros FROM credits')->fetchAll(PDO::FETCH_KEY_PAIR);
    echo json_encode((object) array_map('intval', $rows));
    return;
}
$body = file_get_contents('php://input');
if (!verified($body)) {
    http_response_code(401);
    return;
}
take($database, json_decode($body, true, 64, JSON_THROW_ON_ERROR)); // whatever it throws is a failure, and we are told again
http_response_code(204);
