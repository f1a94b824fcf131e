"""A prediction: a request read once, its steps timed and summed, layouts searched, what-ifs evaluated."""
