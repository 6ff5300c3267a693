"""What `Spec.explain` tells about inference: the E-step, the M-step as `em` compiled it, what PyMC samples, what the data hide.

Downstream of `em`, because the steps are read off its compiled M-step and not guessed from the names of distributions.
"""
