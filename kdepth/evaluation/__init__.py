"""How good is a depth map? Metrics, protocols, baselines and the results table.

NumPy (and pandas for the table) only: nothing here imports tensorflow or keras, so predictions of
any system can be scored by the same code. Read in this order: `metrics` (one image), `protocol`,
`crops` and `scaling` (what is compared, and how), `protocols` (the known ones), `baselines` (what a
network must beat), `scoring` (the loop over a split), `bootstrap` and `compare` (how far a figure
can be trusted), `table` (the row that stays).
"""
