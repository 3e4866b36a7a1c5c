// Reads UI message streams as a browser does, with each major version of the AI SDK: `node ui_message.mjs URL...`.
// Prints one JSON line per URL and SDK: {sdk, header, chunks, message, errors, invalid}.
// v5 and v6 are old on purpose: their schemas refuse members that they do not know, which later ones let through.

const sdks = { v5: await import("ai-v5"), v6: await import("ai-v6"), v7: await import("ai") };

async function read(sdk, url) {
  const ai = sdks[sdk];
  const response = await fetch(url);
  const [first, second] = response.body.tee();
  const chunks = [];
  const invalid = [];
  for await (const result of ai.parseJsonEventStream({ stream: first, schema: ai.uiMessageChunkSchema })) {
    if (result.success) chunks.push(result.value);
    else invalid.push(String(result.error));
  }
  const errors = [];
  const stream = ai
    .parseJsonEventStream({ stream: second, schema: ai.uiMessageChunkSchema })
    .pipeThrough(new TransformStream({ transform: (result, controller) => controller.enqueue(result.value) }));
  let message = null;
  const onError = (error) => errors.push(error.message);
  for await (const state of ai.readUIMessageStream({ stream, onError })) message = state;
  return { sdk, header: response.headers.get("x-vercel-ai-ui-message-stream"), chunks, message, errors, invalid };
}

for (const url of process.argv.slice(2))
  for (const sdk of Object.keys(sdks)) console.log(JSON.stringify(await read(sdk, url)));
