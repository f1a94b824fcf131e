"""One operator by itself, or a table of them."""
