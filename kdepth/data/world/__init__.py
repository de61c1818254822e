"""The embedded world: streets are laid out, driven through and written in KITTI's raw layout.

`settings` says how large a world is, `solids` what it is made of, `scene` lays out one street,
`motion` drives through it, `raycast` finds what a ray hits, `textures` colours it, `shadows`
darkens it, `drive` writes one drive and `worker` renders drives in a process of its own. NumPy and
Pillow only. What others use is in `kdepth.data.synthetic`.
"""
