"""Where streams come from, one file each."""
