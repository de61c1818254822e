"""What `predict` writes: colour maps, 16-bit PNGs, arrays, point clouds, videos.

`outputs.Outputs` takes one `Result` after the other and writes what was asked for. A new kind of
file for each picture is a function from a folder and a `Result` to what the summary shall say, and
one line in `outputs.PER_PICTURE`.
"""
