"""Builds the fuzz targets: the C ones with any compiler, the Python ones with clang and ASan."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORPUS = HERE / "corpus"

# target -> the corpora it starts from
C_TARGETS = {
    "json": ["json"], "sse": ["sse"], "scan": ["json", "sse", "scan"], "num": ["num"],
    "shape": ["shape"], "pick": ["pick", "json"], "work": ["json", "work"],
}  # fmt: skip
PY_TARGETS = {
    "sse": ["sse"], "ndjson": ["ndjson", "json"], "json": ["json"], "partial": ["json"], "decoders": ["decoders"],
    "shapes": ["decoders"],
    "calls": ["json", "sse", "ndjson"],
}  # fmt: skip

SANITIZERS = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover"]
# The code as it is released, where reading beyond an input ends the process by itself.
GUARD_PAGES = ["-O3", "-DFUZZ_GUARD"]
FLAGS = ["-std=c11", "-Wall", "-Wextra", "-Wconversion", "-Werror", f"-I{ROOT / 'csrc'}"]
# -> whether it is compiled for the scalar kernels too
PARTS = {"fuzz": False, "json_machine": True, "json_reference": False, "sse_machine": True, "sse_reference": False}


def run(*command: str | Path, **env: str) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=ROOT,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def c_targets(
    out: Path,
    compiler: str = "clang",
    flags: list[str] = SANITIZERS,
    *,
    fuzzer: bool = True,
    names: list[str] | None = None,
) -> dict[str, Path]:
    """Compile C targets into `out`: with libFuzzer, or with `replay.c`, which runs them over files."""
    names = list(C_TARGETS if names is None else names)
    out.mkdir(parents=True, exist_ok=True)
    objects = []
    some = [*flags, "-fsanitize=fuzzer-no-link"] if fuzzer else flags
    for part, twice in PARTS.items():
        for scalar in ([], ["-DMS_SCAN_SCALAR"])[: 1 + twice]:
            objects.append(out / f"{part}{'_scalar' if scalar else ''}.o")
            counting = []
            if compiler == "clang" and part.endswith("_machine") and not scalar and "work" in names:
                counting = ["-fprofile-instr-generate"]
            run(compiler, *FLAGS, *some, *scalar, *counting, "-c", HERE / "c" / f"{part}.c", "-o", objects[-1])
    built = {}
    last = [*flags, "-fsanitize=fuzzer"] if fuzzer else [*flags, HERE / "c" / "replay.c"]
    for name in names:
        built[name] = out / f"fuzz_{name}"
        counting = ["-fprofile-instr-generate"] if compiler == "clang" and "work" in names else []
        run(compiler, *FLAGS, *last, *counting, HERE / "c" / f"fuzz_{name}.c", *objects, "-lm", "-o", built[name])
    return built


def python_targets(out: Path) -> dict[str, str]:
    """Build the package with ASan and coverage into `out`; return the environment that runs it under atheris."""
    import atheris

    run(
        sys.executable, "setup.py", "-q", "build", "--build-base", out / "base", "--build-lib", out / "lib",
        MS_SANITIZE="address,fuzzer-no-link", CC="clang", LDSHARED="clang -shared",
    )  # fmt: skip
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(str, (out / "lib", ROOT / "tests", ROOT))),
        "LD_PRELOAD": f"{atheris.path()}/asan_with_fuzzer.so",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",  # the interpreter itself frees little at its end
        "PYTHONMALLOC": "malloc",
    }


def seeds(name: str, corpora: list[str], out: Path) -> list[Path]:
    """The folders of a target's corpora. Those of decoders get the byte that chooses their protocol."""
    if corpora != ["decoders"]:
        return [CORPUS / each for each in corpora]
    folder = out / "seeds" / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in sorted((CORPUS / "decoders").iterdir()):
        (folder / path.name).write_bytes(decoder_input(path))
    return [folder]


def decoder_input(path: Path) -> bytes:
    """A file is named for its protocol: `ollama-chat~tools.ndjson`."""
    from millstream.protocols import DECODERS

    return path.read_bytes() + bytes([sorted(DECODERS).index(path.name.split("~")[0])])
