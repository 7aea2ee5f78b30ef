// Sends requests as JavaScript does. In: a request a line, as JSON. Out: an answer a line.

import { createInterface } from "node:readline";

for await (const line of createInterface({ input: process.stdin })) {
  const { method, url, headers, body } = JSON.parse(line);
  const response = await fetch(url, { method, headers, body: body || undefined });
  const kind = response.headers.get("Content-Type");
  console.log(JSON.stringify({ code: response.status, kind, body: await response.text() }));
}
