"""The closed loop: calibrate a device, time the real model, lay both beside the prediction. The only user of torch."""
