"""Build what a release uploads, and check it as far as one machine can: `make dist`.

1. The sdist, then a wheel from that sdist, each in an empty environment (PEP 517 isolation).
2. Both hold what they must, nothing else, and one version; an extension exports its init function only.
3. `twine check --strict`, `check-wheel-contents`, `auditwheel show`.
4. For each Python at hand (or PYTHONS="python3.11 ..."): the sdist is installed into a new environment, and the tests
   that it ships run against that: the core of the suite, without `src/` beside it, or with FULL=1 the whole.
"""

from __future__ import annotations

import email.parser
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
WORK = ROOT / "build" / "dist"
CORE = "@tests/core.txt"  # without SDKs and frameworks


def run(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a command, show it and what it says; exit if it fails."""
    print("$", *(Path(word).name if isinstance(word, Path) else word for word in command), flush=True)
    said = []
    with subprocess.Popen([str(word) for word in command], cwd=cwd, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            said.append(line)
    if running.returncode:
        sys.exit(running.returncode)
    return "".join(said)


def build() -> tuple[Path, Path]:
    shutil.rmtree(DIST, ignore_errors=True)
    shutil.rmtree(WORK, ignore_errors=True)
    WORK.mkdir(parents=True)
    command = [sys.executable, "-m", "build", "--outdir", DIST, ROOT]  # the wheel from the sdist
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    (WORK / "build.log").write_text(done.stdout)
    if done.returncode:
        sys.exit(done.stdout)
    [sdist], [wheel] = DIST.glob("*.tar.gz"), DIST.glob("*.whl")
    return sdist, wheel


def sources(*suffixes: str) -> set[str]:
    """Files of the package in this checkout, as they are called in a wheel."""
    package = ROOT / "src"
    return {str(p.relative_to(package)) for p in package.rglob("*") if p.suffix in suffixes or p.name in suffixes}


def check_sdist(sdist: Path) -> list[str]:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {f"src/{name}" for name in sources(".py", ".pyx", ".pxd", ".pyi", "py.typed")}
    wanted |= {str(p.relative_to(ROOT)) for p in (ROOT / "csrc").iterdir()}
    wanted |= {"LICENSE", "README.md", "CHANGELOG.md", "pyproject.toml", "setup.py", "tests/conftest.py"}
    generated = {n for n in names if re.search(r"\.(so|pyd|o|pyc)$|^src/.*\.c$|node_modules|__pycache__", n)}
    return [f"sdist lacks {n}" for n in wanted - names] + [f"sdist has {n}" for n in generated]


def check_wheel(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        [metadata] = [name for name in names if name.endswith(".dist-info/METADATA")]
        fields = email.parser.Parser().parsestr(archive.read(metadata).decode())
        archive.extractall(WORK / "wheel")
    extensions = {name.removesuffix(".pyx"): name for name in sources(".pyx")}
    built = {name.partition(".")[0]: name for name in names if name.endswith((".so", ".pyd"))}
    wanted = sources(".py", ".pyi", ".pxd", "py.typed")
    wrong = [f"wheel lacks {name}" for name in wanted - names]
    wrong += [f"wheel has {n}" for n in names if n.endswith((".pyx", ".c", ".h")) or not n.startswith("millstream")]
    if built.keys() != extensions.keys():
        wrong.append(f"extensions {sorted(built)}, sources {sorted(extensions)}")
    wrong += [f"no stub for {name}" for name in extensions if f"{name}.pyi" not in names]
    version = re.search(r'__version__ = "(.*)"', (ROOT / "src/millstream/__init__.py").read_text())
    if version is None or version[1] != fields["Version"]:
        wrong.append(f"metadata says {fields['Version']}, millstream.__version__ something else")
    if sys.platform == "linux":
        wrong += [line for name in built.values() for line in check_exports(WORK / "wheel" / name)]
    return wrong


def check_exports(extension: Path) -> list[str]:
    listed = subprocess.run(["nm", "-D", "--defined-only", extension], capture_output=True, text=True, check=True)
    exported = {line.split()[-1] for line in listed.stdout.splitlines()}
    ours = {name for name in exported if not name.startswith("__pyx_")}  # Cython's own have the module in their name
    init = {f"PyInit_{extension.name.partition('.')[0]}"}
    return [] if ours == init else [f"{extension.name} exports {sorted(ours)}"]


def pythons() -> list[str]:
    """PYTHONS, or every CPython from 3.11 on: those on the PATH, and those of pyenv."""
    if named := os.environ.get("PYTHONS", "").split():
        return named
    found = {}
    for minor in range(11, 16):
        here = sorted(Path.home().glob(f".pyenv/versions/3.{minor}.*/bin/python"))
        if path := (str(here[-1]) if here else shutil.which(f"python3.{minor}")):
            found[minor] = path
    return list(found.values())


def try_out(python: str, sdist: Path) -> None:
    version = subprocess.run([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], capture_output=True)
    home = WORK / version.stdout.decode().strip()
    run(python, "-m", "venv", home)
    pip = [home / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    whole = os.environ.get("FULL") == "1"
    run(*pip, "--upgrade", "pip")
    run(*pip, f"{sdist}[cli]", "--group", f"{ROOT}/pyproject.toml:{'dev' if whole else 'core'}")
    with tarfile.open(sdist) as archive:
        archive.extractall(home / "unpacked", filter="data")
    [tree] = (home / "unpacked").iterdir()
    if not whole:
        shutil.rmtree(tree / "src")  # what reads the sources is in the whole suite only
    installed = "import millstream, sys; assert millstream.__file__.startswith(sys.prefix)"
    run(home / "bin" / "python", "-c", installed, cwd=tree)
    run(home / "bin" / "python", "-m", "pytest", "-q", *([] if whole else [CORE]), cwd=tree)


def main() -> None:
    sdist, wheel = build()
    if wrong := check_sdist(sdist) + check_wheel(wheel):
        sys.exit("\n".join(wrong))
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, wheel)
    run("check-wheel-contents", wheel)
    if sys.platform == "linux" and "manylinux" not in run("auditwheel", "show", wheel):
        sys.exit("auditwheel knows no manylinux policy for this wheel")
    failed = []
    for python in pythons():
        try:
            try_out(python, sdist)
        except SystemExit:  # what the others do is worth knowing too
            failed.append(python)
    if failed:
        sys.exit(f"failed on {', '.join(failed)}")
    print(f"{sdist.name} and {wheel.name} are in dist/")


if __name__ == "__main__":
    main()
