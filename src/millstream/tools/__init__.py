"""Tools and runs of several steps: functions that a model can call, and the loop that runs its calls."""

from millstream.tools._agent import Agent
from millstream.tools._context import Deny, ToolContext
from millstream.tools._run import Run, run_steps
from millstream.tools._runner import ToolRunner
from millstream.tools._state import RunState, Step
from millstream.tools._tool import Tool, tool, tool_specs
from millstream.tools.stop import all_of, any_of, custom, max_steps, max_tokens, text_length, tool_seen
from millstream.tools.tracker import ToolTracker, truncate

__all__ = [
    "Agent",
    "Deny",
    "Run",
    "RunState",
    "Step",
    "Tool",
    "ToolContext",
    "ToolRunner",
    "ToolTracker",
    "all_of",
    "any_of",
    "custom",
    "max_steps",
    "max_tokens",
    "run_steps",
    "text_length",
    "tool",
    "tool_seen",
    "tool_specs",
    "truncate",
]
