"""`millstream serve`: a gateway on uvicorn, in one process or several.

Several processes are uvicorn's workers on one socket: each makes its own gateway from the same arguments, and they meet
in Redis. Keys come from the environment, never from the command line, which every user of a machine can read.
"""

from __future__ import annotations

import ipaddress
import os
import re
import signal
import socket
import warnings
from argparse import Namespace
from contextlib import suppress
from functools import partial
from inspect import signature
from multiprocessing import current_process
from typing import Any

import uvicorn
from uvicorn.supervisors import Multiprocess

import millstream as ms
from millstream.cli._failure import CommandError, complain, printable
from millstream.cli._heads import BoundedHeads
from millstream.cli._port import listen
from millstream.server.gateway import Gateway, GatewayLimits, Keys

__all__ = ["make_gateway", "run"]

OPTIONS = ("base_url", "key_env")
SPEC = re.compile(r"(?:(?P<name>[^=,]+)=)?(?P<provider>[^=:,]+)(?::(?P<model>[^,]*))?(?P<options>(?:,[a-z_]+=[^,]*)*)")
SHUTDOWN_SECONDS = 5  # for uvicorn, after the gateway's own grace
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def run(args: Namespace) -> int:
    """Serve until Ctrl-C or SIGTERM, and then until the streams have ended or the grace is over.

    Returns: 0, or 1 if it could not start; uvicorn ends the process by the signal that it got.
    Raises: CommandError: an argument, a key or the port will not do.
    """
    _refuse_open_door(args)
    if args.workers > 1 and not args.redis and args.resume != "never":
        raise CommandError("several workers share streams through --redis URL; or say --resume never", 2)
    gateway = make_gateway(args)  # what is wrong is said here, once
    config = uvicorn.Config(
        partial(make_gateway, args),
        factory=True,
        workers=args.workers,
        http=BoundedHeads,
        lifespan="on",
        ws="none",
        log_config=None,
        log_level="error",  # what fails inside is told on stderr
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_SECONDS,
    )
    with listen(args.host, args.port) as sock:
        host, port = sock.getsockname()[:2]
        at = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        print(printable(f"serving {', '.join(gateway.models)} on {at}/v1; Ctrl-C ends it", one_line=True), flush=True)
        if args.workers > 1:
            _supervisor(config, sock).run()
            return 0
        # As in `replay`: Ctrl-C may come before uvicorn's loop runs.
        warnings.filterwarnings("ignore", "coroutine 'Server.serve' was never awaited", RuntimeWarning)
        server = uvicorn.Server(config)
        with suppress(SystemExit):  # of newer versions of uvicorn, where it could not start
            server.run(sockets=[sock])
        return 0 if server.started else complain("serve", "the gateway could not start", 1)


def _supervisor(config: uvicorn.Config, sock: socket.socket) -> Any:
    options: dict[str, Any] = {"sockets": [sock]}
    if "target" in signature(Multiprocess).parameters:  # older versions of uvicorn
        options["target"] = uvicorn.Server(config).run
    return Multiprocess(config, **options)


def make_gateway(args: Namespace) -> Gateway:
    """Make the gateway that the arguments describe, in the process that is to serve it. Raises: CommandError."""
    models: dict[str, Any] = {}
    for spec in args.provider:
        name, model = _provider(spec)
        if name in models:
            raise CommandError(f"two models are called {name!r}: give one another name, as in NAME={spec}", 2)
        models[name] = model
    return Gateway(
        models,
        keys=Keys(_keys(args.api_key_env)) if args.api_key_env else None,
        log=ms.relay.RedisLog(args.redis) if args.redis else None,
        resume=args.resume or "asked",
        limits=GatewayLimits(max_streams=args.max_streams),
        watchers=Keys(_keys([args.metrics_key_env])) if args.metrics_key_env else None,
        origins=args.origin,
        expose_errors=args.expose_errors,
        grace=args.grace,
        notice=args.notice,
        signals=SIGNALS,
        worker=current_process().name if args.workers > 1 else "",
    )


def _provider(spec: str) -> tuple[str, ms.Provider]:
    """Read `[NAME=]PROVIDER:MODEL[,base_url=URL][,key_env=VARIABLE]`."""
    match = SPEC.fullmatch(spec)
    if match is None:
        raise CommandError(f"--provider {spec!r} is none: write [NAME=]PROVIDER:MODEL[,base_url=URL][,key_env=VAR]", 2)
    given = dict(one.split("=", 1) for one in match["options"].split(",") if one)
    for option in given.keys() - set(OPTIONS):
        raise CommandError(f"--provider {spec!r}: no option {option}; known are {', '.join(OPTIONS)}", 2)
    options: dict[str, Any] = {"base_url": given["base_url"]} if "base_url" in given else {}
    if "key_env" in given:
        options["api_key"] = _environment(given["key_env"])
    model = match["model"] or ""
    try:
        made = ms.provider(f"{match['provider']}:{model}", **options)
    except ms.AuthError as error:
        raise CommandError(f"{error.message}; key_env=NAME names another variable", 2) from None
    except TypeError as error:  # by the provider of another package
        raise CommandError(f"the provider {match['provider']!r} cannot be made so: {error}", 2) from None
    return match["name"] or model or match["provider"], made


def _keys(variables: list[str]) -> list[str]:
    return [key for name in variables for key in _environment(name).split()]


def _environment(name: str) -> str:
    value = os.environ.get(name, "").strip()
    if not value:
        raise CommandError(f"the environment variable {name} is not set", 2)
    return value


def _refuse_open_door(args: Namespace) -> None:
    if args.api_key_env and args.no_auth:
        raise CommandError("--no-auth and --api-key-env exclude each other", 2)
    if not args.api_key_env and not args.no_auth:
        raise CommandError("who may ask? --api-key-env VARIABLE with keys, or --no-auth for this machine only", 2)
    if args.no_auth and not _is_loopback(args.host):
        raise CommandError(f"--no-auth on {args.host} would serve everybody who can reach it: give --api-key-env", 2)


def _is_loopback(host: str) -> bool:
    """Whether only this machine can reach it; a name counts by all its addresses."""
    try:
        found = {entry[4][0] for entry in socket.getaddrinfo(host, None)}
        return all(ipaddress.ip_address(str(address).partition("%")[0]).is_loopback for address in found)
    except (OSError, ValueError):
        return False
