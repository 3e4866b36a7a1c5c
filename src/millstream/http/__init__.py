"""Floor 5, empty so far: the fast HTTP/1.1 transport for httpx2, if it earns its place."""
