"""Text from what was fused: names, captions and translations of rows of several modalities."""
