"""The page of `kdepth.serve`: its files (`web/`), the server that hands them out, the browser's runtime."""
