"""`millstream replay`: recordings served as a provider's endpoint, for work without a key and for tests."""

from __future__ import annotations

import socket
import warnings
from argparse import Namespace

import orjson
import uvicorn

from millstream.cli._failure import CommandError, printable
from millstream.server.replay import RECORDING_HEADER, Recording, ReplayApp, load_recordings

__all__ = ["run"]


def run(args: Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM.

    Returns: 0, when the server was told to stop otherwise. Raises: CommandError: the folder or the port will not do.
    """
    recordings = _chosen(_load(args.folder), args.recording)
    app = ReplayApp(recordings, speed=args.speed)
    config = uvicorn.Config(
        app, lifespan="off", ws="none", log_config=None, log_level="critical", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(config)
    with _listen(args.host, args.port) as sock:
        host, port = sock.getsockname()[:2]
        at = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(f"serving {len(recordings)} recordings on {at}; Ctrl-C ends it", flush=True)
        for endpoint in dict.fromkeys(item.info["endpoint"] for item in recordings.values()):
            names = [name for name, item in recordings.items() if item.info["endpoint"] == endpoint]
            print(printable(f"  {at}{endpoint}: {', '.join(names)}"), flush=True)
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


def _chosen(recordings: dict[str, Recording], names: list[str]) -> dict[str, Recording]:
    """Leave out what shares an endpoint with a recording that was asked for: the app serves what is left."""
    for name in names:
        if name not in recordings:
            raise CommandError(f"no recording {name!r}; there are: {', '.join(recordings)}", 2)
    taken = {recordings[name].info["endpoint"] for name in names}
    return {name: item for name, item in recordings.items() if name in names or item.info["endpoint"] not in taken}


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise CommandError(
            f"cannot listen on {host} port {port}: {error.strerror}; --port 0 takes any free one"
        ) from None
