"""What `import millstream as ms` promises: every public name is there, and looking is cheap."""

import subprocess
import sys

import pytest

import millstream
import millstream.core


@pytest.mark.parametrize("module", [millstream, millstream.core], ids=lambda module: module.__name__)
def test_all_resolves(module: object) -> None:
    names = module.__all__
    assert len(names) == len(set(names)), "a name stands twice in __all__"
    assert [name for name in names if getattr(module, name, None) is None] == []


def test_dir_and_star_import_agree_with_all() -> None:
    assert set(millstream.__all__) <= set(dir(millstream))
    namespace: dict[str, object] = {}
    exec("from millstream import *", namespace)
    assert set(millstream.__all__) <= namespace.keys()


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = millstream.no_such_name


def test_a_misspelt_name_gets_a_suggestion_and_a_room_needs_no_import() -> None:
    code = "import sys, millstream as ms; sys.stdout.write(repr([getattr(ms, name) for name in ms._ROOMS])); ms.steam"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    for room in ["compat", "providers", "relay", "server", "testing", "tools"]:
        assert f"<module 'millstream.{room}'" in done.stdout
        assert room in dir(millstream)
    assert done.stderr.rstrip().endswith("has no attribute 'steam'. Did you mean: 'stream'?")


def test_import_alone_loads_no_anyio() -> None:
    code = (
        "import sys, millstream; print(*sorted(sys.modules.keys() & {'anyio', 'asyncio', 'httpx2', 'redis', 'rich'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
