"""The C fuzz targets over their corpora, without a fuzzer: under sanitizers, and at guard pages as released."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import building

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs a gcc-like compiler"),
    pytest.mark.timeout(300),  # compilers and sanitizers work all the time; seconds on an idle machine
]


def replay(binary: Path, files: list[Path]) -> str:
    done = subprocess.run([binary, *files], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module", params=["sanitizers", "guard pages"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    compiler = shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        pytest.skip("needs gcc or clang")
    flags = building.SANITIZERS if request.param == "sanitizers" else building.GUARD_PAGES
    return building.c_targets(tmp_path_factory.mktemp("fuzz"), compiler, flags, fuzzer=False)


@pytest.mark.parametrize("name", building.C_TARGETS)
def test_corpus(built: dict[str, Path], name: str) -> None:
    files = [path for each in building.C_TARGETS[name] for path in sorted((building.CORPUS / each).iterdir())]
    assert replay(built[name], files) == f"{len(files)} passed, 0 failed\n"


def test_a_read_beyond_the_input_is_seen(tmp_path: Path) -> None:
    """Can these tests fail at all?"""
    compiler = shutil.which("gcc") or shutil.which("clang") or pytest.skip("needs gcc or clang")
    target = tmp_path / "fuzz_bad.c"
    target.write_text(
        '#include "fuzz.h"\n'
        "int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {\n"
        "    char *copy = fuzz_copy(data, n);\n"
        "    volatile char c = copy[n];\n"
        "    (void)c;\n"
        "    fuzz_give(copy);\n"
        "    return 0;\n"
        "}\n"
    )
    here = building.HERE / "c"
    for flags in (building.SANITIZERS, building.GUARD_PAGES):
        binary = tmp_path / "bad"
        building.run(
            compiler, *building.FLAGS, *flags, f"-I{here}", here / "replay.c", here / "fuzz.c", target, "-o", binary
        )
        done = subprocess.run([binary, building.CORPUS / "json" / "nested"], capture_output=True, check=False)
        assert done.returncode != 0
