"""The `lsmkv` command. main.py parses and reports, commands.py lists what there is.

Nothing here knows a lock, a thread or how a byte gets to disk: commands use the public API. Only
the dump_*.py files read the formats, to show what lies on disk.
"""
