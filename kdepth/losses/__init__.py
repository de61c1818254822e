"""Terms of training losses: per-pixel maps and per-example sums, which a paper weights and adds."""
