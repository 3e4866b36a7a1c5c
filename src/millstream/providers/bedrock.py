"""Amazon Bedrock, signed with SigV4 through botocore, or with an API key of Bedrock.

Only signing and finding the credentials are botocore's work; the request is sent and decoded as everybody's.
Source: docs.aws.amazon.com "ConverseStream", "InvokeModelWithResponseStream"; botocore 1.44 `auth.SigV4Auth`;
anthropic 2.11 `lib/bedrock/_client.py`.
"""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from anyio import to_thread

from millstream.errors import AuthError, MissingExtra, UsageError
from millstream.messages import Request
from millstream.protocols.requests import request_body
from millstream.providers._base import HTTPProvider

__all__ = ["Bedrock"]

SIGNED = ("content-type", "host")
INVOKED = ("anthropic-messages", "openai-chat")


class Bedrock(HTTPProvider):
    """`POST /model/MODEL/converse-stream` of bedrock-runtime in a region, or `invoke-with-response-stream`.

    Without an API key (the argument, or AWS_BEARER_TOKEN_BEDROCK) requests are signed with the credentials that
    botocore finds: environment, profile, container, instance.

    Args:
        region: by default AWS_REGION or AWS_DEFAULT_REGION, else the one of the profile.
        session: a `botocore.session.Session` to take credentials from.
        invoke: the model's own wire, "anthropic-messages" or "openai-chat", to speak that in place of Converse; "" for
            Converse, which all models understand.
        options: as for `HTTPProvider`.
    Raises: UsageError: no region, or no such `invoke`. MissingExtra: no API key, and botocore is not installed.
    """

    name = "bedrock"
    protocol = "bedrock-converse"
    path = "/model/{model}/converse-stream"
    key_names = ("AWS_BEARER_TOKEN_BEDROCK",)
    url_names = ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME",)
    needs_key = False

    def __init__(
        self, model: str = "", *, region: str = "", session: Any = None, invoke: str = "", **options: Any
    ) -> None:
        if invoke not in ("", *INVOKED):
            raise UsageError(f"bedrock: invoke must be one of {', '.join(INVOKED)}, not {invoke!r}")
        if invoke:
            self.path = "/model/{model}/invoke-with-response-stream"
            self.protocol, self.frames = invoke, "bedrock-invoke"
            self.schemas = "none"  # a forced tool is what all versions of these models understand
        self._session = session
        self.region = region or os.environ.get("AWS_REGION", "") or os.environ.get("AWS_DEFAULT_REGION", "")
        if not self.region:
            self.region = self._botocore().get_config_variable("region") or ""
        if not self.region:
            raise UsageError("bedrock: give region, or set AWS_REGION")
        self.home = f"https://bedrock-runtime.{self.region}.amazonaws.com"
        super().__init__(model, **options)
        if self._key is None:
            self._botocore()

    def _url(self, request: Request) -> str:
        return self.base_url + self.path.format(model=quote(request.model, safe=""))

    def _body(self, request: Request) -> dict[str, Any]:
        if not self.frames:
            return super()._body(request)
        body = request_body(self.protocol, request, stream=False)  # the URL says it, and names the model
        del body["model"]
        version = {"anthropic_version": "bedrock-2023-05-31"} if self.protocol == "anthropic-messages" else {}
        return {**version, **body}

    async def _sign(self, request: Any) -> None:
        if self._key is not None:
            await super()._sign(request)
        else:  # finding credentials reads files and asks services
            request.headers.update(await to_thread.run_sync(self._signature, request))

    def _no_key(self) -> str:
        return f"it was signed for {self.region} with the credentials that botocore found"

    def _signature(self, request: Any) -> dict[str, str]:
        from botocore.auth import SigV4Auth  # type: ignore[import-untyped]
        from botocore.awsrequest import AWSRequest  # type: ignore[import-untyped]

        credentials = self._botocore().get_credentials()
        if credentials is None:
            raise AuthError("bedrock: botocore finds no credentials; log in, or pass api_key", provider=self.name)
        headers = {name: request.headers[name] for name in SIGNED}
        to_sign = AWSRequest("POST", str(request.url), headers, request.content)
        SigV4Auth(credentials.get_frozen_credentials(), "bedrock", self.region).add_auth(to_sign)
        return {name: value for name, value in to_sign.headers.items() if name.lower() not in SIGNED}

    def _botocore(self) -> Any:
        if self._session is None:
            try:
                from botocore.session import Session  # type: ignore[import-untyped]
            except ImportError as error:
                raise MissingExtra(
                    "bedrock is signed by botocore: pip install 'millstream[bedrock]', or pass api_key"
                ) from error
            self._session = Session()
        return self._session
