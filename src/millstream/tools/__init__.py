"""Tools and runs of several steps: functions that a model can call, and the loop that runs its calls."""

from millstream.tools._agent import Agent, OpenStep
from millstream.tools._context import Deny, ToolContext
from millstream.tools._run import Run, run_steps
from millstream.tools._runner import Approve, OnToolError, ToolRunner
from millstream.tools._state import RunState, Step
from millstream.tools._tool import AnyTool, Tool, as_tools, tool, tool_specs
from millstream.tools.stop import (
    StopCondition,
    StopWhen,
    all_of,
    any_of,
    custom,
    max_steps,
    max_tokens,
    text_length,
    tool_seen,
)
from millstream.tools.tracker import ToolTracker, truncate

__all__ = [
    "Agent",
    "AnyTool",
    "Approve",
    "Deny",
    "OnToolError",
    "OpenStep",
    "Run",
    "RunState",
    "Step",
    "StopCondition",
    "StopWhen",
    "Tool",
    "ToolContext",
    "ToolRunner",
    "ToolTracker",
    "all_of",
    "any_of",
    "as_tools",
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
