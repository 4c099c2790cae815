"""Programs behind `scripts/`: each prints what it found and exits with 1 where a check fails."""
