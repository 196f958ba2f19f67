"""X and y as arrays: columns, scaling, rows, targets. numpy, and never torch."""
