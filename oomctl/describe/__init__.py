"""Results in words: pure text that every renderer and every message shares."""
