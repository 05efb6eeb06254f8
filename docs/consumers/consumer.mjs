// A subscriber in Node, with nothing but its standard library: verifies, then credits each order once.
//
//     SECRET=whsec_… PORT=9002 DATABASE=credits.json node consumer.mjs
//
// Credits live in a file here, written whole before we answer; in your service they are a table with
// PRIMARY KEY (namespace, orderid), and `take` is one INSERT … ON CONFLICT DO UPDATE … WHERE version < excluded.version.

import { createHmac, timingSafeEqual } from "node:crypto";
import { existsSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";

const key = Buffer.from(process.env.SECRET.replace(/^whsec_/, ""), "base64");
const file = process.env.DATABASE ?? "credits.json";
const toleranceS = 300;

const credits = new Map(existsSync(file) ? JSON.parse(readFileSync(file, "utf8")) : []);

// Whether one of the signatures fits the raw bytes, and the attempt is not old.
function verified(headers, body) {
  const sentAt = headers["webhook-timestamp"] ?? "";
  if (!/^\d+$/.test(sentAt) || Math.abs(Date.now() / 1000 - Number(sentAt)) > toleranceS) return false;
  const signed = Buffer.concat([Buffer.from(`${headers["webhook-id"]}.${sentAt}.`), body]);
  const expected = Buffer.from("v1," + createHmac("sha256", key).update(signed).digest("base64"));
  return (headers["webhook-signature"] ?? "")
    .split(" ")
    .map((one) => Buffer.from(one))
    .some((one) => one.length === expected.length && timingSafeEqual(one, expected));
}

// Set an order's credit to what its newest version says: repeats and latecomers change nothing.
function take({ type, data }) {
  if (!type.startsWith("recharge.")) return;
  const order = JSON.stringify([data.namespace, data.orderid]);
  if ((credits.get(order)?.version ?? -1) >= data.order_version) return;
  credits.set(order, { user: data.user_ref, version: data.order_version, micros: data.credited_micros });
  writeFileSync(`${file}.new`, JSON.stringify([...credits]), { flush: true });
  renameSync(`${file}.new`, file);
}

createServer(async (request, response) => {
  if (request.method === "GET") {
    const told = [...credits].map(([order, { micros }]) => [JSON.parse(order)[1], micros]);
    return response.end(JSON.stringify(Object.fromEntries(told)));
  }
  const parts = [];
  for await (const part of request) parts.push(part);
  const body = Buffer.concat(parts);
  if (!verified(request.headers, body)) return response.writeHead(401).end();
  try {
    take(JSON.parse(body));
    response.writeHead(204).end();
  } catch {
    response.writeHead(500).end(); // we are told again
  }
}).listen(Number(process.env.PORT ?? 9002), "127.0.0.1");
