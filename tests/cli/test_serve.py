"""`millstream serve` says what is wrong with its arguments before it listens, and never shows a key."""

import pytest

from cli.commands import KEY, call, failed

MODEL = ("--provider", "m=compatible:x,base_url=http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([*MODEL], ["--api-key-env", "--no-auth"]),
        ([*MODEL, "--no-auth", "--api-key-env", "THE_KEY"], ["exclude each other"]),
        ([*MODEL, "--no-auth", "--host", "0.0.0.0"], ["0.0.0.0", "--api-key-env"]),
        ([*MODEL, "--no-auth", "--host", "::"], ["--api-key-env"]),
        ([*MODEL, "--no-auth", "--host", "no-such-host.invalid"], ["--api-key-env"]),
        ([*MODEL, "--api-key-env", "NOT_SET"], ["NOT_SET"]),
        ([*MODEL, "--api-key-env", "SHORT"], ["key 1", "16"]),
        ([*MODEL, "--no-auth", "--workers", "2"], ["--redis"]),
        ([*MODEL, *MODEL, "--no-auth"], ["'m'", "NAME="]),
        (["--provider", "nobody:x", "--no-auth"], ["nobody"]),
        (["--provider", "", "--no-auth"], ["PROVIDER:MODEL"]),
        (["--provider", "a=b=c,d", "--no-auth"], ["PROVIDER:MODEL"]),
        (["--provider", "compatible:x", "--no-auth"], ["base_url"]),
        (["--provider", "compatible:x,port=1", "--no-auth"], ["port", "base_url"]),
        (["--provider", "openai:x", "--no-auth"], ["OPENAI_API_KEY", "key_env"]),
        (["--provider", "openai:x,key_env=NOT_SET", "--no-auth"], ["NOT_SET"]),
        ([*MODEL, "--no-auth", "--origin", "*"], ["origin"]),
    ],
)
def test_wrong_use_is_one_line_that_says_what_to_do(args, words):
    done = call("serve", "--port", "0", *args, SHORT="too-short")
    assert failed(done, 2, *words)
    assert KEY not in done.stderr + done.stdout
    assert "too-short" not in done.stderr
