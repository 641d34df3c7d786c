"""Constants of the published layers, tuned on the regression that Explore opens with, seed 0.

Found and written by ``python -m ttr_core.tools.tunings --write``: where each knob of a layer stands
(`ttr_core.lab.tasks.constants.knobs`), in their order; None is the ingredient's own rule.
`SETTINGS`: those that are not the task's defaults.
"""

from typing import Any

SETTINGS: dict[str, Any] = {"process": "repeated", "seq_len": 128}

FOUND: dict[str, tuple[float | None, ...]] = {
    "ExpKernel | Constant | Exact": (4.0,),
    "Gate * ExpKernel | Constant | Exact": (8.0, -0.2),
    "Decay(slope=8.0) * ExpKernel | Constant | Exact": (0.95, 8.0),
    "ExpKernel * Window(size=64) | Constant | Exact": (4.0,),
    "ExpKernel | Affine | Exact": (4.0, 10.0),
    "Uniform | Kernel | Exact(ridge=0.1)": (8.0,),
    "ExpKernel(scale=2.0) | Quadratic | Exact": (1.0,),
    "Whitened | Constant | Exact": (1.0,),
    "Uniform | Linear | Exact": (1.0,),
    "Gate * Importance | Linear | Exact": (0.01, -0.07, 0.15848931924611134),
    "Gate * Importance | Linear | Chebyshev | readout=Mixed": (-0.07, 0.15848931924611134, 1.0),
    "Decay | Linear | Hebbian": (0.95,),
    "ChannelGate | Linear | Hebbian": (-0.05,),
    "Gate | Linear(map=polynomial) | Hebbian | readout=Normalized": (-0.07,),
    "Decay | Linear(map=dijiang) | Hebbian": (0.99,),
    "ChannelGate * Importance | Linear | Hebbian": (-0.05, 0.5),
    "Gate * Importance | Linear | Hebbian": (-0.05, 0.15848931924611134),
    "Gate * TwoTaps | Linear | OneStep": (-0.05, 0.5),
    "Gate * Importance | Linear | Hebbian | readout=Normalized(floor=abs1)": (-0.05, 0.5),
    "Gate * Importance | Linear(map=rff) | Hebbian | readout=Normalized(floor=clamp, eps=0.01)": (
        -0.02,
        0.01,
    ),
    "Gate * Fenwick | Linear | OneStep": (-0.05, 1.0),
    "Uniform | Linear | SGD": (1.0,),
    "Gate | Linear | SGD": (-0.005, 1.0),
    "Uniform | Linear | DiagonalImplicit": (0.06309573444801933,),
    "Uniform | Linear | Implicit": (15.848931924611133,),
    "Uniform | NormLinear | MiniBatch": (1.0,),
    "Uniform | MLP(activation=gelu_tanh, bias=True, std=0.02) | MiniBatch": (0.06309573444801933,),
    "Gate | MLP | ChunkMomentum(rate=0.1)": (-2.0, 0.01, 0.95),
    "Gate * Importance | MLP(wrapped=False, map=taylor2(scale=1.0)) | Omega": (0.0, 1.0, 1.0),
    "Gate * Importance | MLP(expansion=1, wrapped=False, std=1.0, std_last=0.02) | ChunkMuon": (
        -0.005,
        0.5,
        0.5,
        0.5,
    ),
    "Uniform | GatedMLP | LargeChunkMuon | loss=DotProduct": (0.5, 0.0),
    "Gate | MLP(expansion=1) | MirrorDescent(geometry=lq, rate=0.01) | loss=Lp": (1.0, -2.0, 0.01),
    "Gate | MLP | ChunkSGD | loss=Huber": (-2.0, 0.01, 0.15848931924611134),
    "Gate | MLP(expansion=1) | MirrorDescent(rate=0.01)": (2.0, 0.0, 1.0),
    "ChannelGate | Linear | Hebbian | readout=Bonus": (-0.07,),
    "Gate | Linear | Hebbian": (-0.05,),
    "Uniform | Linear | MultiStep": (0.6931448431551464,),
    "ChannelGate | Linear | SGD": (-0.005, 1.0),
    "Gate | Linear | MultiStep": (-0.005, 0.6931448431551464),
    "ChannelGate | Linear | EraseWrite": (-0.005, 0.5, 0.5),
    "ChannelGate | Linear | ChannelSGD": (0.0, 1.0, 0.5),
    "Gate | Linear | ClosedLoop": (-0.02, 1.0),
    "ChannelGate | Linear | GeneralizedDelta": (-0.005, 1.0),
    "Uniform | Linear | GradientFlow": (1.0,),
    "Gate | Linear | NLMS(share=token)": (-0.005, 1.0),
    "Gate | Linear | Preconditioned": (-0.005, 0.5, -2.0, 0.01),
    "ChannelGate | Linear | Preconditioned": (-0.005, 0.5, -2.0, 0.01),
    "ChannelGate | Linear | Kalman": (-0.005, 0.039810717055349734, 0.4),
    "ChannelGate | Linear | DiagonalKalman": (-0.005, 0.15848931924611134, 1.0),
    "Gate | Linear | Momentum(push_by=token, link=twice_sigmoid)": (
        -0.005,
        0.6931448431551464,
        0.57,
        0.5,
    ),
    "Gate | Linear | Residual": (-0.02, 0.5, 0.5),
    "Sparsemax | Constant | OneStep": (32.0,),
    "StickBreaking(offset=4.0) | Constant | OneStep": (8.0,),
    "Probed | Constant | OneStep": (64.0,),
    "Reflected | Constant | Exact": (8.0, 0.8),
    "SelfCorrected | Constant | OneStep": (8.0, 1.0),
    "Decorrelated | Constant | OneStep": (64.0,),
}
