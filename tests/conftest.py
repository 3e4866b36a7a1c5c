"""Guards and settings for all tests: fresh binaries, hypothesis profiles, the shared folder."""

from __future__ import annotations

import importlib.util
import os
import signal
import sysconfig
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
CORE = ROOT / "src" / "millstream" / "core"

pytest_plugins = ["faults.plugin"]

settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    max_examples=int(os.environ.get("MILLSTREAM_HYPOTHESIS_EXAMPLES", "200")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")

# A shell starts what it runs in the background with SIGINT ignored, and children inherit that: what the tests of Ctrl-C
# start would not hear it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure() -> None:
    spec = importlib.util.find_spec("millstream")
    if spec is None or spec.origin is None:
        raise pytest.UsageError("millstream is not importable; run `make build` first")
    # An installed wheel (another directory) cannot be stale against this checkout's sources in a way mtimes show.
    if Path(spec.origin).resolve().parent == CORE.parent:
        problems = stale_binaries()
        if problems:
            raise pytest.UsageError("; ".join(problems) + ": run `make build`")


def stale_binaries() -> list[str]:
    """Tests against yesterday's binary say nothing: name each extension that is missing or older than its sources."""
    shared = [*CORE.glob("*.pxd"), *(ROOT / "csrc").glob("*.h")]
    problems = []
    for pyx in sorted(CORE.glob("*.pyx")):
        binary = pyx.with_name(pyx.stem + str(sysconfig.get_config_var("EXT_SUFFIX")))
        if not binary.exists():
            problems.append(f"{binary.name} is not built")
            continue
        newer = [source.name for source in [pyx, *shared] if source.stat().st_mtime > binary.stat().st_mtime]
        if newer:
            problems.append(f"{binary.name} is older than {', '.join(newer)}")
    return problems


def shared_dir() -> Path:
    """The folder with vectors and recordings that several checkouts share. Skips (or fails, in CI) without it."""
    path = Path(os.environ.get("MILLSTREAM_SHARED", ROOT.parent / "shared"))
    if path.is_dir():
        return path
    message = f"no shared folder at {path}; set MILLSTREAM_SHARED to it"
    if os.environ.get("MILLSTREAM_REQUIRE_SHARED") == "1":
        pytest.fail(message + " (MILLSTREAM_REQUIRE_SHARED=1)")
    pytest.skip(message, allow_module_level=True)


@pytest.fixture(scope="session")
def shared() -> Path:
    return shared_dir()
