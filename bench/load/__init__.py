"""Thousands of streams at once: what each costs, how it behaves at and beyond its limit, and whether anything is lost.

`make load`, or `python -m bench.load`. Which file does what:

- `wire.py`: the bytes of an event, whose it is, and the check that every one arrives once.
- `generator.py`: a server in a process of its own that writes those bytes, on uvloop, with as little else as possible.
- `clients.py`, `consumer.py`: each HTTP client as a row, in a process of its own, on the other core.
- `served.py`, `reader.py`: the other direction, events served to readers.
- `soak.py`: many events and many short streams, each checked.
- `machine.py`, `report.py`, `__main__.py`: cores, limits and memory; tables; the order of things.
"""
