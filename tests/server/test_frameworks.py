"""One response object in every framework, over real HTTP."""

import threading
from contextlib import contextmanager
from wsgiref.simple_server import WSGIRequestHandler, make_server

import anyio
import django
import fastapi
import flask
import httpx2
import litestar
import pytest
import waitress
from django.conf import settings as django_settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import StreamingHttpResponse
from django.urls import path
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount, Route

import millstream as ms
from millstream.server import AsyncEventStreamBody, EventStreamBody, EventStreamResponse
from millstream.testing import HANG, ScriptedSource
from server.serving import serving

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

EVENTS = [ms.Start("m", "1"), ms.TextDelta("Hé\n\ndata: x"), ms.Finish(ms.FinishReason.STOP)]


def stream(*steps):
    return ms.Stream(ScriptedSource(*(steps or EVENTS)))


def starlette_app(source):
    async def endpoint(request):
        return EventStreamResponse(source())

    async def passing(request, call_next):
        return await call_next(request)

    middleware = [Middleware(GZipMiddleware, minimum_size=1), Middleware(BaseHTTPMiddleware, dispatch=passing)]
    return Starlette(routes=[Route("/", endpoint)], middleware=middleware)


def mounted_app(source):
    async def app(scope, receive, send):
        await EventStreamResponse(source())(scope, receive, send)

    return Starlette(routes=[Mount("/", app)])


def fastapi_app(source):
    app = fastapi.FastAPI()

    @app.get("/")
    async def endpoint() -> EventStreamResponse:
        return EventStreamResponse(source())

    return app


def fastapi_unannotated_app(source):
    app = fastapi.FastAPI()

    @app.get("/")
    async def endpoint():
        return EventStreamResponse(source())

    return app


def litestar_app(source):
    @litestar.get("/", sync_to_thread=False)
    def endpoint() -> EventStreamResponse:
        return EventStreamResponse(source())

    return litestar.Litestar([endpoint], openapi_config=None, logging_config=None)


APPS = [starlette_app, mounted_app, fastapi_app, fastapi_unannotated_app, litestar_app]


@pytest.mark.parametrize("make", APPS)
@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
async def test_asgi_frameworks_serve_it(make, accept, anyio_backend):
    async with serving(make(stream)) as url, httpx2.AsyncClient(trust_env=False) as http:
        response = await http.get(url, headers={"accept": accept})
    protocol = "millstream.events.v1" + ("+ndjson" if "ndjson" in accept else "")
    assert response.status_code == 200
    assert response.headers["content-type"] == ms.encoder(protocol).media_type
    assert response.headers["cache-control"] == "no-store"
    decoder = ms.decoder(protocol)
    assert decoder.feed(response.content) + decoder.close() == EVENTS


@pytest.mark.parametrize("make", APPS)
async def test_asgi_frameworks_let_it_see_the_client_leave(make, anyio_backend):
    source = ScriptedSource(EVENTS[0], HANG)
    async with serving(make(lambda: ms.Stream(source))) as url:
        async with httpx2.AsyncClient(trust_env=False) as http, http.stream("GET", url) as response:
            async for _ in response.aiter_bytes():
                break
        with anyio.fail_after(20):
            while not source.closed:
                await anyio.lowlevel.checkpoint()


async def test_background_tasks_of_fastapi_run_after_it(anyio_backend):
    done = anyio.Event()
    app = fastapi.FastAPI()

    @app.get("/")
    async def endpoint(tasks: fastapi.BackgroundTasks):
        tasks.add_task(done.set)
        return EventStreamResponse(stream())

    async with serving(app) as url, httpx2.AsyncClient(trust_env=False) as http:
        await http.get(url)
        with anyio.fail_after(20):
            await done.wait()


# --- WSGI ----------------------------------------------------------------------------------------------------------


class Quiet(WSGIRequestHandler):
    def log_message(self, *args):
        pass


@contextmanager
def wsgiref_server(app):
    with make_server("127.0.0.1", 0, app, handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def waitress_server(app):
    server = waitress.create_server(app, host="127.0.0.1", port=0, threads=2)
    stopping = threading.Event()

    def run():  # `server.run` has no way to be stopped from another thread
        while not stopping.is_set():
            server.asyncore.loop(timeout=0.05, count=1, map=server._map)
        server.task_dispatcher.shutdown()
        server.asyncore.close_all(server._map)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        stopping.set()
        thread.join()


def flask_app(make):
    app = flask.Flask("x")

    @app.get("/")
    def endpoint():
        body = EventStreamBody(make(), accept=flask.request.headers.get("accept", "")).open()
        return flask.Response(body, body.status, body.headers)

    return app


def django_app(make):
    configure_django()

    def endpoint(request):
        body = EventStreamBody(make(), accept=request.headers.get("accept", "")).open()
        return StreamingHttpResponse(body, status=body.status, headers=body.headers)

    urls["x"] = endpoint
    return WSGIHandler()


def bare_app(make):
    return lambda environ, start_response: EventStreamBody(make())(environ, start_response)


urls = {}


def configure_django():
    if not django_settings.configured:

        async def asynchronous(request):
            body = AsyncEventStreamBody(urls["async"](), accept=request.headers.get("accept", ""))
            return StreamingHttpResponse(body, status=body.status, headers=body.headers)

        root = type("Urls", (), {"urlpatterns": [path("", lambda r: urls["x"](r)), path("async", asynchronous)]})
        django_settings.configure(ROOT_URLCONF=root, ALLOWED_HOSTS=["*"], SECRET_KEY="x", LOGGING_CONFIG=None)
        django.setup()


@pytest.mark.parametrize("server", [wsgiref_server, waitress_server])
@pytest.mark.parametrize("framework", [flask_app, django_app, bare_app])
@pytest.mark.parametrize("make", [stream, lambda: iter(EVENTS)], ids=["stream", "iterable"])
@pytest.mark.parametrize("accept", ["text/event-stream", "application/x-ndjson"])
def test_wsgi_frameworks_serve_it(server, framework, make, accept, anyio_backend):
    with server(framework(make)) as url, httpx2.Client(trust_env=False) as http:
        response = http.get(url, headers={"accept": accept})
    protocol = "millstream.events.v1" + ("+ndjson" if "ndjson" in accept else "")
    assert response.headers["content-type"] == ms.encoder(protocol).media_type
    decoder = ms.decoder(protocol)
    assert decoder.feed(response.content) + decoder.close() == EVENTS


@pytest.mark.parametrize("framework", [flask_app, django_app, bare_app])
def test_wsgi_frameworks_tell_what_kept_it_from_beginning(framework, anyio_backend):
    def fail():
        raise ms.RateLimited("key sk-1", status=429, retry_after=3)
        yield

    with wsgiref_server(framework(fail)) as url, httpx2.Client(trust_env=False) as http:
        response = http.get(url)
    assert response.status_code == 429
    assert response.headers["retry-after"] == "3"
    assert response.json()["error"]["type"] == "rate_limited"
    assert "sk-1" not in response.text


async def test_djangos_async_view_serves_it(anyio_backend):
    configure_django()
    urls["async"] = stream
    async with serving(ASGIHandler()) as url, httpx2.AsyncClient(trust_env=False) as http:
        response = await http.get(url + "/async")
    decoder = ms.decoder("millstream.events.v1")
    assert decoder.feed(response.content) + decoder.close() == EVENTS
