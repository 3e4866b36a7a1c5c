"""`millstream replay`: recordings served as a provider's endpoint, for work without a key and for tests."""

from __future__ import annotations

import warnings
from argparse import Namespace

import orjson
import uvicorn

from millstream.cli._failure import CommandError, printable
from millstream.cli._port import listen
from millstream.errors import UsageError
from millstream.server.replay import RECORDING_HEADER, Recording, ReplayApp, load_recordings

__all__ = ["run"]


def run(args: Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns: 0, when the server was told to stop otherwise. Raises: CommandError: the folder or the port will not do.
    """
    recordings = _load(args.folder)
    try:
        app = ReplayApp(recordings, speed=args.speed, turns=args.recording)
    except UsageError as error:
        raise CommandError(str(error), 2) from None
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, log_level="critical", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with listen(args.host, args.port) as sock:
        host, port = sock.getsockname()[:2]
        at = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"serving {len(recordings)} recordings on {at}; Ctrl-C ends it", flush=True)
        for endpoint in dict.fromkeys(item.info["endpoint"] for item in recordings.values()):
            names = [name for name, item in recordings.items() if item.info["endpoint"] == endpoint]
            print(printable(f"  {at}{endpoint}: {', '.join(names)}"), flush=True)
        if len(args.recording) > 1:
            print(printable(f"  in turn, again and again: {', '.join(args.recording)}"), flush=True)
        print(f"choose one by the header {RECORDING_HEADER}; GET {at}/recordings lists them", flush=True)
        # Ctrl-C may come before uvicorn's loop runs; what it then warns of is nothing to tell a user.
        warnings.filterwarnings("ignore", "coroutine 'Server.serve' was never awaited", RuntimeWarning)
        server.run(sockets=[sock])
    return 0


def _load(folder: str | None) -> dict[str, Recording]:
    try:
        recordings = load_recordings(folder)
    except OSError as error:
        raise CommandError(
            f"cannot read {error.filename}: {error.strerror}; `millstream record` makes a folder", 2
        ) from None
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise CommandError(f"the INDEX.json in {folder} is none that `millstream record` makes", 2) from None
    if not recordings:
        raise CommandError(f"no recordings in {folder}", 2)
    return recordings
