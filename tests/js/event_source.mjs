// Asks the service of examples/answers, and follows the answer to its end as a browser would: `node event_source.mjs URL`.
// Prints {text, connections, ids}.

import { EventSource } from "eventsource";

const url = process.argv[2];
const { id } = await (await fetch(`${url}answers?question=hi`, { method: "POST" })).json();
const events = new EventSource(`${url}answers/${id}`);
const ids = [];
let text = "";
let connections = 0;
events.addEventListener("open", () => connections++);
events.addEventListener("message", (message) => {
  const event = JSON.parse(message.data);
  ids.push(message.lastEventId);
  if (event.type === "text_delta") text += event.text;
  if (event.type === "finish") {
    events.close();
    console.log(JSON.stringify({ text, connections, ids }));
  }
});
