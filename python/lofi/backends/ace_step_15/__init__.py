"""ACE-Step 1.5: text, lyrics and sound to music at 48 kHz."""
