"""Floor 5, empty so far: end points, authentication and error mapping per provider."""
