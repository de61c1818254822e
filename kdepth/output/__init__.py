"""What `predict` writes: colour maps, 16-bit PNGs, arrays, point clouds, videos.

`outputs.Outputs` takes one `Result` after the other and writes what was asked for. A new kind of
file for each picture is a function in `files.py`, which returns what the summary shall say, a name
in `outputs.KINDS` and a line in `Outputs.write`.
"""
