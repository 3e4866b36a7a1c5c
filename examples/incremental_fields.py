"""Incremental fields: work with each field of an object as soon as it is complete."""

import os
from typing import TypedDict

import anyio

import millstream as ms


class City(TypedDict):
    city: str
    population: int
    tags: list[str]


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    async with model.stream_object("Describe a city of your choice.", City) as objects:
        async for name, value in objects.fields():
            match name, value:
                case "city", str():
                    print("looking for", value)
                case "population", int():
                    print(f"{value:,} people")
                case "tags", list():
                    print("tags:", ", ".join(value))
        print(await objects.final())


anyio.run(main)
