"""`make coverage`: branches of csrc/ that tests/c and the corpora take, by llvm-cov. Exit status 1 if one is missing.

What cannot be taken on this machine (NEON, MSVC) is not compiled, so it does not count.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import building

OUT = building.ROOT / "build" / "fuzz" / "coverage"
MAPPING = ["-O0", "-g", "-fprofile-instr-generate", "-fcoverage-mapping"]

# What cannot be, by its place in the source: the reader's reassurance, or a guard for callers that there are not.
IMPOSSIBLE = {
    ("ms_shape.h", "length > 1", "false"): "the last literal ends with the brace, or more, and a line end",
    ("ms_shape_make.h", "*start > stop", "true"): "the byte at `stop` is a line end and no space",
    ("ms_shape_make.h", "last->key == NULL", "false"): "a path goes on behind its end only if that is ANY",
    ("ms_shape_make.h", "last->n == MS_SHAPE_ANY", "false"): "the same",
    (
        "ms_shape_make.h",
        "!ms_shape_note(cuts, n_cuts, ms_shape_role_of(paths, fits, depth + 1), false, i, stop)",
        "true",
    ): "only an answer is refused for want of room, and it is a string",
    ("ms_shape_make.h", "k <= n_cuts", "false"): "the loop is left in its middle",
}


def tool(name: str) -> str:
    found = shutil.which(name) or shutil.which(f"{name}-14")
    return found or sys.exit(f"{name} is not installed; on Debian: apt-get install llvm")


def measure() -> Path:
    """Run everything, and return the merged profile."""
    shutil.rmtree(OUT, ignore_errors=True)
    binaries = {}
    for name in building.C_TARGETS:  # one at a time: the target that counts work is compiled otherwise
        built = building.c_targets(OUT / name, "clang", MAPPING, fuzzer=False, names=[name])
        files = [path for each in building.C_TARGETS[name] for path in sorted((building.CORPUS / each).iterdir())]
        if name != "work":  # which writes no profile
            binaries[name] = [built[name], *files]
    for scalar in ([], ["-DMS_SCAN_SCALAR"]):
        for name in ("test_kernels", "test_pick"):
            binary = OUT / f"{name}{len(scalar)}"
            source = building.ROOT / "tests" / "c" / f"{name}.c"
            building.run("clang", *building.FLAGS, *MAPPING, *scalar, source, "-o", binary)
            binaries[binary.name] = [binary]
    for name, command in binaries.items():
        building.run(*command, LLVM_PROFILE_FILE=str(OUT / f"{name}.profraw"))
    profiles = [OUT / f"{name}.profraw" for name in binaries]
    building.run(tool("llvm-profdata"), "merge", "-o", OUT / "all.profdata", *profiles)
    (OUT / "objects").write_text("\n".join(str(command[0]) for command in binaries.values()))
    return OUT / "all.profdata"


def missing(profile: Path) -> dict[str, list[tuple[int, int, str]]]:
    """For each header, line, column and what was never so. Branches of all instantiations together."""
    first, *others = (OUT / "objects").read_text().split()
    exported = subprocess.run(
        [tool("llvm-cov"), "export", first, *(f"-object={other}" for other in others), f"-instr-profile={profile}"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    taken: dict[str, dict[tuple[int, int, int, int], list[int]]] = {}
    for function in json.loads(exported)["data"][0]["functions"]:
        for branch in function["branches"]:
            line, column, to_line, to_column, true, false, file_id = branch[:7]
            header = Path(function["filenames"][file_id])
            if header.parent.name == "csrc":
                counts = taken.setdefault(header.name, {}).setdefault((line, column, to_line, to_column), [0, 0])
                counts[0] += true
                counts[1] += false
    unseen = {path.name for path in (building.ROOT / "csrc").glob("*.h")} - set(taken)
    never: dict[str, list[tuple[int, int, str]]] = {header: [(1, 1, "compiled")] for header in sorted(unseen)}
    for header, branches in sorted(taken.items()):
        lines = (building.ROOT / "csrc" / header).read_text().splitlines()
        never[header] = [
            (place[0], place[1], which)
            for place, counts in sorted(branches.items())
            for which, count in zip(("true", "false"), counts, strict=True)
            if not count and (header, lines[place[0] - 1][place[1] - 1 : place[3] - 1], which) not in IMPOSSIBLE
        ]
        n = 2 * len(branches)
        print(f"{header:<20} {n - len(never[header]):>4} of {n:>4} branches")
    return never


def main() -> int:
    never = missing(measure())
    for header, places in never.items():
        for line, column, which in places:
            print(f"csrc/{header}:{line}:{column}: never {which}")
    return 1 if any(never.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
