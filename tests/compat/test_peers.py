"""The suites of the libraries themselves, from their source distributions, with ours in the place of what they test.

`make peers` sets up what this needs: environments of their own (their pytest plugins would disturb our suite, and
LiteLLM wants another version of the OpenAI client), and the source distributions, in a cache outside the repository.
Without them: skipped, or failed with MILLSTREAM_REQUIRE_PEERS=1.
"""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
from pathlib import Path

import pytest

import millstream

HERE = Path(__file__).parent
SRC = Path(millstream.__file__).parents[1]
VENVS = Path(os.environ.get("MILLSTREAM_PEER_VENVS", HERE.parents[1] / ".venv"))
SDISTS = Path(os.environ.get("MILLSTREAM_PEER_SDISTS", Path.home() / ".cache" / "millstream" / "sdists"))

pytestmark = pytest.mark.timeout(300)

# library -> (sdist, how many tests pass, what is run)
SUITES = {
    "httpx_sse": ("httpx_sse-0.4.3", 59, ["tests"]),
    "openai": ("openai-3.52.0", 63, ["tests/test_streaming.py"]),
    "anthropic": ("anthropic-2.11.0", 51, ["-p", "tests._alias_httpx", "tests/test_streaming.py", "tests/decoders"]),
}
MORE = {  # beyond what the issue asks for: framing, and the helpers that parse JSON
    "openai": ("openai-3.52.0", 74, ["tests/test_sse_framing.py", "tests/test_stream_mode.py"]),
    "anthropic": ("anthropic-2.11.0", 82, ["-p", "tests._alias_httpx", "tests/lib/streaming"]),
}


def needed(path: Path) -> Path:
    if path.exists():
        return path
    message = f"{path} is missing: run `make peers`"
    if os.environ.get("MILLSTREAM_REQUIRE_PEERS") == "1":
        pytest.fail(message + " (MILLSTREAM_REQUIRE_PEERS=1)")
    pytest.skip(message)


def run(venv: str, *args: str, cwd: Path, **env: str) -> str:
    python = needed(VENVS / venv / "bin" / "python")
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *args],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": f"{SRC}:{HERE / 'peers'}", "PYTHONDONTWRITEBYTECODE": "1", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sdists")

    def unpack(name: str) -> Path:
        if not (folder / name).exists():
            with tarfile.open(needed(SDISTS / f"{name}.tar.gz")) as archive:
                archive.extractall(folder, filter="data")
        return folder / name

    return unpack


@pytest.mark.parametrize(
    ("library", "sdist", "n", "args"),
    [pytest.param(lib, *suite, id=f"{lib}-{suite[1]}") for table in (SUITES, MORE) for lib, suite in table.items()],
)
def test_their_own_suite_passes(unpacked, library, sdist, n, args):
    said = run("peers", "-o", "addopts=", "-p", "in_place", *args, cwd=unpacked(sdist), PEER=library)
    assert re.search(rf"^{n} passed", said, re.MULTILINE), said[-2000:]
    # That it passed proves something only if ours was at work.
    used = re.search(r"^millstream parsers: (\d+)", said, re.MULTILINE)
    assert used
    assert int(used[1]) >= 10 or "tests/lib/streaming" in args


@pytest.mark.parametrize(
    ("venv", "cases", "at_least"),
    [
        ("peers", "clients_cases.py", 36),
        ("peers", "langchain_cases.py", 8),
        ("peers", "pydantic_ai_cases.py", 4),
        ("litellm", "litellm_cases.py", 3),
    ],
)
def test_adapters_with_the_real_libraries(venv, cases, at_least):
    options = ["--noconftest", "-c", os.devnull, f"--rootdir={HERE}", "--import-mode=importlib", "-p", "no:asyncio"]
    strict = [] if venv == "litellm" else ["-W", "error"]  # LiteLLM itself warns
    said = run(venv, *options, *strict, str(HERE / "peers" / cases), cwd=HERE)
    assert int(re.search(r"(\d+) passed", said)[1]) >= at_least
