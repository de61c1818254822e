"""Cameras, rigid motions and image warps: the maths that every paper shares.

`camera` and `pose` take NumPy arrays and any backend's tensors; `warp` works on tensors only.
"""
