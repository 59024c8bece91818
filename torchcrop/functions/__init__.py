"""Mathematics without crop knowledge: smoothing, switches, tables, and the functions of FST."""
