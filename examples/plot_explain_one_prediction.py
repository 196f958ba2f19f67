"""
Why did this emoji get its class?
=================================

A model that reads names and drawings of emoji puts each into one of 9 groups. For one that it gets
right and one that it gets wrong: what did the name add, which of its words, and what the drawing?
And is it so for all?
"""

# %%
# A third of the emoji is enough to see it. No model is downloaded. (A *logit* is the score of a
# class; a softmax of all of them gives the probabilities.)
import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skmm import AdamW, FusionClassifier, ModalityTransformer
from skmm.datasets import load_openmoji
from skmm.inspection import (
    ContributionsDisplay,
    ContributionsWithinDisplay,
    ModalityReportDisplay,
    ModalityWeightsDisplay,
    modality_report,
)

X, y = load_openmoji(return_X_y=True)
X, y = X[::3], y[::3]
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
fusion = FusionClassifier(solver=AdamW(max_iter=20), random_state=0)
model = make_pipeline(ModalityTransformer(), fusion).fit(X_train, y_train)
proba = model.predict_proba(X_test)
predicted = model.predict(X_test)
print(f"accuracy on {len(y_test)} emoji: {np.mean(predicted == y_test):.3f}")

# %%
# With late fusion a logit is a sum of one part for each modality. The prediction that the model is
# surest of, of those that are right:
right = np.where(predicted == y_test, proba.max(axis=1), 0).argmax()
display = ContributionsDisplay.from_estimator(model, X_test.iloc[[right]])
display.figure_.suptitle(f"{y_test.iloc[right]}, and the model says so")

# %%
# And of those that are wrong. The name spoke for the class that was chosen, and more loudly than
# the drawing for another one: where modalities disagree, the row deserves a look.
wrong = np.where(predicted == y_test, 0, proba.max(axis=1)).argmax()
display = ContributionsDisplay.from_estimator(model, X_test.iloc[[wrong]])
display.figure_.suptitle(f"{y_test.iloc[wrong]}, but the model says {predicted[wrong]}")

# %%
# Which word of that name did it? What the text added is split by its words: each is worth what it
# changes, averaged over the orders in which they can come in. Most emoji with "face" in their name
# are smileys. "base" is what a text without words adds, "sum" what the name adds above.
ContributionsWithinDisplay.from_estimator(
    model, X_test.iloc[[wrong]], "text", output=predicted[wrong]
)
is_face = X_train["name"].str.contains("face")
print(y_train[is_face].value_counts().to_string())

# %%
# Is it so for all? What each modality adds to a class, in the test rows of that class: for some
# classes it is the name that adds more, for others the drawing.
ContributionsDisplay.from_estimator(model, X_test, y_test)

# %%
# The learned weights say how much each modality counts in general.
ModalityWeightsDisplay.from_estimator(model)

# %%
# What is it worth in accuracy? Each modality alone and without it, its Shapley value, and what is
# lost when it comes from another emoji. Dashed: what the best sum of the modalities would reach.
# Late fusion is such a sum, so that it lies on the line of the model.
report = modality_report(model, X_test, y_test, random_state=0)
print(report.modalities.round(3).to_string())
print(report.overall.round(3).to_string())
ModalityReportDisplay(report=report).plot()
