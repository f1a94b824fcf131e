"""How what rests is kept: recipes of formats, what is multiplied in fp8, optimizer states, the host's memory."""
