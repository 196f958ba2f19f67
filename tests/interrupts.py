"""A user who presses Ctrl-C during a fit."""

import io
import math
import re


class InterruptingStream(io.StringIO):
    """Where the progress bar is drawn, and a user who presses Ctrl-C once it shows an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def write(self, text):
        shown = re.search(r"(\d+)/\d+", text)
        if shown and int(shown[1]) >= self.epoch:
            self.epoch = math.inf
            raise KeyboardInterrupt
        return super().write(text)
