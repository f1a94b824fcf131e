"""Reading and writing of files: data folders, strict YAML, what pydantic finds, writes that are whole or not at all."""
