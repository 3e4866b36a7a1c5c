// Comes back to a chat as `useChat({ resume: true })` does: `node chat_reconnect.mjs API CHAT`.
// Prints {message}: what is under way, read to its end, or null.

import { DefaultChatTransport, readUIMessageStream } from "ai";

const [api, chatId] = process.argv.slice(2);
const stream = await new DefaultChatTransport({ api }).reconnectToStream({ chatId });
let message = null;
if (stream) for await (const state of readUIMessageStream({ stream, terminateOnError: true })) message = state;
console.log(JSON.stringify({ message }));
