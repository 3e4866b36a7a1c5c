"""Builds test_shape.c and test_pick.c with sanitizers and runs them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-O1", "-g", "-fno-sanitize-recover"]
FLAGS += ["-fsanitize=address,undefined", f"-I{HERE.parents[1] / 'csrc'}"]

pytestmark = [
    pytest.mark.skipif(sys.platform == "win32", reason="needs mmap and a gcc-like compiler"),
    pytest.mark.timeout(300),  # compilers and sanitizers work all the time; seconds on an idle machine
]


@pytest.mark.parametrize("defines", [[], ["-DMS_SCAN_SCALAR"]], ids=["simd", "scalar"])
@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("name", ["test_shape", "test_pick"])
def test_kernel(name: str, compiler: str, defines: list[str], tmp_path: Path) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    binary = str(tmp_path / name)
    build = [compiler, *FLAGS, *defines, str(HERE / f"{name}.c"), "-o", binary]
    built = subprocess.run(build, capture_output=True, text=True, timeout=280, check=False)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([binary], capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert int(ran.stdout.split()[0]) > 100_000
