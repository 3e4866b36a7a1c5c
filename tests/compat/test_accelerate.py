"""`accelerate`: what is replaced, that it can be undone, and that an SDK which is not as we know it is left alone."""

from __future__ import annotations

import asyncio
import base64
import gc
import json
import os
import subprocess
import sys
import weakref
from importlib import import_module

import pytest

from compat.sdks import ACCELERATE, ASK, SDKS, aread, client, read
from conftest import shared_dir
from millstream.compat import Acceleration, NotAccelerated
from millstream.errors import MissingExtra
from protocols.decoding import pieces
from reference import sse as oracle

CASES = json.loads((shared_dir() / "vectors" / "sse_vectors.json").read_bytes())
CASES = [pytest.param(case, id=case["name"]) for case in CASES if case.get("accept", True)]
BOTH = pytest.mark.parametrize("sdk", ["openai", "anthropic"])
HOOK = "_make_sse_decoder"


@pytest.fixture(autouse=True)
def _everything_is_undone():
    hooks = {sdk: vars(base(sdk))[HOOK] for sdk in SDKS}
    yield
    assert {sdk: vars(base(sdk))[HOOK] for sdk in SDKS} == hooks


def base(sdk):
    return import_module(f"{sdk}._base_client").BaseClient


def streaming(sdk):
    return import_module(f"{sdk}._streaming")


def ours(decoder) -> bool:
    return type(decoder).__module__ == "millstream.compat._sdk"


@BOTH
def test_one_client_is_accelerated_and_no_other(sdk):
    one, other = client(sdk, []), client(sdk, [])
    handle = ACCELERATE[sdk](one)
    assert handle.active
    assert ours(one._make_sse_decoder())
    assert not ours(other._make_sse_decoder())
    handle.undo()
    assert type(one) is type(other)
    assert not ours(one._make_sse_decoder())
    assert not handle.active


@BOTH
def test_a_client_stays_what_it_is(sdk):
    one = client(sdk, [])
    kind = type(one)
    with ACCELERATE[sdk](one):
        assert isinstance(one, kind)
        assert isinstance(one._make_sse_decoder(), streaming(sdk).SSEDecoder)
        assert repr(type(one)) == repr(kind)
    assert type(one) is kind


@BOTH
def test_copies_of_an_accelerated_client_are_accelerated(sdk):
    one = client(sdk, [])
    with ACCELERATE[sdk](one):
        assert ours(one.with_options(timeout=1)._make_sse_decoder())
        assert ours(one.copy()._make_sse_decoder())


@BOTH
def test_the_process_with_clients_that_exist_and_those_to_come(sdk):
    before = client(sdk, [])
    with ACCELERATE[sdk]():
        assert ours(before._make_sse_decoder())
        assert ours(client(sdk, [], sync=False)._make_sse_decoder())
    assert not ours(before._make_sse_decoder())


@BOTH
@pytest.mark.parametrize("process", [True, False])
def test_twice_and_undone_in_any_order(sdk, process):
    one = client(sdk, [])
    args = [] if process else [one]
    first, second = ACCELERATE[sdk](*args), ACCELERATE[sdk](*args)
    assert first.active
    assert second.active
    first.undo()
    first.undo()
    assert ours(one._make_sse_decoder()), "the second one still wants it"
    second.undo()
    assert not ours(one._make_sse_decoder())


@BOTH
def test_client_and_process_overlap(sdk):
    one = client(sdk, [])
    process = ACCELERATE[sdk]()
    alone = ACCELERATE[sdk](one)
    process.undo()
    assert ours(one._make_sse_decoder())
    alone.undo()
    assert not ours(one._make_sse_decoder())


@BOTH
def test_an_accelerated_client_is_not_kept_alive(sdk):
    one = client(sdk, [])
    gone = weakref.ref(one)
    one.close()
    handle = ACCELERATE[sdk](one)
    del one, handle
    gc.collect()
    assert gone() is None


def test_the_helpers_get_the_parser_that_goes_on_and_lose_it_again():
    import jiter
    from openai.lib.streaming.chat import _completions

    real = jiter.from_json
    with ACCELERATE["openai"](), ACCELERATE["anthropic"]():
        assert _completions.from_json is jiter.from_json is not real
    assert _completions.from_json is jiter.from_json is real


def test_an_sdk_whose_helpers_do_not_parse_with_jiter_is_accelerated_all_the_same(monkeypatch):
    from openai.lib.streaming.chat import _completions

    monkeypatch.delattr(_completions, "from_json")
    with ACCELERATE["openai"]():
        assert ours(client("openai", [])._make_sse_decoder())
        assert not hasattr(_completions, "from_json")


@BOTH
def test_not_a_client(sdk):
    other = client("anthropic" if sdk == "openai" else "openai", [])
    for wrong in (other, type(client(sdk, [])), 3):
        with pytest.raises(TypeError, match=f"a client of {sdk}"):
            ACCELERATE[sdk](wrong)


def nothing_done(sdk, why, *args) -> None:
    with pytest.warns(NotAccelerated, match=why) as caught:
        handle = ACCELERATE[sdk](*args)
    assert SDKS[sdk].__version__ in str(caught[0].message)
    assert caught[0].filename == __file__, "the warning points at who called"
    assert not handle.active
    handle.undo()


def own(module, function):
    """A function that looks as if the SDK's module had it of old."""
    function.__module__ = module.__name__
    return function


def hook_of_its_own(patch, sdk) -> None:
    module = import_module(f"{sdk}._base_client")
    patch.setattr(base(sdk), HOOK, own(module, lambda self: object()))


def decoder_of_its_own(patch, sdk) -> None:
    patch.setattr(streaming(sdk).SSEDecoder, "iter_bytes", own(streaming(sdk), lambda self, chunks: iter(())))


CHANGES = [
    (hook_of_its_own, "_make_sse_decoder gives something else"),
    (decoder_of_its_own, "its decoder gives something else"),
    (lambda m, sdk: m.delattr(base(sdk), HOOK), "was changed"),
    (lambda m, sdk: m.setattr(base(sdk), HOOK, lambda self: None), "replaced by somebody else"),
    (lambda m, sdk: m.setattr(streaming(sdk).SSEDecoder, "decode", lambda self, line: None), "decode was replaced"),
    (lambda m, sdk: m.delattr(streaming(sdk).SSEDecoder, "aiter_bytes"), "was changed"),
    (lambda m, sdk: m.delattr(streaming(sdk), "ServerSentEvent"), "was changed"),
    (lambda m, sdk: m.setattr(streaming(sdk).Stream, "__init__", lambda self: None), "does not ask"),
]


@BOTH
@pytest.mark.parametrize(("change", "why"), CHANGES)
@pytest.mark.parametrize("process", [True, False])
def test_another_version_is_left_alone_with_a_warning(sdk, change, why, process):
    one = client(sdk, [])
    kind = type(one)
    with pytest.MonkeyPatch.context() as patch:
        change(patch, sdk)
        before = dict(vars(base(sdk)))
        nothing_done(sdk, why, *([] if process else [one]))
        assert dict(vars(base(sdk))) == before
        assert type(one) is kind


@BOTH
def test_a_client_with_a_decoder_of_its_own_is_left_alone(sdk):
    class Other(type(client(sdk, []))):
        def _make_sse_decoder(self):
            return "another framing"

    one = Other(api_key="k")
    nothing_done(sdk, "in a way of its own", one)
    assert one._make_sse_decoder() == "another framing"
    with ACCELERATE[sdk]():
        assert one._make_sse_decoder() == "another framing"


@BOTH
def test_what_somebody_put_there_since_stays(sdk):
    def later(self):
        return "theirs"

    real = vars(base(sdk))[HOOK]
    handle = ACCELERATE[sdk]()
    try:
        setattr(base(sdk), HOOK, later)
        with pytest.warns(NotAccelerated, match="stays as it is"):
            handle.undo()
        assert vars(base(sdk))[HOOK] is later
    finally:
        setattr(base(sdk), HOOK, real)


def test_it_says_whether_it_is_active():
    with Acceleration([]) as handle:
        assert repr(handle) == "<Acceleration not active>"


@BOTH
def test_the_sdk_is_not_installed(sdk):
    code = f"""
import sys
sys.modules["{sdk}"] = None
from millstream.compat.{sdk} import accelerate
try:
    accelerate()
except ImportError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout == f"{MissingExtra.__name__} there is nothing to accelerate: pip install {sdk}\n"


@BOTH
def test_importing_the_module_does_not_import_the_sdk(sdk):
    code = f"import sys, millstream.compat.{sdk}; print('{sdk}' in sys.modules, 'jiter' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True, env={**os.environ}
    )
    assert done.stdout == "False False\n"


# --- what differs, and only that ---------------------------------------------------------------------------------

CHUNK = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []}
DATA = b"data: " + json.dumps(CHUNK).encode() + b"\n\n"
FIXED = {
    "a block with retry only": b"retry: 3000\n\n" + DATA,
    "a block with id only": b"id: 1\n\n" + DATA,
    "a comment after an id": b"id: 1\n" + DATA + b": ping\n\n" + DATA,
    "an empty data field": b"data:\n\n" + DATA,
    "ill-formed UTF-8": DATA.replace(b'"m"', b'"\xff"'),
    "a byte order mark": b"\xef\xbb\xbf" + DATA,
}


@pytest.mark.parametrize("what", FIXED)
def test_openai_reads_on_where_its_own_decoder_fails(what):
    ask = ASK["openai-chat"][1]
    body = FIXED[what] + b"data: [DONE]\n\n"
    theirs = read(ask(client("openai", [body])))
    with ACCELERATE["openai"]():
        read_by_us = read(ask(client("openai", [body])))
    assert read_by_us != theirs
    kinds = [item[0].__name__ for item in read_by_us]
    assert kinds == ["ChatCompletionChunk"] * body.count(b"chunk")


@pytest.mark.parametrize("what", FIXED)
def test_openai_reads_on_asynchronously_too(what):
    ask = ASK["openai-chat"][1]
    body = FIXED[what] + b"data: [DONE]\n\n"
    with ACCELERATE["openai"]():
        found = asyncio.run(aread(ask(client("openai", [body], sync=False))))
        assert found == read(ask(client("openai", [body])))


SAME = {
    "a name without data": b"event: ping\n\n" + DATA,
    "no JSON": b"data: {\n\n" + DATA,
    "an error": b'data: {"error": {"message": "no", "code": 3}}\n\n',
    "NaN": DATA.replace(b'"created": 1', b'"created": NaN'),
    "a large number": DATA.replace(b'"created": 1', b'"created": 123456789012345678901234567890'),
    "a lone surrogate": DATA.replace(b'"m"', b'"\\ud800"'),
    "not terminated": DATA + DATA.rstrip(),
    "nothing": b"",
}


@pytest.mark.parametrize("what", SAME)
def test_openai_is_the_same_in_all_else(what):
    ask = ASK["openai-chat"][1]
    theirs = read(ask(client("openai", [SAME[what]])))
    with ACCELERATE["openai"]():
        assert read(ask(client("openai", [SAME[what]]))) == theirs


@BOTH
@pytest.mark.parametrize("size", [1, 7, 10**6])
@pytest.mark.parametrize("case", CASES)
def test_vectors_in_the_mode_of_the_sdks(sdk, size, case):
    """Compat mode less the blocks that have neither data nor a name; `event` and `id` are None where there are none."""
    data = base64.b64decode(case["input_b64"])
    with ACCELERATE[sdk]():
        decoder = client(sdk, [])._make_sse_decoder()
    expected = [
        (m.event if m.named else None, m.data, m.id or None, m.retry)
        for m in oracle.parse(data, mode="compat", at_eof="discard").messages
        if m.data or m.named
    ]
    found = decoder.iter_bytes(iter(pieces(data, size)))
    assert [(e.event, e.data, e.id, e.retry) for e in found] == expected
    # What a spec decoder gives, it gives too, but for events without data, which no SDK can read.
    spec = [(e["data"], e["id"] or None) for e in case["events"] if e["data"]]
    assert [(data, id) for _, data, id, _ in expected if data] == spec


def test_anthropic_raw_events_keep_their_wire_lines():
    import httpx2

    body = b": hello\nevent: a\ndata: 1\n\n"
    with ACCELERATE["anthropic"]():
        (event,) = streaming("anthropic").Stream.raw_events(httpx2.Response(200, content=body))
    assert event.raw == [": hello", "event: a", "data: 1"]
