"""Where does batching stop helping? One decode step at every batch, by the expected time."""

import roofline

model, device = roofline.load_model("llama-3.1-8b"), roofline.load_hardware("h100")
for batch in (1, 2, 4, 8, 16, 32, 64, 128, 256):
    step = roofline.predict(model, device, batch=batch, context=2048).phases["decode"].figures
    print(f"batch {batch:3}: {step.time_s * 1e3:6.2f} ms, {batch / step.time_s:8,.0f} tokens/s, {step.bound_by}-bound")
