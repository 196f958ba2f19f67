"""How anything here learns: losses, solvers, the loop of epochs, layers, checkpoints.

torch, and never scikit-learn. Nothing is imported here, for torch takes a second to load.
"""
