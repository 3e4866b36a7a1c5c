// Asks a URL as `useChat` does, through DefaultChatTransport: `node chat_transport.mjs URL`. Prints {message, finish}.

import { DefaultChatTransport, readUIMessageStream } from "ai";

const transport = new DefaultChatTransport({ api: process.argv[2] });
const user = { id: "u1", role: "user", parts: [{ type: "text", text: "Hi" }] };
const stream = await transport.sendMessages({ chatId: "c", trigger: "submit-message", messages: [user] });
const [first, second] = stream.tee();
let message = null;
for await (const state of readUIMessageStream({ stream: first, terminateOnError: true })) message = state;
let finish = null;
for await (const chunk of second) if (chunk.type === "finish") finish = chunk;
console.log(JSON.stringify({ message, finish }));
