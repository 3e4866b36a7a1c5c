"""JSONParser from another compiled module: `feed_ptr` takes bytes with no object between."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from millstream.core import JSONParser
from millstream.errors import InvalidJSON, ParserClosed

pytest.importorskip("Cython")

ROOT = Path(__file__).resolve().parents[2]

SOURCE = """
from cpython.bytes cimport PyBytes_AS_STRING
from millstream.core._json cimport JSONParser

def feed(JSONParser parser, bytes data, Py_ssize_t start, Py_ssize_t end):
    parser.feed_ptr(PyBytes_AS_STRING(data) + start, end - start)
"""

SETUP = """
from Cython.Build import cythonize
from setuptools import Extension, setup

setup(ext_modules=cythonize([Extension("user", ["user.pyx"], include_dirs=[{csrc!r}], extra_compile_args=["-O0"])],
                            include_path=[{src!r}], language_level=3))
"""


@pytest.fixture(scope="module")
def feed(tmp_path_factory):
    where = tmp_path_factory.mktemp("user")
    (where / "user.pyx").write_text(SOURCE)
    (where / "setup.py").write_text(SETUP.format(csrc=str(ROOT / "csrc"), src=str(ROOT / "src")))
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    built = subprocess.run(command, cwd=where, capture_output=True, text=True, timeout=50, check=False)
    assert built.returncode == 0, built.stdout + built.stderr
    spec = importlib.util.spec_from_file_location("user", where / f"user{sysconfig.get_config_var('EXT_SUFFIX')}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.feed


def test_spans_of_one_buffer_are_a_document(feed):
    data = b'data: {"a":["x\ndata: y\\u00e9"]}\n'
    parser = JSONParser(deltas=False)
    feed(parser, data, 6, 14)
    assert parser.value == {"a": ["x"]}
    feed(parser, data, 21, 31)
    parser.close()
    assert parser.value == {"a": ["xyé"]}


def test_an_error_is_raised_at_once_and_closes_the_parser(feed):
    parser = JSONParser(deltas=False)
    with pytest.raises(InvalidJSON) as caught:
        feed(parser, b"[1 2]", 0, 5)
    assert caught.value is parser.error
    with pytest.raises(ParserClosed):
        feed(parser, b"1", 0, 1)
