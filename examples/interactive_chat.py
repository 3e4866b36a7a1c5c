"""Interactive chat: a conversation on the terminal, until the user says "exit"."""

import os
import sys

import anyio

import millstream as ms


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    chat = ms.Conversation(model, system="You are a helpful assistant. Be concise.", max_tokens=500)
    print("You: ", end="", flush=True)
    for said in ms.providers.user_inputs(sys.stdin):
        print("Assistant: ", end="", flush=True)
        try:
            async with chat.say(said) as events:
                async for event in events:
                    if isinstance(event, ms.TextDelta):
                        print(event.text, end="", flush=True)
        except ms.StreamError as error:  # this turn has failed and was taken back; the next one may not
            print(f"\n[{error}]", end="")
        print("\nYou: ", end="", flush=True)
    print(f"\n[{len(chat.messages)} messages]")


anyio.run(main)
