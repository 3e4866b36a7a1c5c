"""A structured object: a typed value that grows while the model writes it."""

import os

import anyio
import msgspec

import millstream as ms


class City(msgspec.Struct):  # or a pydantic model, a dataclass, a TypedDict
    city: str
    population: int
    tags: list[str]


async def main() -> None:
    model = ms.provider(os.environ.get("MODEL", "openai:gpt-5.1"), base_url=os.environ.get("BASE_URL"))
    async with model.stream_object("Describe a city of your choice.", City) as objects:
        async for partial in objects.partials(typed=True):
            print(partial)
        city = await objects.final()  # whole and validated
    print(f"{city.city} has {city.population} people and {len(city.tags)} tags.")


anyio.run(main)
