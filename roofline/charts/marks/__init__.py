"""What several charts draw: rooflines, points, numbers, measurements."""
