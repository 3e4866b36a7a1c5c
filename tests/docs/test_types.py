"""The programs of README and docs pass a type checker as their reader would run it: pyright, in its basic mode."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from docs.test_blocks import PAGES, blocks, name

OTHERS = (
    r'Import ".*" could not be resolved|"url" is not defined'  # libraries that need not be here; drop_in.md says url
)


@pytest.mark.timeout(180)  # pyright may have to fetch node first
def test_blocks_that_import_millstream_have_no_type_errors(tmp_path: Path) -> None:
    """Those that do not continue a block above them, or stand for a part of a program."""
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright is not installed")
    (tmp_path / "pyrightconfig.json").write_text(json.dumps({"typeCheckingMode": "basic", "pythonVersion": "3.11"}))
    n_programs = 0
    for page in PAGES:
        for i, block in enumerate(blocks(page, "python")):
            if re.search(r"^(?:import|from) millstream", block, re.MULTILINE):
                (tmp_path / f"{name(page).replace('/', '-').removesuffix('.md')}-{i}.py").write_text(block)
                n_programs += 1
    assert n_programs > 50
    command = [
        sys.executable,
        "-m",
        "pyright",
        "--pythonpath",
        sys.executable,
        "--project",
        str(tmp_path),
        "--outputjson",
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=170, check=False)
    found = [
        f"{Path(one['file']).name}:{one['range']['start']['line'] + 1}: {one['message']}"
        for one in json.loads(done.stdout)["generalDiagnostics"]
        if one["severity"] == "error" and not re.search(OTHERS, one["message"])
    ]
    assert found == []
