"""The training loop's parts: stages, callbacks, checkpoints, schedules, distribution, run folders."""
