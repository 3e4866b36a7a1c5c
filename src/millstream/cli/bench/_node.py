"""eventsource-parser, the parser of the browser's world, in a process of node that measures itself."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, cast

from millstream.cli.bench._measure import Contender, Work

__all__ = ["eventsource_parser"]

PACKAGE = "eventsource-parser"
FOLDER = "MILLSTREAM_NODE_MODULES"  # names a folder with node_modules; by default the current one

# Times are CPU times, as of the others; node's own threads, which compile and collect, are in them.
SCRIPT = """
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { createParser } from "eventsource-parser";
const body = readFileSync(process.argv[1]);
const size = Number(process.argv[2]);
const chunks = [];
for (let at = 0; at < body.length; at += size) chunks.push(body.subarray(at, at + size));
function read(onEvent) {
  const decoder = new TextDecoder();
  const parser = createParser({ onEvent });
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
}
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "answer") {
    const found = [];
    read(({ event, data }) => found.push([event ?? "message", data]));
    console.log(JSON.stringify(found));
  } else {
    let n = 0;
    const began = process.cpuUsage();
    for (let i = 0; i < Number(line); i++) read(() => { n++; });
    const { user, system } = process.cpuUsage(began);
    console.log(JSON.stringify((user + system) / 1e6 / Number(line)));
  }
}
"""
AT_ONCE = 50  # a single run is too short for node's clock of microseconds, and for its compiler


class _Contender(Contender):
    """Needs a program and its package in place of modules."""

    def missing(self) -> list[str]:
        node = shutil.which("node")
        if node is None:
            return ["node"]
        probe = [node, "--input-type=module", "--eval", f'await import("{PACKAGE}")']
        try:
            subprocess.run(probe, cwd=_folder(), capture_output=True, check=True)  # noqa: S603
        except (OSError, subprocess.CalledProcessError):
            return [f"npm's {PACKAGE} (in the current folder, or where {FOLDER} says)"]
        return []


def eventsource_parser(chunks: Sequence[bytes]) -> Contender:
    """Return the contender for `chunks`, which have all the size of the first one but for the last."""
    return _Contender(f"{PACKAGE}, node", lambda: _work(chunks), package=PACKAGE)


def _folder() -> str:
    return os.environ.get(FOLDER) or os.curdir


def _work(chunks: Sequence[bytes]) -> Work:
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(b"".join(chunks))
    command = ["node", "--input-type=module", "--eval", SCRIPT, file.name, str(len(chunks[0]))]
    process = subprocess.Popen(  # noqa: S603
        command, cwd=_folder(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    to, back = cast("IO[str]", process.stdin), cast("IO[str]", process.stdout)

    def ask(words: str) -> Any:
        to.write(words + "\n")
        to.flush()
        return json.loads(back.readline())

    def close() -> None:
        process.communicate()
        Path(file.name).unlink()

    return Work(lambda: float(ask(str(AT_ONCE))), lambda: [tuple(one) for one in ask("answer")], close)
