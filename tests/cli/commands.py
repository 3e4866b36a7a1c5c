"""The real command in processes of its own: called to its end, on a terminal, and serving recordings."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import uvicorn

COMMAND = [sys.executable, "-m", "millstream.cli"]
SECONDS = 50
KEY = "sk-a-key-that-nobody/may-see"


def environment(**extra):
    """Without what changes terminals, proxies and keys of whoever runs the tests."""
    paths = os.pathsep.join(path for path in sys.path if path)
    unset = {"FORCE_COLOR", "NO_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS", "LINES"}
    kept = {
        key: value
        for key, value in os.environ.items()
        if key not in unset and not key.lower().endswith(("_proxy", "_api_key", "_base_url"))
    }
    return kept | {"PYTHONPATH": paths, "THE_KEY": KEY, "NO_PROXY": "*", **extra}


def call(*args, input=None, cwd=None, seconds=SECONDS, **extra):
    """Run it to its end; what it writes is text."""
    return subprocess.run(
        [*COMMAND, *map(str, args)],
        capture_output=True,
        input=input,
        stdin=subprocess.DEVNULL if input is None else None,
        encoding="utf-8",
        env=environment(**extra),
        timeout=seconds,
        check=False,
        cwd=cwd,
    )


class Stopping(uvicorn.Server):
    """A server that stops as soon as it has begun."""

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.should_exit = True


PARROT = """
from millstream import providers

class Parrot(providers.Provider):
    name = "parrot"

    def __init__(self, model, *, wings, **more): ...
"""


def parrot(folder):
    """A package in this folder with a provider that takes neither an address nor nothing; gives its `PYTHONPATH`."""
    info = folder / "parrot-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: parrot\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[millstream.providers]\nparrot = parrot:Parrot\n")
    (folder / "parrot.py").write_text(PARROT)
    return os.pathsep.join([str(folder), environment()["PYTHONPATH"]])


def failed(done, code, *words):
    """It has failed as a command should: one line on stderr, no traceback, with these words."""
    assert done.returncode == code, done.stderr
    said = done.stderr.splitlines()
    assert said, "nothing on stderr"
    assert "Traceback" not in done.stderr
    assert said[-1].startswith("millstream ")
    for word in words:
        assert word in said[-1]
    return True


@contextmanager
def started(*args, **options):
    """Run it while the block runs."""
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()} | options
    with subprocess.Popen([*COMMAND, *map(str, args)], **options) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def replaying(*args):
    """`millstream replay` on a free port; gives its URL."""
    with started("replay", "--port", "0", "--speed", "max", *args, stderr=subprocess.DEVNULL) as process:
        first = process.stdout.readline().decode()
        yield first.rpartition(" on ")[2].partition(";")[0]


def press_ctrl_c(process):
    until_asleep(process)
    process.send_signal(signal.SIGINT)


def until_asleep(process):
    """Return when it waits for input, a connection or a timer, so that a signal interrupts that.

    Python looks for signals between instructions, and when the system has interrupted a call. One that comes between
    the last look and the call is heard only when the call returns by itself; one that comes while modules are imported
    or objects die may be raised where nobody can catch it.
    """
    while True:
        assert process.poll() is None, f"it has ended with {process.returncode}"
        try:
            state = Path(f"/proc/{process.pid}/stat").read_text().rpartition(") ")[2]
        except OSError:  # not Linux
            command = ["ps", "-o", "state=", "-p", str(process.pid)]
            state = subprocess.run(command, capture_output=True, text=True, check=False).stdout
        if state.startswith(("S", "I")):
            return
        time.sleep(0.001)


class Terminal:
    """A terminal with the command on it. `shown` is all that it has written so far."""

    def __init__(self, *args, **extra):
        import pty

        self._master, slave = pty.openpty()
        env = environment(TERM="xterm", **extra)
        self.process = subprocess.Popen(
            [*COMMAND, *map(str, args)], stdin=slave, stdout=slave, stderr=slave, env=env, start_new_session=True
        )
        os.close(slave)
        self._raw = b""
        self.shown = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    def type(self, text):
        with suppress(OSError):  # it has ended
            os.write(self._master, text.encode())

    def read_until(self, word, count=1, after=""):
        """Read until it was shown so many times, behind what was shown already."""
        start = self.shown.index(after)
        while self.shown.count(word, start) < count:
            assert self._read(), f"ended before {word!r} was shown: {self.shown}"

    def read_all(self):
        while self._read():
            pass
        self.process.wait(SECONDS)
        return self.shown

    def _read(self):
        try:
            data = os.read(self._master, 65536)
        except OSError:  # EIO: how Linux reports the end of a terminal
            return False
        self._raw += data
        self.shown = self._raw.decode(errors="replace").replace("\r\n", "\n")  # whole: a read may end between the two
        return bool(data)
