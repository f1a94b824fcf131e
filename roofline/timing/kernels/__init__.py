"""Which corrections apply to which operators, and to which term of their time.

    time = latency + launches + ((compute x work)^p + memory^p)^(1/p)

``tiles`` computes a matmul in whole tiles, ``work`` says how often FLOPs count, ``traffic`` what moves, ``bandwidth``
how long that takes, ``launches`` what runs beside the kernel. The formulas are those of
``roofline.calibration.corrections``. Work done in vain appears as more FLOPs or bytes, a second kernel as latency, so
that the shares of the time stay its elasticities. A device's calibration has corrections; a class has hardly any.
"""
