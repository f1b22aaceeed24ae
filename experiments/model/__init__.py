"""The model: what a booking costs on this machine, and what that means for many of them.

`recording` listens to a real strategy once, with nobody in its way; `calibration` keeps what was
heard, with the machine's description. `simulate` lets many clients at it in simulated time, `law`
on paper. `validation` measures the same cells for real, through a `proxy` where the network is to
be slow, and says how far off the model was; `beyond` asks it what no test machine can answer.
"""
