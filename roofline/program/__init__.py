"""What a network is, without sizes and without hardware: axes, operators, groups, collectives, workloads."""
