"""The one function that imports optional packages."""

from importlib import import_module
from types import ModuleType


def import_optional(name: str, *, extra: str, purpose: str) -> ModuleType:
    """Import a package that skmm does not require; the error says how to install it.

    Parameters
    ----------
    name : str
        Dotted name of the module, as in an ``import`` statement.

    extra : str
        Extra of skmm that installs the package.

    purpose : str
        What needs the package; the error message starts with it.

    Returns
    -------
    module : module
        The module called `name`.

    Raises
    ------
    ImportError
        If the package is not installed. An installed package that fails to import for a
        reason of its own raises that reason, as "install it" would be wrong advice.

    Examples
    --------
    >>> from skmm._optional import import_optional
    >>> import_optional("json", extra="text", purpose="Reading captions").dumps([1])
    '[1]'
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        top_level = name.partition(".")[0]
        if error.name != top_level:
            raise
        raise ImportError(
            f"{purpose} needs {top_level}: pip install 'skmm[{extra}]'", name=top_level
        ) from error
