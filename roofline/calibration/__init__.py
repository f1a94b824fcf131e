"""The constants of devices, links and classes: what is reached of a data sheet's rates, and the evidence."""
