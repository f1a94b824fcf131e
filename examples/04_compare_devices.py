"""The same question to every device that is shipped."""

import roofline
from roofline.hardware import hardware_names

for name in hardware_names():
    prediction = roofline.predict("bert-large", name, batch=8, prompt=384)
    figures = prediction.phases["encode"].figures
    print(
        f"{name:15} {figures.time_s * 1e3:8.2f} ms  bound {figures.bound_s * 1e3:8.2f} ms  {prediction.constants.name}"
    )
