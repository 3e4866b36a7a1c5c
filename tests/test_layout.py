"""The shape of what is delivered, rows 303 to 309: what is compiled, what is loaded, what is built, what lies where."""

from __future__ import annotations

import importlib
import importlib.machinery
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CHECKOUT = pytest.mark.skipif(not (ROOT / ".github").exists(), reason="an sdist, without the workflows and src/")
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.mark.parametrize(
    ("module", "name"), [("_sse", "SSEParser"), ("_ndjson", "NDJSONParser"), ("_json", "JSONParser")]
)
def test_row_303_304_framing_and_incremental_json_are_compiled(module: str, name: str) -> None:
    found = importlib.import_module(f"millstream.core.{module}")
    assert found.__file__.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))
    assert getattr(found, name).__module__ == found.__name__


def test_row_305_the_async_layer_loads_its_three_dependencies_and_no_other() -> None:
    """Who comes with them: anyio's idna, sniffio and typing_extensions."""
    code = "import sys; before = set(sys.modules); import millstream.streams, anyio; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, timeout=30, check=True)
    packages = {name.partition(".")[0] for name in done.stdout.split()} - sys.stdlib_module_names - {"millstream"}
    extensions = {name for name in packages if name.startswith("_cython") or name == "cython_runtime"}
    assert packages - extensions <= {"anyio", "orjson", "msgspec", "idna", "sniffio", "typing_extensions"}
    assert {re.split("[><=]", wanted)[0] for wanted in PROJECT["project"]["dependencies"]} == {
        "anyio",
        "msgspec",
        "orjson",
    }


def test_row_307_the_benchmarks_are_there() -> None:
    pytest.importorskip("pytest_benchmark")
    command = [sys.executable, "-m", "pytest", "bench", "--collect-only", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout
    assert re.search(r"[1-9]\d* tests? collected", done.stdout)


@CHECKOUT
def test_row_308_wheels_are_built_from_the_sdist_for_every_platform() -> None:
    text = (ROOT / ".github" / "workflows" / "wheels.yml").read_text()
    assert "cibuildwheel --output-dir wheelhouse dist/*.tar.gz" in text
    for platform in [
        "ubuntu-latest",
        "ubuntu-24.04-arm",
        "macos-15",
        "macos-15-intel",
        "windows-latest",
        "windows-11-arm",
    ]:
        assert f"system: {platform}," in text
    assert "attestations: true" in text
    build = PROJECT["tool"]["cibuildwheel"]
    assert build["test-command"]
    assert {"cp311-*", "cp312-*", "cp313-*", "cp314-*", "cp315-*"} <= set(build["build"].split())


@CHECKOUT
@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_pin_what_they_use_and_may_do_next_to_nothing(path: Path) -> None:
    text = path.read_text()
    used = re.findall(r"uses: (.*)$", text, re.MULTILINE)
    assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in used)
    assert re.search(r"^permissions: \{\}$", text, re.MULTILINE)
    rights = set(re.findall(r"^      ([a-z-]+): (?:write|read)\b", text, re.MULTILINE))
    assert rights <= {"contents", "id-token", "pages"}
    assert "contents: write" not in text


@CHECKOUT
def test_row_309_everything_is_where_one_looks_for_it() -> None:
    for name in [
        "pyproject.toml",
        "setup.py",
        "src/millstream/py.typed",
        "csrc",
        "tests",
        "bench",
        ".github/workflows",
    ]:
        assert (ROOT / name).exists(), name
    for pyx in (ROOT / "src" / "millstream" / "core").glob("*.pyx"):
        assert pyx.with_suffix(".pyi").exists(), f"{pyx.name} has no stub"
    groups = " ".join(str(group) for group in PROJECT["dependency-groups"].values())
    assert all(name in groups for name in ["cython", "pytest>=", "pytest-benchmark"])
    extras = PROJECT["project"]["optional-dependencies"]
    assert {"bedrock", "cli", "http", "otel", "pydantic", "redis"} <= extras.keys()
