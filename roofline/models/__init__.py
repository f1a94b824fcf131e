"""One file per network shape; a ``model_type`` is one entry that maps its fields onto a shape."""
