"""Floor 4, empty so far: tool registry, runner, multi-step loop, stop conditions."""
