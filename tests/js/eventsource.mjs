// Parses files of server-sent events, whole and byte by byte: `node eventsource.mjs FILE...`.
// Prints one JSON line per file: {whole, bytewise}, each [event, id, data] per message and the errors.

import { readFileSync } from "node:fs";
import { createParser } from "eventsource-parser";

function read(chunks) {
  const messages = [];
  const errors = [];
  const decoder = new TextDecoder();
  const parser = createParser({
    onEvent: ({ event, id, data }) => messages.push([event ?? "message", id ?? null, data]),
    onError: (error) => errors.push(String(error)),
  });
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return { messages, errors };
}

for (const file of process.argv.slice(2)) {
  const body = readFileSync(file);
  const bytes = Array.from(body, (_, at) => body.subarray(at, at + 1));
  console.log(JSON.stringify({ whole: read([body]), bytewise: read(bytes) }));
}
