"""Sweeps: a study of models, hardware, layouts, formats and grids of lengths becomes a folder of Parquet files."""
