"""Builds test_kernels.c with sanitizers and runs it; each header must also compile alone."""

import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
WARNINGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{CSRC}"]
SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs mmap and a gcc-like compiler"),
    pytest.mark.timeout(300),  # compilers and sanitizers work all the time; seconds on an idle machine
]


@pytest.fixture(scope="module", params=["gcc", "clang"])
def compiler(request: pytest.FixtureRequest) -> str:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    return request.param


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)


@pytest.mark.parametrize("defines", [[], ["-DMS_SCAN_SCALAR"]], ids=["simd", "scalar"])
def test_kernels(compiler: str, defines: list[str], tmp_path: Path) -> None:
    binary = str(tmp_path / "test_kernels")
    built = run(compiler, *WARNINGS, *SANITIZERS, *defines, str(HERE / "test_kernels.c"), "-o", binary)
    assert built.returncode == 0, built.stderr
    ran = run(binary)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith(" passed, 0 failed\n"), ran.stdout
    assert int(ran.stdout.split()[0]) > 2**24, "the exhaustive part did not run"


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="compiles for 32 bits of x86")
def test_kernels_in_32_bits(compiler: str, tmp_path: Path) -> None:
    """C8: where a `size_t` is as small as a length that somebody may send."""
    probe, binary = tmp_path / "probe.c", str(tmp_path / "test_kernels")
    probe.write_text("#include <stdint.h>\nint main(void) { return sizeof(void *) != 4; }\n")
    narrow = ["-m32", "-msse2", "-mfpmath=sse", *SANITIZERS]  # with x87, numbers would go the slow way
    if run(compiler, *narrow, str(probe), "-o", binary).returncode or run(binary).returncode:
        pytest.skip("no libraries for 32 bits: gcc-multilib")
    built = run(compiler, *WARNINGS, *narrow, str(HERE / "test_kernels.c"), "-o", binary)
    assert built.returncode == 0, built.stderr
    ran = run(binary)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith(" passed, 0 failed\n"), ran.stdout


@pytest.mark.parametrize("header", sorted(CSRC.glob("*.h")), ids=lambda header: header.name)
@pytest.mark.parametrize("defines", [[], ["-DMS_SCAN_SCALAR"]], ids=["simd", "scalar"])
def test_header_alone(compiler: str, header: Path, defines: list[str], tmp_path: Path) -> None:
    source = tmp_path / "alone.c"
    source.write_text(f'#include "{header.name}"\n#include "{header.name}"\nint main(void) {{ return 0; }}\n')
    built = run(compiler, *WARNINGS, "-Wno-unused-function", *defines, "-fsyntax-only", str(source))
    assert built.returncode == 0, built.stderr
