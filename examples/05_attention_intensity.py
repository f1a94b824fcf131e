"""Attention's arithmetic intensity: grows with a prompt, stays below G in decode; and where the ridge lies."""

import roofline

prefill = roofline.formula("attention", phase="prefill", quantity="intensity")
decode = roofline.formula("attention", phase="decode", quantity="intensity")
print(f"prefill  {prefill.expression}\ndecode   {decode.expression}")

h100 = roofline.load_hardware("h100")
ridge = roofline.Roofline.of(h100, "bf16").ridge_point
for tokens in (128, 1024, 8192):
    sizes = {"G": 4, "S": tokens}
    print(
        f"{tokens:5} tokens: prefill {prefill.substituted(**sizes).value:6.1f} FLOP/B, "
        f"decode {decode.substituted(**sizes).value:.2f}; the H100's ridge is at {ridge:.0f}"
    )
