"""Estimators whose settings objects are written flat, and the rules that there are."""

from skmm import LBFGS, MLP, AdamW, FusionClassifier, FusionRegressor, fusion

SOLVERS = {"adamw": AdamW, "lbfgs": LBFGS}
RULES = [
    rule
    for rule in (getattr(fusion, name) for name in fusion.__all__)
    if issubclass(rule, fusion.FusionRule) and rule is not fusion.FusionRule
]
FUSIONS = [rule.name for rule in RULES]
SCORE_FUSIONS = [rule.name for rule in RULES if rule.fuses_scores]
WEIGHTED_FUSIONS = [rule.name for rule in RULES if rule.has_weights]
EXACT_FUSIONS = [rule.name for rule in RULES if rule.is_exact]
ENSEMBLE_FUSIONS = [rule.name for rule in RULES if rule.takes_ensembles]


def nest(estimator, **parameters):
    """Make an estimator, with parameters of its perceptron and solver put into `MLP` and `AdamW`.

    Most tests set one or two of them, and read better without the objects around them:
    ``nest(FusionClassifier, max_iter=5, dropout=0.1)``. ``solver`` may name another solver; what
    is an object already stays as it is. Fusion estimators have no ``interaction`` unless it is
    given: these are tests of the network, and a mixture that is added to it takes time.
    """
    if estimator in (FusionClassifier, FusionRegressor):
        parameters = {"interaction": None, **parameters}
    mlp = {name: parameters.pop(name) for name in MLP().get_params() if name in parameters}
    solver = parameters.get("solver", "adamw")
    if isinstance(solver, str) and solver in SOLVERS:
        known = {name for cls in SOLVERS.values() for name in cls().get_params()}
        given = {name: parameters.pop(name) for name in known if name in parameters}
        parameters["solver"] = SOLVERS[solver](**given)
    return estimator(**parameters, **({"modality_model": MLP(**mlp)} if mlp else {}))
