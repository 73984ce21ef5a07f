"""ACE-Step v1 (3.5B): text to music, and the variations of what it made."""
