"""Floor 5, empty so far: drop-ins for other libraries, one file each."""
