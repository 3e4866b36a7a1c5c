"""The first call of a process does not hold up the event loop: others may stream on it already."""

from __future__ import annotations

import subprocess
import sys

FIRST_CALL = """
import asyncio, sys, time
import anyio
import millstream as ms

model = ms.provider("compatible:x", base_url="https://127.0.0.1:9/v1", retry=None)
assert "httpx2" not in sys.modules  # who makes a provider and calls it later, or never, does not pay now
steps = []
run = asyncio.Handle._run

def measured(handle):
    began = time.thread_time()
    run(handle)
    steps.append(time.thread_time() - began)

async def main():
    asyncio.Handle._run = measured
    await asyncio.sleep(0)  # what is measured begins with the next step
    for _ in range(2):
        try:
            await model.generate_text("Hi")
        except ms.ConnectionFailed:
            continue
        raise SystemExit("somebody listens on port 9")

anyio.run(main)
assert "httpx2" in sys.modules
print(max(steps))
"""


def test_the_first_call_imports_and_reads_certificates_beside_the_event_loop() -> None:
    """It took 50 ms of processor time in one step, and 150 ms with TLS. The 20 ms are those of the faults (I6)."""
    assert any(longest_step() < 0.020 for _ in range(5)), "what else the machine does only adds to it"


def longest_step() -> float:
    done = subprocess.run([sys.executable, "-c", FIRST_CALL], capture_output=True, text=True, check=False, timeout=50)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)
