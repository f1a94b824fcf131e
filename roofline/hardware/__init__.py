"""What a device is, by its data sheet: specs, rooflines, systems, the library of them."""
