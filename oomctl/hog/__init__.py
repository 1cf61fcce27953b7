"""Memory hogs: their C, how they are started, and what they report."""
