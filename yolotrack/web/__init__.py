"""Pages that a browser watches streams in, and the app that serves them."""
