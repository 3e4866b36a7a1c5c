// Reads with the official OpenAI SDK: `node openai.mjs chat|responses BASE_URL...`.
// Prints one JSON line per URL: {final} as the SDK accumulated it, or {error}.

import OpenAI from "openai";

const readers = {
  chat: (client) =>
    client.chat.completions
      .stream({ model: "m", messages: [{ role: "user", content: "Hi" }], stream_options: { include_usage: true } })
      .finalChatCompletion(),
  responses: (client) => client.responses.stream({ model: "m", input: "Hi" }).finalResponse(),
};

const [kind, ...urls] = process.argv.slice(2);
for (const baseURL of urls) {
  try {
    const final = await readers[kind](new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 }));
    console.log(JSON.stringify({ final }));
  } catch (error) {
    console.log(JSON.stringify({ error: { name: error.constructor.name, message: error.message, code: error.code } }));
  }
}
