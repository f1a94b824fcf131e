"""How a picture is drawn: sheets, scales, themes, places of texts, files."""
