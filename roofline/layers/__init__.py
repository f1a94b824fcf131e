"""The software wing's formulas: one file per layer family, no numbers, no hardware."""
