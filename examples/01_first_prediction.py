"""What does a model cost on a device, and what limits it?"""

import roofline

prediction = roofline.predict("llama-3.1-8b", "h100", batch=16, prompt=2048, generate=256)
print(f"fits: {prediction.memory.fits}, {prediction.memory.total_bytes / 1e9:.1f} GB")
for name, phase in prediction.phases.items():
    f = phase.figures
    print(f"{name}: {f.time_s * 1e3:.2f} ms ({f.low_s * 1e3:.2f} to {f.high_s * 1e3:.2f}), {f.bound_by}-bound")
