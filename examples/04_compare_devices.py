"""The same question to every device that is shipped and can be had, the fastest memory first."""

import roofline
from roofline.hardware.loading import load_every_hardware
from roofline.hardware.selection import select, sort_by

for device in sort_by(select(load_every_hardware()), "bandwidth"):
    prediction = roofline.predict("bert-large", device, batch=8, prompt=384)
    figures, constants = prediction.phases["encode"].figures, prediction.constants.name
    print(f"{device.name:22} {figures.time_s * 1e3:8.2f} ms  bound {figures.bound_s * 1e3:8.2f} ms  {constants}")
