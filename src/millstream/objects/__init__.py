"""Floor 4, empty so far: structured output while it streams."""
