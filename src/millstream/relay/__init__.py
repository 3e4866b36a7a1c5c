"""Floor 4, empty so far: streams that outlive their connection and their process."""
