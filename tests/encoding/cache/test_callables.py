import functools
import importlib
import operator
import threading
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from fresh_process import run

from skmm.encoding.cache import describe_callable

OFFSET = 1


def add(x):
    return x + OFFSET


def make_adder(step):
    return lambda x: x + step


class Scale:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return x * self.factor


class Layer(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor
        self.linear = torch.nn.Linear(2, 2)
        torch.nn.init.ones_(self.linear.weight)
        torch.nn.init.ones_(self.linear.bias)

    def forward(self, x):
        return self.linear(x) * self.factor


def same(first, second):
    return describe_callable(first) == describe_callable(second)


@pytest.mark.parametrize(
    "make",
    [
        lambda: add,
        lambda: make_adder(2),
        lambda: Scale(3),
        lambda: Scale(np.arange(3)),
        lambda: Scale(torch.arange(3)),
        lambda: Scale({"a": [1, (2.0, None)], "b": {1, 2}}),
        lambda: Scale(2).__call__,
        lambda: Layer(2),
        lambda: torch.nn.Sequential(Layer(2), torch.nn.ReLU()),
        lambda: functools.partial(operator.add, 3),
        lambda: np.mean,
        lambda: np.exp,
        lambda: len,
        lambda: [add, None, Scale(1)],
    ],
)
def test_equal_callables_are_described_alike(make):
    assert same(make(), make())


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x: x + 1, lambda x: x - 1),
        (lambda x, y=1: x + y, lambda x, y=2: x + y),
        (lambda x, *, y=1: x + y, lambda x, *, y=2: x + y),
        (lambda x: x.lower(), lambda x: x.upper()),
        (lambda x: [y + 1 for y in x], lambda x: [y + 2 for y in x]),
        (make_adder(1), make_adder(2)),
        (Scale(1), Scale(2)),
        (Scale(1), Scale(1.0)),
        (Scale(np.zeros(2)), Scale(np.zeros((2, 1)))),
        (Scale(1).__call__, Scale(2).__call__),
        (Layer(1), Layer(2)),
        (Layer(1), torch.nn.Sequential(Layer(1))),
        (functools.partial(operator.add, 1), functools.partial(operator.add, 2)),
        (functools.partial(operator.add, 1), functools.partial(operator.sub, 1)),
        (np.exp, np.log),
        (np.mean, np.median),
        (len, max),
        ([add, None], [None, add]),
    ],
)
def test_other_callables_are_described_otherwise(first, second):
    assert not same(first, second)


def test_globals_are_part_of_a_function(monkeypatch):
    before = describe_callable(add)
    monkeypatch.setitem(globals(), "OFFSET", 2)
    assert describe_callable(add) != before


def test_code_of_a_users_class_is_part_of_its_objects():
    def define(step):
        namespace = {"__name__": "notebook"}
        exec(f"class Add:\n    def __call__(self, x):\n        return x + {step}", namespace)
        return namespace["Add"]()

    assert same(define(1), define(1))
    assert not same(define(1), define(2))


def test_weights_are_part_of_a_module():
    module = Layer(1)
    before = describe_callable(module)
    with torch.no_grad():
        module.linear.weight[0, 0] = 5
    assert describe_callable(module) != before


def test_cycles_end():
    first, second = Scale(None), Scale(None)
    for scale in (first, second):
        scale.factor = [scale]
    assert same(first, second)


def test_what_cannot_be_described_is_an_error():
    with pytest.raises(TypeError, match=r"^a lock\b"):
        describe_callable(Scale(threading.Lock()))


def describe_some(module):
    some = [module.add, module.make_adder(2), module.Scale({"a", "b", "c"}), module.Layer(2)]
    return describe_callable(some)


def test_another_process_describes_alike(monkeypatch):
    folder = Path(__file__).parent
    code = """
    import sys; sys.path[:0] = sys.argv[1:]
    import test_callables
    print(test_callables.describe_some(test_callables))
    """
    there = run(code, folder, folder.parents[1], PYTHONHASHSEED="1")
    monkeypatch.syspath_prepend(folder)  # pytest has given this module another name
    assert describe_some(importlib.import_module("test_callables")) == there.strip()


def run_in_module(name, source):
    module = types.ModuleType(name)
    exec(source, vars(module))
    return module


@pytest.mark.parametrize(
    "source",
    [
        "class Prep:\n    mean = ({}, 1)\n    def __call__(self, x): return x - self.mean[0]\n"
        "prepare = Prep()",
        "import functools\n@functools.lru_cache\ndef table(): return {}\n"
        "def prepare(x): return x * table()",
        "import functools\nclass Prep:\n    @functools.cached_property\n"
        "    def scale(self): return {}\n"
        "    def __call__(self, x): return x * self.scale\nprepare = Prep()",
        "import functools, math\ndef double(f):\n    @functools.wraps(f)\n"
        "    def wrapper(x): return {} * f(x)\n    return wrapper\nprepare = double(math.gcd)",
        "def prepare(*, scale={}): return scale",
    ],
)
def test_what_a_user_wrote_is_told_by_what_it_does(source):
    two, again, three = (
        run_in_module("mine", source.format(value)).prepare for value in ("2", "2", "3")
    )
    assert same(two, again)
    assert not same(two, three)


def test_names_of_arguments_matter():
    first, second = lambda a, b: a - b, lambda b, a: a - b
    assert not same(first, second)


def test_function_in_a_module_of_the_user(monkeypatch):
    """It is found by the names in the code, also through a package."""
    helpers = run_in_module("helpers", "def scale(x): return x * 2")
    package = types.ModuleType("package")
    package.helpers = helpers
    monkeypatch.setitem(globals(), "package", package)
    use = eval("lambda x: package.helpers.scale(x)", globals())
    before = describe_callable(use)
    helpers.unused = 1
    assert describe_callable(use) == before
    exec("def scale(x): return x * 3", vars(helpers))
    assert describe_callable(use) != before
    with pytest.raises(TypeError, match="module 'helpers'"):
        describe_callable(functools.partial(operator.add, helpers))


def test_modules_that_name_each_other(monkeypatch):
    one, other = types.ModuleType("one"), types.ModuleType("other")
    one.other, other.one, one.value = other, one, 1
    monkeypatch.setitem(globals(), "one", one)
    use = eval("lambda x: one.other.one.value", globals())
    before = describe_callable(use)
    one.value = 2
    assert describe_callable(use) != before


def test_name_that_is_not_bound_yet():
    def make():
        def use():
            return later

        described = describe_callable(use)
        later = 1
        return described, describe_callable(use)

    before, after = make()
    assert before != after


def change_private(layer):
    layer._factor = 3


def hook(layer):
    layer.register_forward_hook(lambda module, arguments, output: output * 2)


def hook_before(layer):
    layer.register_forward_pre_hook(lambda module, arguments: (arguments[0] * 2,))


def replace(layer):
    layer.linear.weight = torch.nn.Parameter(layer.linear.weight.detach() * 2)


def change_hidden_buffer(layer):
    layer.linear.scale = torch.ones(1)


@pytest.mark.parametrize(
    "change", [change_private, hook, hook_before, replace, change_hidden_buffer]
)
def test_changed_module_is_another(change):
    layer = Layer(2)
    layer._factor = 2
    layer.linear.register_buffer("scale", torch.zeros(1), persistent=False)
    before = describe_callable(layer)
    assert describe_callable(layer) == before
    change(layer)
    assert describe_callable(layer) != before


def test_module_made_in_inference_mode():
    with torch.inference_mode():
        layer = Layer(2)
        before = describe_callable(layer)
        layer.linear.weight.mul_(2)
        assert describe_callable(layer) != before


def test_module_of_torch_with_references_of_its_own():
    layer = torch.nn.LSTM(2, 2)
    before = describe_callable(layer)
    layer(torch.zeros(1, 1, 2))
    assert describe_callable(layer) == before
