"""What the encoders of every modality share: columns of cells, readers of raw inputs, a base."""

__all__: list[str] = []
