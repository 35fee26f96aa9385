"""Where training runs: threads, memory, processes that share a step, parts of a model too large for one."""
