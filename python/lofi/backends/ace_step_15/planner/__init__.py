"""The 5 Hz planner: a language model that thinks about a piece before it is played.

It fills in tempo, key, meter, duration, language and, when asked, caption and lyrics, then sketches
the piece as five codes a second. `planner.Planner` is the door; the rooms behind it know prompts,
rules of writing, the network, decoding and reading.
"""
