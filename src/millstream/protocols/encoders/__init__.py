"""Events to the wires that clients expect, one file per wire. Pure and synchronous, as the decoders are.

What all of them do:

- **Order is forgiven.** An event before `Start` begins the wire with an empty one; what comes after its end gives b"".
- **What a wire has no word for gives b""**, and the file's docstring lists it. Encoding then decoding gives the same
  events for all the rest (`tests/protocols/encoders/test_round_trip.py`).
- **What was cut off never looks complete**: an answer without its own end gets none, a call that was cut off is not
  confirmed.
- **Nothing can break out of its frame**: CR, LF and NUL in ids and event names, and what is no JSON, raise
  `EncodeError` before anything of the event is written.

What a client is told of an error. Only typed errors travel: an `Error` event holds a `StreamError`, never what made it
fail inside. Its cause, its traceback, its `body` and what had arrived before it stay here in any case. `expose_errors`
decides on the words, and all encoders have it:

- True, the default of wires between servers (`openai-chat`, `openai-responses`, `anthropic-messages`, `mcp-sse`,
  `millstream.events.v1`): the message of the error, which for a `ProviderError` are the provider's words, and its code.
- False, the default of `ui-message`, which browsers read: one sentence of ours for the kind of error, and one for any
  tool that failed. A provider's words can name accounts, quotas, hosts and parts of a key, a tool's words whatever it
  read. Set it on the other wires where strangers are the clients.

`Raw` of the same wire is passed on only where it is a whole item that no event names: blocks of `anthropic-messages`
(compaction, fallback), items of `openai-responses` (compaction, `mcp_list_tools`, calls of built-in tools that the
client runs), JSON-RPC messages of `mcp-sse`. All other `Raw` stays here: what the typed events say would be told twice,
and what a transform took out of them would come back by it.
"""
