"""The page: the verbs as JSON over HTTP on this machine, and what a browser makes of them. Nothing is computed here."""
