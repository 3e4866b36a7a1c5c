"""What is asked of a model: messages, their parts, and a request. Provider-neutral values, pure data, no I/O, no clock.

    Request(messages=[Message("system", "Be brief."), Message("user", ["What is this?", ImagePart(png)])])

Not known here: what any wire looks like. `protocols.requests` writes the body that each one expects and says which
field it cannot express; `protocols.history` makes the assistant's message of the events of its answer. All values are
frozen and go through `msgspec.json` both ways. Add a part: a class in `parts.py`, a member of `Part`, a role in
`message.ALLOWED`, and a case in each file of `protocols/requests/`. Source: DESIGN section 1, issue 6.
"""

from millstream.messages.message import Message, MessagesLike, Role, as_messages
from millstream.messages.parts import (
    FilePart,
    ImagePart,
    Part,
    ProviderPart,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    ToolResultPart,
)
from millstream.messages.request import Request, ResponseFormat, ToolSpec

__all__ = [
    "FilePart",
    "ImagePart",
    "Message",
    "MessagesLike",
    "Part",
    "ProviderPart",
    "ReasoningPart",
    "RefusalPart",
    "Request",
    "ResponseFormat",
    "Role",
    "TextPart",
    "ToolCallPart",
    "ToolResultPart",
    "ToolSpec",
    "as_messages",
]
