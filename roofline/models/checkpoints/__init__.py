"""How published files store their networks: ``quantization_config``, side files, the tensors themselves."""
