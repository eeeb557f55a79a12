"""Pictures in and out: `source` reads anything, `draw` annotates, `sink` writes H.264."""
