"""A capture of the corpus for each provider, its real path, and where its key travels."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Case(NamedTuple):
    """provider name, base URL, path on the server, header with the key, capture, model, options of the provider."""

    name: str
    base: str
    path: str
    header: str
    file: str
    model: str = "m"
    options: Mapping[str, str] = MappingProxyType({})

    @property
    def id(self) -> str:
        return f"{self.name}-{self.file.rpartition('/')[2][:30]}"


def _bearer(name: str, base: str, file: str) -> Case:
    return Case(name, base, base + "/chat/completions", "authorization", file)


CASES = [
    _bearer("openai", "/v1", "openai/chat-completion-multiple-tools-streaming-with-content-886956.sse"),
    _bearer("openai", "/v1", "openai/direct-api-streaming-no-duplication-comprehensive-a15f34.sse"),
    Case(
        "openai-responses",
        "/v1",
        "/v1/responses",
        "authorization",
        "openai/call-with-tools-openai-gpt-4o-responses-async-stream-0b083c.sse",
    ),
    Case(
        "openai-responses",
        "/v1",
        "/v1/responses",
        "authorization",
        "openai/max-tokens-openai-gpt-4o-responses-async-stream-16afef.sse",
    ),
    Case(
        "anthropic",
        "",
        "/v1/messages",
        "x-api-key",
        "anthropic/call-with-tools-anthropic-claude-sonnet-4-0-async-stream-476ed2.sse",
    ),
    Case(
        "anthropic",
        "",
        "/v1/messages",
        "x-api-key",
        "anthropic/call-with-thinking-anthropic-claude-sonnet-4-0-async-stream-a86f31.sse",
    ),
    Case(
        "gemini",
        "",
        "/v1beta/models/gemini-3.5-flash:streamGenerateContent",
        "x-goog-api-key",
        "google-ai/tools-parallel-fde1d2.sse",
        "gemini-3.5-flash",
    ),
    Case(
        "gemini",
        "",
        "/v1beta/models/m:streamGenerateContent",
        "x-goog-api-key",
        "google-ai/call-with-thinking-google-gemini-2-5-flash-async-stream-9e5d8f.sse",
    ),
    Case("ollama", "", "/api/chat", "authorization", "ollama/ollama-streaming-chat-legacy-78a3cf.ndjson"),
    Case(
        "cohere",
        "",
        "/v2/chat",
        "authorization",
        "cohere/cohere-v2-chat-legacy-with-tool-calls-and-streaming-8269a7.sse",
    ),
    Case("cohere", "", "/v2/chat", "authorization", "cohere/cohere-v2-chat-legacy-with-streaming-async-c7371b.sse"),
    Case(
        "bedrock",
        "",
        "/model/anthropic.claude-v1:0/converse-stream",
        "authorization",
        "amazon-bedrock/bedrock-model-iter-stream-8ec71f.eventstream",
        "anthropic.claude-v1:0",
    ),
    Case(
        "bedrock",
        "",
        "/model/us.anthropic.claude-v1:0/invoke-with-response-stream",
        "authorization",
        "amazon-bedrock/anthropic-tool-variations-dc8703.eventstream",
        "us.anthropic.claude-v1:0",
        {"invoke": "anthropic-messages"},
    ),
    Case(
        "vertex",
        "",
        "/v1/projects/p/locations/eu/publishers/google/models/gemini-3-flash:streamGenerateContent",
        "authorization",
        "google-vertex/chat-with-extended-thinking-vertexai-gemini-3-flash-preview-stre-a5ec7e.sse",
        "gemini-3-flash",
    ),
    Case(
        "vertex",
        "",
        "/v1/projects/p/locations/eu/publishers/google/models/m:streamGenerateContent",
        "authorization",
        "google-vertex/streaming-success-function-call-short-0d2b7a.sse",
    ),
    Case(
        "vertex-anthropic",
        "",
        "/v1/projects/p/locations/eu/publishers/anthropic/models/m:streamRawPredict",
        "authorization",
        "anthropic/call-with-tools-anthropic-claude-sonnet-4-0-async-stream-476ed2.sse",
    ),
    Case(
        "azure",
        "",
        "/openai/v1/chat/completions",
        "api-key",
        "azure/completion-azure-stream-f9f899.sse",
    ),
    _bearer("cerebras", "/v1", "local/completion-stream-proxy-be8e28.sse"),
    _bearer("deepseek", "", "deepseek/deepseek-tool-variations-ee3893.sse"),
    _bearer("groq", "/openai/v1", "groq/groq-v1-955b04.sse"),
    _bearer("huggingface", "/v1", "huggingface/cancel-recorded-provider-stream-huggingface-146e32.sse"),
    _bearer("llamacpp", "/v1", "local/completion-stream-proxy-be8e28.sse"),
    _bearer("lmstudio", "/v1", "local/completion-stream-proxy-be8e28.sse"),
    _bearer("mistral", "/v1", "mistral/chat-mistral-hybrid-reasoning-streams-thinking-separately-from-c-75fb6a.sse"),
    _bearer("mistral", "/v1", "mistral/mistral-tool-call-bfa7b0.sse"),
    _bearer("mistral", "/v1", "mistral/mistral-incremental-tool-call-4b037b.sse"),
    _bearer("ollama-chat", "/v1", "ollama/chat-function-calling-ollama-cloud-gpt-oss-120b-can-use-tools-wi-c7ca47.sse"),
    _bearer("openrouter", "/api/v1", "openrouter/openrouter-streaming-reasoning-e2330a.sse"),
    _bearer("perplexity", "", "perplexity/perplexity-text-7f3bc9.sse"),
    _bearer("vllm", "/v1", "gpustack/chat-streaming-responses-gpustack-qwen3-supports-streaming-respo-56ab04.sse"),
    _bearer("xai", "/v1", "xai/xai-tool-call-39903a.sse"),
    _bearer("zai", "/api/paas/v4", "zai/zai-thinking-stream-f786b6.sse"),
]
