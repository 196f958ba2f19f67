"""The order of the examples: what a reader asks first, then the others by name."""

FIRST = (
    "plot_quickstart",
    "plot_folder_of_files",
    "plot_explain_one_prediction",
    "plot_missing_modalities",
    "plot_spoken_and_written_digits",
    "plot_product_photos",
    "plot_sentiment",
)


def by_question(file_name):
    name = file_name.removesuffix(".py")
    return (FIRST.index(name) if name in FIRST else len(FIRST), name)
