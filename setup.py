"""Lists the compiled extensions; everything else about the package is in pyproject.toml.

Each ``src/millstream/core/*.pyx`` is one extension: a new file needs no line here.
Switches, from the environment: ``MS_DEBUG=1`` (-O0, bounds checks), ``MS_SANITIZE=1`` (ASan and UBSan; or what else
``-fsanitize=`` takes), ``MS_COVERAGE=1`` (Cython line tracing).
"""

import os
from glob import glob
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

DEBUG, COVERAGE = (os.environ.get(f"MS_{s}") == "1" for s in ("DEBUG", "COVERAGE"))
SANITIZE = os.environ.get("MS_SANITIZE", "").replace("1", "address,undefined")

# cythonize follows `cdef extern from`, but not a header that is included by another header.
HEADERS = sorted(glob("csrc/*.h") + glob("src/millstream/core/*.pxd"))


class BuildExt(build_ext):
    def build_extensions(self) -> None:
        msvc = self.compiler.compiler_type == "msvc"
        for extension in self.extensions:
            extension.extra_compile_args += msvc_flags() if msvc else unix_flags()
            if SANITIZE and not msvc:
                extension.extra_link_args += [f"-fsanitize={SANITIZE}"]
        super().build_extensions()


def unix_flags() -> list[str]:
    # Cython's comparisons with None and str look at PyLong and PyFloat after a type check that gcc cannot see through:
    # false alarms of -Warray-bounds. Our own C is compiled with all warnings by tests/c.
    level = "-O0" if DEBUG else "-O1" if SANITIZE else "-O3"
    flags = ["-std=c11", "-Wno-array-bounds", level, "-g" if DEBUG or SANITIZE else "-g0"]
    if SANITIZE:
        flags += [f"-fsanitize={SANITIZE}", "-fno-omit-frame-pointer", "-fno-sanitize-recover=undefined"]
    return flags


def msvc_flags() -> list[str]:
    return ["/std:c11", "/Od" if DEBUG else "/O2"]


def extension(pyx: str) -> Extension:
    return Extension(
        f"millstream.core.{Path(pyx).stem}",
        [pyx],
        include_dirs=["csrc"],
        depends=HEADERS,
        define_macros=[("CYTHON_TRACE_NOGIL", "1")] if COVERAGE else [],
    )


setup(
    ext_modules=cythonize(
        [extension(pyx) for pyx in sorted(glob("src/millstream/core/*.pyx"))],
        build_dir="build/cython",
        compiler_directives={
            "language_level": 3,
            "boundscheck": DEBUG,
            "wraparound": False,
            "initializedcheck": False,
            "embedsignature": True,
            "linetrace": COVERAGE,
        },
    ),
    cmdclass={"build_ext": BuildExt},
)
